"""The recipes of the rows of tables as plain data: tables are shown without torch."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

__all__ = ["recipe_differences", "recipe_of"]

_FILE = resources.files("everyclass.bench") / "definitions" / "recipes.json"


def recipe_of(method: str, data: str) -> dict[str, Any] | None:
    """The constants of a method on a data set, as a run's configuration has them.

    Args:
        method: what trains the network of a row.
        data: what folders of the table's data set are called.

    Returns:
        None where no table has them. The file is written by ``benchmarks/write_recipes.py``.

    Example:
        >>> recipe_of("ce", "cifar100-lt-ir100")["batch_size"]
        128
    """
    found = _recipes().get(data, {}).get(method)
    return None if found is None else dict(found)


def recipe_differences(said: Any, method: str, data: str) -> list[str]:
    """In words, where the recipe of a stored result is not that of its row; empty where it fits.

    Results made before recipes told loss and learner are not asked for these.

    Args:
        said: the recipe in the result's certificate.
        method, data: see :func:`recipe_of`.
    """
    expected = recipe_of(method, data)
    if expected is None:
        return []
    if not isinstance(said, dict):
        return ["it does not say by which recipe"]
    told_later = {"loss", "learner", "fit"}
    keys = sorted({*expected, *said} - {key for key in told_later if key not in said})
    return [
        f"{key}: {said.get(key)} there, {expected.get(key)} in the recipe"
        for key in keys
        if said.get(key) != expected.get(key)
    ]


@functools.cache
def _recipes() -> dict[str, dict[str, dict[str, Any]]]:
    values: dict[str, dict[str, dict[str, Any]]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return values
