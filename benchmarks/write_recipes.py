"""Write backbones and constants of all recipes that tables need into a file for `bench show`.

    python benchmarks/write_recipes.py

To be run when a recipe has changed; a test says when that was forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import everyclass.bench
from everyclass import ClassCounts
from everyclass.bench import load_table, table_names
from everyclass.bench.tables import data_name
from everyclass.data import DataConfig
from everyclass.methods import get_method
from everyclass.stages.pretraining.run_config import backbone_for
from everyclass.training import HeadRecipe, Recipe

FILE = Path(everyclass.bench.__file__).parent / "definitions" / "recipes.json"
CLASSES = {"cifar100-lt": 100, "cifar10-lt": 10, "imagenet-lt": 1000, "places-lt": 365}


def recipes() -> dict[str, dict[str, Any]]:
    """By data set and method: the backbone and the constants of its runs."""
    found: dict[str, dict[str, Any]] = {}
    for name in table_names():
        table = load_table(name)
        for row in table.rows:
            if row.pretraining is not None:
                data = DataConfig(**table.data)
                recipe = get_method(row.pretraining, data.name, data.imbalance_ratio)
                add(recipe, data, found.setdefault(data_name(table.data), {}))
    return found


def add(recipe: Recipe | HeadRecipe, data: DataConfig, found: dict[str, Any]) -> None:
    """Note a recipe, and those that it rests on, by their names."""
    for needed in recipe.rests_on:
        add(needed, data, found)
    constants = recipe.to_dict(ClassCounts([2] * CLASSES[data.name]))
    constants.pop("loss_values", None)  # which follow from the real counts
    made = {"backbone": backbone(recipe, data), "recipe": constants}
    assert found.setdefault(recipe.name, made) == made, f"two recipes are called {recipe.name}"


def backbone(recipe: Recipe | HeadRecipe, data: DataConfig) -> str:
    """That of its start where it has one, as :func:`everyclass.pretrain` takes it."""
    return (
        backbone_for(recipe, data, None) if recipe.start is None else backbone(recipe.start, data)
    )


if __name__ == "__main__":
    FILE.write_text(json.dumps(recipes(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
