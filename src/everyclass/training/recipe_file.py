"""Recipes in files of the user's own: run, told apart, and named where something is wrong."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from everyclass.errors import (
    EveryclassError,
    InputError,
    MissingFileError,
    RunFailedError,
    first_line,
)
from everyclass.training.recipe import HeadRecipe, Recipe

__all__ = ["named_in_errors", "recipe_file_fingerprint", "recipe_file_notes", "run_recipe_file"]


def run_recipe_file(path: Path) -> ModuleType:
    """Run a recipe file.

    Raises:
        MissingFileError: there is none.
        InputError: it fails.
    """
    _parsed(path)
    # Under a name that no import asks for, and findable, as dataclasses look their module up.
    name = f"_everyclass_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _not_run(path, error) from error
    return module


def recipe_file_fingerprint(path: Path) -> str:
    """The fingerprint of what a recipe file does: comments and layout do not count."""
    return hashlib.sha256(ast.unparse(_parsed(path)).encode()).hexdigest()[:16]


def recipe_file_notes(path: Path) -> str:
    """The text on top of a recipe file."""
    return ast.get_docstring(_parsed(path)) or ""


def _parsed(path: Path) -> ast.Module:
    if not path.is_file():
        raise MissingFileError(f"There is no recipe file {path}.")
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _not_run(path, error) from error


def _not_run(path: Path, error: BaseException) -> InputError:
    said = f"{type(error).__name__}: {first_line(error)}"
    return InputError(f"{path} cannot be run as a recipe: {said}.")


@contextmanager
def named_in_errors(recipe: Recipe | HeadRecipe) -> Iterator[None]:
    """Say of whatever fails in here that a recipe of the user's own was at work.

    Raises:
        RunFailedError: in place of an error that is not one of this library's.
    """
    try:
        yield
    except EveryclassError:
        raise
    except Exception as error:
        if recipe.file_fingerprint is None:
            raise
        raise RunFailedError(
            f"Training by {recipe.name}, of a recipe file, failed: {type(error).__name__}: "
            f"{first_line(error)}. Where, in that file or beneath it, is shown by "
            "--debug."
        ) from error
