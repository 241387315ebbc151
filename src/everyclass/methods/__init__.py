"""One file per published method; a file here with a ``RECIPE`` is a method, nothing to register."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from everyclass.artifacts import atomic_write, did_you_mean
from everyclass.errors import InputError, OutputExistsError
from everyclass.training import (
    HeadRecipe,
    Recipe,
    modern,
    recipe_file_fingerprint,
    recipe_file_notes,
    run_recipe_file,
)

__all__ = ["copy_method", "get_method", "method_names", "method_notes"]

_MODERN = "-modern"


def method_names() -> list[str]:
    """The names of all methods, from the files in this folder."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def get_method(
    name: str, data: str | None = None, imbalance_ratio: float | None = None
) -> Recipe | HeadRecipe:
    """The recipe called ``name``; with ``-modern`` after it, under strong augmentation.

    A name that ends in ``.py`` is a file of your own, which is run; its recipe, called as the file,
    is returned.

    Args:
        name: of the method.
        data: a named data set; where the method has a recipe of its own for it, in ``ON``, that
            is returned, and likewise what it rests on.
        imbalance_ratio: of a set that is made long-tailed; where the method has a recipe of its own
            for this ratio, that is returned.

    Raises:
        InputError: there is none; the nearest name is suggested. Or the file has no recipe.
        MissingFileError: there is no such file.

    Example:
        >>> get_method("ce").batch_size
        128
        >>> get_method("ce-modern").augmentation
        'autoaugment'
        >>> get_method("ce", "imagenet-lt").backbone
        'resnext50_32x4d'
    """
    if name.endswith(_MODERN):
        return modern(get_method(name.removesuffix(_MODERN), data, imbalance_ratio))
    if not name.endswith(".py"):
        module = importlib.import_module(_module_name(name))
        return _recipe_in(module, module.__name__, data, imbalance_ratio)
    path = Path(name)
    fingerprint = recipe_file_fingerprint(path)
    own = _recipe_in(run_recipe_file(path), name, data, imbalance_ratio)
    return _own(own, path.stem, fingerprint, data, imbalance_ratio)


def _own(
    recipe: Recipe | HeadRecipe,
    name: str,
    fingerprint: str,
    data: str | None,
    imbalance_ratio: float | None,
) -> Any:
    """The recipe of a user's file under its name, and all beneath it that is not the library's."""

    def beneath(other: Recipe | HeadRecipe) -> Any:
        kind = other.name.removesuffix(_MODERN)
        if kind in method_names() and other in (
            get_method(other.name),
            get_method(other.name, data, imbalance_ratio),
        ):
            return other
        return _own(other, f"{name}-{other.name}", fingerprint, data, imbalance_ratio)

    if isinstance(recipe, Recipe):
        recipe = replace(recipe, teachers=tuple(map(beneath, recipe.teachers)))
    start: Any = None if recipe.start is None else beneath(recipe.start)
    return replace(recipe, name=name, start=start, file_fingerprint=fingerprint)


def _recipe_in(
    module: ModuleType, name: str, data: str | None, imbalance_ratio: float | None
) -> Recipe | HeadRecipe:
    """What a module has for a data set: from its ``ON``, else its ``RECIPE``.

    Raises:
        InputError: no recipe.
    """
    recipe = getattr(module, "RECIPE", None)
    others = getattr(module, "ON", {})
    ratio = "" if imbalance_ratio is None else f"-ir{imbalance_ratio:g}"
    recipe = others.get(f"{data}{ratio}", others.get(data, recipe))
    if not isinstance(recipe, Recipe | HeadRecipe):
        raise InputError(
            f"{name} has no RECIPE; copy one to begin with: everyclass methods copy ce {name}."
        )
    return recipe if data is None else _resting(recipe, data, imbalance_ratio)


def _resting(
    recipe: Recipe | HeadRecipe, data: str, imbalance_ratio: float | None
) -> Recipe | HeadRecipe:
    """The recipe with those that it rests on as they are for this data set."""

    def there(other: Recipe | HeadRecipe) -> Any:
        is_ours = other.name.removesuffix(_MODERN) in method_names()
        if is_ours and other == get_method(other.name):  # and not one that the user has changed
            return get_method(other.name, data, imbalance_ratio)
        return _resting(other, data, imbalance_ratio)

    if isinstance(recipe, Recipe):
        recipe = replace(recipe, teachers=tuple(map(there, recipe.teachers)))
    return recipe if recipe.start is None else replace(recipe, start=there(recipe.start))


def method_notes(name: str) -> str:
    """What a method does, where published code departs from papers, and what was decided.

    Raises:
        InputError: there is no such method.
        MissingFileError: there is no such file.
    """
    name = name.removesuffix(_MODERN)
    if name.endswith(".py"):
        return recipe_file_notes(Path(name))
    return inspect.getdoc(importlib.import_module(_module_name(name))) or ""


def copy_method(name: str, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a method's file to ``path``: a recipe to change, that :func:`get_method` reads.

    Args:
        name: of the method.
        path: ending in ``.py``.
        overwrite: replace the file if there is one.

    Raises:
        InputError: no such method, or another ending.
        OutputExistsError: the file is there.
    """
    module = importlib.import_module(_module_name(name.removesuffix(_MODERN)))
    get_method(name)  # not every method has a modern sister
    path = Path(path)
    if path.suffix != ".py":
        raise InputError(
            f"A recipe is a Python file; name one that ends in .py, not {path.name!r}."
        )
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} is there already; pass overwrite (--overwrite) to replace it."
        )
    source = inspect.getsource(module)
    if name.endswith(_MODERN):
        source += (
            "\nfrom everyclass.training import modern  # noqa: E402\n\nRECIPE = modern(RECIPE)\n"
        )
        if hasattr(module, "ON"):
            source += "ON = {data: modern(recipe) for data, recipe in ON.items()}\n"
    with atomic_write(path) as stream:
        stream.write(source.encode())


def _module_name(name: str) -> str:
    if name not in method_names():
        hint = did_you_mean(name, method_names())
        raise InputError(
            f"There is no method {name!r}; there are {', '.join(method_names())}{hint}"
        )
    return f"{__name__}.{name.replace('-', '_')}"
