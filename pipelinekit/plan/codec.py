"""A Plan as bytes and back: what compiled jobs, deployments and checkpoints keep of it.

Canonical JSON: equal plans give equal bytes. A value of a dataclass carries its class's name;
which classes there are is read from the modules that plans are made of, so that a new window or a
new kind of expression needs nothing here. Secrets are names in a plan, and so in its bytes.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

from pipelinekit import windows
from pipelinekit.codecs import base as codecs_base
from pipelinekit.connectors import base as connectors_base
from pipelinekit.errors import Refused
from pipelinekit.plan import model
from pipelinekit.plan.model import Plan
from pipelinekit.spec.expressions import tree

FORMAT = 1
_MODULES = ("pipelinekit.types", codecs_base.__name__, connectors_base.__name__, tree.__name__,
            model.__name__)  # fmt: skip


def encode(plan: Plan) -> bytes:
    """The plan as canonical JSON, UTF-8."""
    document = {"format": FORMAT, "plan": _plain(plan)}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Plan:
    """The inverse of `encode`. Raises Refused for what this version can't read."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise Refused(
                f"the plan has format {document['format']}, this version reads {FORMAT}",
                help="make it again with this version",
            )
        plan = _value(document["plan"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"this is no plan that this version can read ({type(error).__name__})",
            help="make it again with this version",
        ) from error
    if not isinstance(plan, Plan):
        raise Refused(f"this is a {type(plan).__name__}, not a plan")
    return plan


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "name": value.name}
    if is_dataclass(value) and not isinstance(value, type):
        if type(value).__name__ not in _classes():
            raise TypeError(f"{type(value).__name__} is no part of a plan")
        own = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return {"is": type(value).__name__, **own}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {"map": sorted(([_plain(k), _plain(v)] for k, v in value.items()), key=repr)}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    raise TypeError(f"a {type(value).__name__} is no part of a plan")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"is": name, **own}:
            # What another version had and this plan doesn't use is nothing to refuse it for.
            known = {f.name for f in fields(_classes()[name])}
            used = {key: v for key, v in own.items() if key in known or v is not None}
            return _classes()[name](**{key: _value(v) for key, v in used.items()})
        case {"enum": name, "name": member}:
            return _classes()[name][member]
        case {"map": pairs}:
            return {_value(k): _value(v) for k, v in pairs}
        case {"decimal": text}:
            return Decimal(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
    raise ValueError(f"{plain!r:.100} is no part of a plan")


@cache
def _classes() -> Mapping[str, Any]:
    """Dataclasses and enums that a plan may hold, by name."""
    names = [f"{windows.__name__}.{m.name}" for m in pkgutil.iter_modules(windows.__path__)]
    found: dict[str, Any] = {}
    for name in (*_MODULES, *names):
        for made in vars(importlib.import_module(name)).values():
            if isinstance(made, type) and (is_dataclass(made) or issubclass(made, Enum)):
                known = found.setdefault(made.__name__, made)
                assert known is made, f"two classes are called {made.__name__}"
    return found
