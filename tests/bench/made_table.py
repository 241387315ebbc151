"""A table of two rows, made from a recipe file: what the tests of killed runs start."""

from __future__ import annotations

from pathlib import Path

import torch

from everyclass.bench import Row, Table
from everyclass.bench.run import run_table


def make_table(recipe: str, folder: str, jobs: int) -> None:
    """Train on digits, retrain the head, in ``folder``; as many seeds as jobs."""
    torch.set_num_threads(1)
    gml = {"objective": "gml", "penalty": 1e-2}
    rows = (
        Row("CE", "ce", pretraining=recipe),
        Row("GML", "gml", pretraining=recipe, retraining=gml),
    )
    table = Table("digits", "digits", {"name": "digits-lt", "imbalance_ratio": 20.0}, rows)
    places = {"results": Path(folder) / "results", "runs": Path(folder) / "runs"}
    run_table(table, seeds=range(jobs), jobs=jobs, **places)
