"""Sums over classes of what is drawn for each, in chunks of classes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from everyclass.cores import own_cores

__all__ = ["sum_over_chunks"]


def sum_over_chunks(
    of_chunk: Callable[[slice, np.random.Generator], npt.NDArray[np.float64]],
    classes: int,
    chunk: int,
    seed: list[int],
) -> npt.NDArray[np.float64]:
    """Σ over chunks of ``of_chunk(classes of the chunk, a generator of its own)``, by threads.

    Args:
        of_chunk: the sums of one chunk; NumPy draws without the interpreter.
        classes: how many, 1 or more.
        chunk: classes of one; the draws follow from it.
        seed: of all draws.
    """
    chunks = [slice(start, start + chunk) for start in range(0, classes, chunk)]
    generators = np.random.default_rng(seed).spawn(len(chunks))
    with ThreadPoolExecutor(own_cores()) as threads:
        return np.asarray(np.sum(list(threads.map(of_chunk, chunks, generators)), axis=0))
