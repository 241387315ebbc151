"""Numbers for the Trainer of transformers, which needs no transformers to be computed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from everyclass import evaluate
from everyclass.errors import InputError
from everyclass.integrations.transformers import (
    BatchMetrics,
    compute_loss_func,
    compute_metrics,
)
from everyclass.losses import BalancedSoftmaxLoss, DeferredLoss, GMLLoss

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
    with pytest.raises(InputError, match="None of the labels is a class, all are -100"):
        compute_metrics((LOGITS, np.full(80, -100)))
    with pytest.raises(InputError, match=r"labels of shape \(79,\) for logits of shape \(80, 4\)"):
        compute_metrics((LOGITS, LABELS[1:]))
    with pytest.raises(
        InputError, match=r"one number per label, of shape \(80,\).*preprocess_logi"
    ):
        compute_metrics((LABELS, LABELS))
    with pytest.raises(InputError, match=r"labels 0\.\.3, and the network has 3 classes"):
        compute_metrics((LOGITS[:, :3], LABELS))


def test_nan_is_no_answer_unless_the_row_does_not_count() -> None:
    logits = np.where(np.arange(80)[:, None] == 7, np.nan, LOGITS)
    with pytest.raises(InputError, match="The network gave NaN in 1 of 80 rows that count"):
        compute_metrics((logits, LABELS))
    labels = np.where(np.arange(80) == 7, -100, LABELS)
    assert compute_metrics((logits, labels))["accuracy"] >= 0


def test_what_the_trainer_may_pass_beside_logits_and_labels() -> None:
    """As transformers.EvalPrediction does with include_for_metrics."""

    class Passed(SimpleNamespace):
        def __iter__(self) -> object:
            return iter((self.predictions, self.label_ids, self.inputs))

    passed = Passed(predictions=(LOGITS, "hidden states"), label_ids=LABELS, inputs="pixels")
    assert compute_metrics(passed) == compute_metrics((LOGITS, LABELS))


def test_batch_by_batch_as_at_once() -> None:
    metrics = BatchMetrics()
    for _ in range(2):  # and then anew
        for rows in np.split(np.arange(80), [30, 60]):
            logits = torch.tensor(LOGITS[rows]).bfloat16().double()
            batch = logits, torch.tensor(LABELS[rows])
            said = metrics(batch, compute_result=rows[-1] == 79)
            assert not said or rows[-1] == 79
        rounded = torch.tensor(LOGITS).bfloat16().double().numpy()
        assert said == compute_metrics((rounded, LABELS))


def test_after_a_batch_that_was_refused_it_begins_anew() -> None:
    metrics = BatchMetrics()
    metrics((LOGITS, (LABELS + 1) % 4), compute_result=False)
    with pytest.raises(InputError, match="NaN in 80 of 80"):
        metrics((LOGITS * np.nan, LABELS), compute_result=False)
    assert metrics((LOGITS, LABELS)) == compute_metrics((LOGITS, LABELS))


def test_no_pass_over_all_logits_looks_for_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    isnan = np.isnan

    def watched(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        looked_at.append(values.ndim)
        return isnan(values)

    monkeypatch.setattr(np, "isnan", watched)
    compute_metrics((LOGITS.reshape(8, 10, 4), LABELS.reshape(8, 10)))
    assert max(looked_at) == 1


@pytest.mark.parametrize("loss", [GMLLoss([5, 3, 2, 1]), nn.CrossEntropyLoss()])
@pytest.mark.parametrize("items", [None, 12])
def test_a_micro_batch_in_which_nothing_counts(loss: nn.Module, items: int | None) -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    value = compute_loss_func(loss)({"logits": logits}, torch.full((3,), -100), items)
    value.backward()
    assert float(value.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


COUNTS = [5, 3, 2, 1]


@pytest.mark.parametrize(
    ("loss", "is_asked"),
    [
        (BalancedSoftmaxLoss(COUNTS), False),
        (nn.CrossEntropyLoss(), False),
        (GMLLoss(COUNTS), True),
        (DeferredLoss(nn.CrossEntropyLoss(), GMLLoss(COUNTS), start=0.5), True),
    ],
)
def test_a_micro_batch_in_which_nothing_counts_while_others_wait(
    loss: nn.Module, is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait in losses that are no means over images, and in no other."""
    monkeypatch.setattr("everyclass.integrations.transformers.group_of", lambda _: "others")
    asked = []

    def forward(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        asked.append(len(labels))
        return logits.sum()

    monkeypatch.setattr(loss, "forward", forward)
    logits = torch.zeros(3, 4, requires_grad=True)
    value = compute_loss_func(loss)({"logits": logits}, torch.full((3,), -100), 12)
    assert float(value.detach()) == 0
    assert asked == ([0] if is_asked else [])
