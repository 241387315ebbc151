"""The recipes of the rows of tables as plain data: tables are shown without torch."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from everyclass.artifacts import TOLD_LATER, alike

__all__ = ["config_differences", "config_of"]

_FILE = resources.files("everyclass.bench") / "definitions" / "recipes.json"


def config_of(method: str, data: str) -> dict[str, Any] | None:
    """What configurations of a method's runs on a data set have in common, whatever the seed.

    Args:
        method: what trains the network of a row.
        data: what folders of the table's data set are called.

    Returns:
        ``method``, ``backbone`` and the constants of its ``recipe``; in ``start`` (or None) and
        ``teachers`` the same of the runs that it rests on. None where no table has the method. The
        file is written by ``benchmarks/write_recipes.py``.

    Example:
        >>> crt = config_of("crt", "cifar100-lt-ir100")
        >>> crt["start"]["recipe"]["batch_size"]
        128
    """
    found = _recipes().get(data, {}).get(method)
    if found is None:
        return None
    recipe = dict(found["recipe"])
    return {
        "method": method,
        "backbone": found["backbone"],
        "recipe": recipe,
        "start": recipe["start"] and config_of(recipe["start"], data),
        "teachers": [config_of(name, data) for name in recipe.get("teachers", [])],
    }


def config_differences(said: dict[str, Any], method: str, data: str) -> list[str]:
    """In words, where the run of a stored result was not made as its row says; empty if it was.

    The runs that it rests on are looked at as well: they are of its seed and data.

    Args:
        said: the configuration of the run in the result's certificate.
        method, data: see :func:`config_of`.
    """
    expected = config_of(method, data)
    return [] if expected is None else _differences(said, expected, said)


def _differences(said: Any, expected: dict[str, Any], above: dict[str, Any]) -> list[str]:
    """The same of a run at any depth; ``above`` is the configuration of the topmost."""
    if not isinstance(said, dict):
        return ["it does not say how it was trained"]
    if said.get("method") != expected["method"]:
        return [f"method {said.get('method')}, and not {expected['method']}"]
    asked = {"backbone": expected["backbone"], "seed": above.get("seed"), "data": above.get("data")}
    different = [
        f"{key} {said.get(key)}, and not {value}"
        for key, value in asked.items()
        if said.get(key) != value
    ]
    different += _of_recipe(said.get("recipe"), expected["recipe"])
    there, here = _beneath(said), _beneath(expected)
    if len(there) != len(here):
        return [*different, f"it rests on {len(there)} runs, and not on {len(here)}"]
    for one, other in zip(there, here, strict=True):
        beneath = _differences(one, other, above)
        different += [f"{other['method']} beneath it: {what}" for what in beneath]
    return different


def _beneath(config: dict[str, Any]) -> list[Any]:
    """The configurations of the runs that a run begins with and learns from."""
    start, teachers = config.get("start"), config.get("teachers")
    return [*([] if start is None else [start]), *(teachers if isinstance(teachers, list) else [])]


def _of_recipe(said: Any, expected: dict[str, Any]) -> list[str]:
    """Where constants differ; those that recipes did not always tell are not asked for."""
    if not isinstance(said, dict):
        return ["it does not say by which recipe"]
    untold = {key for key in TOLD_LATER if key not in said or key not in expected}
    keys = sorted({*expected, *said} - untold)
    return [
        f"{key}: {said.get(key)} there, {expected.get(key)} in the recipe"
        for key in keys
        if not alike(key, said.get(key), expected.get(key))
    ]


@functools.cache
def _recipes() -> dict[str, dict[str, dict[str, Any]]]:
    values: dict[str, dict[str, dict[str, Any]]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return values
