"""Numbers for the Trainer of transformers, which needs no transformers to be computed."""

from __future__ import annotations

import numpy as np
import pytest

from everyclass import evaluate
from everyclass.errors import InputError
from everyclass.integrations.transformers import compute_metrics

LOGITS = np.random.default_rng(0).normal(size=(80, 4))
LABELS = np.random.default_rng(1).integers(0, 4, 80)


def test_rows_that_do_not_count_are_left_out() -> None:
    counts = np.arange(80) % 3 > 0
    wanted = evaluate(labels=LABELS[counts], logits=LOGITS[counts]).summary()
    labels = np.where(counts, LABELS, -100)
    assert compute_metrics((LOGITS, labels)) == pytest.approx(wanted)
    tokens = LOGITS.reshape(8, 10, 4), labels.reshape(8, 10)
    assert compute_metrics(tokens) == pytest.approx(wanted)


def test_nothing_to_be_judged() -> None:
    with pytest.raises(InputError, match="None of the 80 labels is a class, all are -100"):
        compute_metrics((LOGITS, np.full(80, -100)))
    with pytest.raises(InputError, match=r"labels of shape \(79,\) for logits of shape \(80, 4\)"):
        compute_metrics((LOGITS, LABELS[1:]))
