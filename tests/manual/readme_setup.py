"""What a reader of README has and the page does not make: a network, loaders, files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

COUNTS = [120, 60, 20, 6]


def namespace() -> dict[str, Any]:
    """A small network that was not trained, and its loaders."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loaders = {f"{part}_loader": _loader(counts) for part, counts in _parts().items()}
    return {"model": model, "class_counts": COUNTS, **loaders}


def write_files() -> None:
    """``train.npz``, ``test.npz``, ``head.npz``, ``predictions.parquet``, ``counts.csv``."""
    generator = np.random.default_rng(0)
    for part, counts in _parts().items():
        features, labels = _samples(counts)
        np.savez(f"{part}.npz", features=features, labels=labels)
    weight = generator.normal(size=(4, 8)).astype(np.float32)
    np.savez("head.npz", weight=weight, bias=np.zeros(4, np.float32))
    _, labels = _samples([20] * 4)
    predicted = np.where(generator.random(80) < 0.7, labels, 0)
    pq.write_table(pa.table({"labels": labels, "predicted": predicted}), "predictions.parquet")
    rows = "".join(f"{c},{n}\n" for c, n in enumerate(COUNTS))
    with open("counts.csv", "w", encoding="utf-8") as file:
        file.write("class,count\n" + rows)


def _parts() -> dict[str, list[int]]:
    return {"train": COUNTS, "val": [20] * 4, "test": [30] * 4}


def _samples(counts: list[int]) -> tuple[Any, Any]:
    labels = np.repeat(np.arange(4), counts)
    noise = np.random.default_rng(sum(counts)).normal(size=(len(labels), 8))
    return (noise + 2 * np.eye(4, 8)[labels]).astype(np.float32), labels


def _loader(counts: list[int]) -> DataLoader[Any]:
    features, labels = _samples(counts)
    return DataLoader(TensorDataset(torch.from_numpy(features), torch.from_numpy(labels)), 64)
