"""One thread: these tensors are so small that threads only wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from everyclass import DataConfig, Run, get_method, pretrain

torch.set_num_threads(1)


@pytest.fixture
def train_digits(tmp_path: Path) -> Callable[..., Run]:
    """A short training on digits-lt, into ``tmp_path / "run"`` unless told otherwise."""

    def train(epochs: int = 3, **options: Any) -> Run:
        data = DataConfig("digits-lt", imbalance_ratio=options.pop("imbalance_ratio", 20))
        recipe = options.pop("recipe", get_method("ce"))
        options = {"out": tmp_path / "run", "epochs": epochs, **options}
        return pretrain(recipe, data, **options)

    return train


@pytest.fixture
def content() -> Callable[[Path], dict[str, tuple[bytes, int]]]:
    """Every file below a folder, with what it holds and when it was written."""

    def read(folder: Path) -> dict[str, tuple[bytes, int]]:
        return {
            str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    return read
