"""The library where people already are; each file imports the framework it is named after."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from everyclass.errors import EveryclassError


def __getattr__(name: str) -> Any:
    if name not in {module.name for module in pkgutil.iter_modules(__path__)}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except EveryclassError as error:  # its library is missing: hasattr is False, getattr says why
        raise AttributeError(str(error), name=name) from error
