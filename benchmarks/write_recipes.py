"""Write the constants of all recipes that tables name into a file that `bench show` reads.

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
from everyclass.bench.results import data_name
from everyclass.methods import get_method

FILE = Path(everyclass.bench.__file__).parent / "definitions" / "recipes.json"
CLASSES = {"cifar100-lt": 100, "cifar10-lt": 10, "imagenet-lt": 1000, "places-lt": 365}


def recipes() -> dict[str, dict[str, Any]]:
    """Constants by data set and method."""
    found: dict[str, dict[str, Any]] = {}
    for name in table_names():
        table = load_table(name)
        for row in table.rows:
            if row.pretraining is not None:
                data, ratio = table.data["name"], table.data.get("imbalance_ratio")
                recipe = get_method(row.pretraining, data, ratio)
                made = recipe.to_dict(ClassCounts([2] * CLASSES[data]))
                found.setdefault(data_name(table.data), {})[row.pretraining] = made
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(recipes(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
