"""One file per published method; a file here with a ``RECIPE`` is a method, nothing to register."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from everyclass.errors import InputError
from everyclass.training import Recipe

__all__ = ["get_method", "method_names"]


def method_names() -> list[str]:
    """The names of all methods, from the files in this folder."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def get_method(name: str) -> Recipe:
    """The recipe called ``name``.

    Raises:
        InputError: there is none; the nearest name is suggested.

    Example:
        >>> get_method("ce").schedule.epochs
        200
    """
    if name not in method_names():
        near = difflib.get_close_matches(name, method_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"There is no method {name!r}; there are {', '.join(method_names())}.{hint}"
        )
    recipe = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe
