"""One evaluation of what several processes have judged."""

from __future__ import annotations

from everyclass.metrics import EvaluationState
from everyclass.processes import everybody_has

__all__ = ["merged_over_processes"]


def merged_over_processes(state: EvaluationState) -> EvaluationState:
    """The state of all processes' images together, in every process.

    Each image counts as often as processes have judged it: give every one to a single process
    (``rows[rank::world_size]``), not to a sampler that repeats some to make shares equal.

    Args:
        state: of this process's images; it may have seen none. It stays as it is.
    """
    whole = EvaluationState()
    for part in everybody_has(state):
        whole.merge(part)
    return whole
