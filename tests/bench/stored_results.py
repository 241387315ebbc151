"""What `bench run` would store, without running anything."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.bench import Row, Table
from everyclass.bench.fitting import DECIDED_ON, USUAL_RETRAINING
from everyclass.bench.recipes import config_of
from everyclass.bench.tables import data_name

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@functools.cache
def labels_of(data: str) -> npt.NDArray[np.int64]:
    """The labels of a set's test images, from a result that is stored."""
    of_100 = f"{data}-ir100"
    return np.load(RESULTS / of_100 / "ce-s0.npz")["labels"].astype(np.int64)  # type: ignore[no-any-return]


def certificate_of(table: Table, row: Row, seed: int = 0) -> dict[str, Any]:
    """What the result of a row says of its making."""
    data = {**table.data, "profile": "exp", "val": "none"}
    config = config_of(str(row.pretraining), data_name(table.data))
    certificate = {
        "result": row.result,
        "definition": row.definition,
        "data": table.data,
        "split_fingerprint": table.split,
        "seed": seed,
        "run": {"config": None if config is None else a_run(config, data, seed)},
    }
    if row.retraining is not None:
        settings = {**USUAL_RETRAINING, "penalty": 0.01, "gml_weight": 10.0, **row.retraining}
        certificate["rescue"] = {
            "strategy": "gml",
            "retraining": settings,
            "decided_on": DECIDED_ON[row.val],
            "seed": seed,
        }
    return certificate


def a_run(config: dict[str, Any], data: dict[str, Any], seed: int) -> dict[str, Any]:
    """A run's configuration, and with it those of the runs that it rests on."""
    start = config["start"]
    return {
        **config,
        "data": data,
        "seed": seed,
        "precision": "bf16",
        "start": None if start is None else a_run(start, data, seed),
        "teachers": [a_run(teacher, data, seed) for teacher in config["teachers"]],
    }
