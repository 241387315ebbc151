"""Fewer penalties to choose from, for tests that do not ask which one is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

HOME = "everyclass.stages.retraining.retraining"


@contextmanager
def few_penalties() -> Iterator[None]:
    """Two for each objective, which takes a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{HOME}.PENALTIES", (1e-2, 1e-3))
        patch.setattr(f"{HOME}.CLASS_PENALTIES", (0.1, 0.03))
        patch.setattr(f"{HOME}.WEAK_CLASS_PENALTIES", ())
        yield
