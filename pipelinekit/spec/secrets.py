"""Secrets stand in no spec: findings for those that do, before anything could quote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Document, dotted
from pipelinekit.spec.models.values import SECRET_NAME

_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN", re.IGNORECASE)


def secret_variables(document: Document) -> Iterator[Diagnostic]:
    """A finding for each variable of an environment whose name says that it is a secret."""
    environments = document.data().get("environments")
    for environment, values in (environments if isinstance(environments, dict) else {}).items():
        for name in values if isinstance(values, dict) else ():
            if _SECRET.search(name):
                path = ("environments", environment, name)
                yield Diagnostic(
                    "PK407",
                    f"{name} is a secret by its name, and this file is not the place for one",
                    document.span(path, key=True),
                    f"delete it, and set the variable {name} where it runs",
                    dotted(path),
                )


def without_clear_password(
    document: Document, data: dict[str, Any]
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The data of a sink, and a finding if its password was in clear: then it is taken out."""
    given = data.get("password")
    if given is None:
        return data, []
    name = given.get("secret") if isinstance(given, dict) and len(given) == 1 else None
    if isinstance(name, str) and SECRET_NAME.fullmatch(name):
        return data, []
    finding = Diagnostic(
        "PK407",
        "the password is not given as the name of a secret",
        document.span(("password",)),
        "write password: { secret: NAME } and set the variable NAME where it runs",
        "password",
    )
    return {k: v for k, v in data.items() if k != "password"}, [finding]
