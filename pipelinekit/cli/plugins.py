"""pydantic without its plugins: our specs' models take none, and the search costs a start much."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

_FINDER = "pydantic.plugin._loader"


def forgo_plugins() -> None:
    """Have pydantic look for no plugins in this process; before the first model is made.

    Told so by its variable alone, it still loads what would read the packages' metadata: some fifty
    modules, for zip files, e-mail and sockets.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if os.environ["PYDANTIC_DISABLE_PLUGINS"] == "__all__":
        sys.modules.setdefault(_FINDER, _NoPlugins(_FINDER))


class _NoPlugins(ModuleType):
    """Stands for pydantic's finder of plugins; asked for anything else, it makes way for it."""

    @staticmethod
    def get_plugins() -> tuple[()]:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # an import looks at these
            raise AttributeError(name)
        del sys.modules[_FINDER]
        return getattr(importlib.import_module(_FINDER), name)
