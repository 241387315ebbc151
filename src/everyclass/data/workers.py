"""How many processes read data beside this one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from everyclass.cores import own_cores

__all__ = ["as_many_workers", "default_workers"]

MOST_WORKERS = 16


def default_workers() -> int:
    """One for each core that this process may use, at most 16; torchrun's processes share them."""
    return max(1, min(MOST_WORKERS, own_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@contextmanager
def as_many_workers(asked: int) -> Iterator[None]:
    """Loaders begin with as many workers as were asked for, and torch gives no advice on that."""
    if asked <= own_cores():  # filters would make Python repeat what it says once
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        yield
