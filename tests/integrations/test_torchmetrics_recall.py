"""The metrics as torchmetrics: in parts, with absent classes, over processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import recall_score

pytest.importorskip("torchmetrics")

from torchmetrics import MetricCollection, MetricTracker

from everyclass.errors import InputError
from everyclass.integrations.torchmetrics import (
    GeometricMeanRecall,
    HarmonicMeanRecall,
    LowestRecall,
    PerClassRecall,
    WorstRecall,
)

pytestmark = pytest.mark.integrations
CLASSES = 6


def all_of_them() -> dict[str, PerClassRecall]:
    return {
        "per class": PerClassRecall(CLASSES),
        "lowest": LowestRecall(CLASSES),
        "harmonic": HarmonicMeanRecall(CLASSES),
        "geometric": GeometricMeanRecall(CLASSES),
        "worst": WorstRecall(CLASSES, percent=50),
        "worst two": WorstRecall(CLASSES, k=2),
    }


def samples(n: int = 300, seed: int = 0, absent: int | None = 4) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, CLASSES, (n,), generator=generator)
    if absent is not None:
        target[target == absent] = 0
    preds = torch.randn(n, CLASSES, generator=generator)
    preds[torch.arange(n), target] += 1.5
    return preds, target


def expected(preds: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
    """By scikit-learn, over the classes that are there."""
    known = sorted(set(target.tolist()))
    recall = recall_score(target, preds.argmax(1), labels=known, average=None)
    per_class = torch.full((CLASSES,), torch.nan)
    per_class[known] = torch.tensor(recall, dtype=torch.float)
    half = math.ceil(len(known) / 2)
    return {
        "per class": per_class,
        "lowest": recall.min(),
        "harmonic": len(recall) / (1 / recall).sum(),
        "geometric": recall.prod() ** (1 / len(recall)),
        "worst": sorted(recall)[:half] and sum(sorted(recall)[:half]) / half,
        "worst two": sum(sorted(recall)[:2]) / 2,
    }


def test_fewer_classes_with_samples_than_are_asked_for() -> None:
    metric = WorstRecall(5, k=4)
    metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
    assert float(metric.compute()) == 0.75  # of the two that have any


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8])
def test_labels_of_any_whole_numbers(kind: torch.dtype) -> None:
    preds, target = samples(absent=None)
    metric = PerClassRecall(CLASSES)
    metric.update(preds, target.to(kind))
    torch.testing.assert_close(metric.compute(), expected(preds, target)["per class"])


@pytest.mark.parametrize("absent", [None, 4])
def test_in_parts_as_at_once(absent: int | None) -> None:
    preds, target = samples(absent=absent)
    for name, metric in all_of_them().items():
        for rows in torch.arange(len(target)).split(37):
            metric.update(preds[rows], target[rows])
        wanted = torch.as_tensor(expected(preds, target)[name]).float()
        torch.testing.assert_close(metric.compute(), wanted, equal_nan=True)


def test_classes_instead_of_scores() -> None:
    preds, target = samples()
    metric = PerClassRecall(CLASSES)
    metric.update(preds.argmax(1), target)
    wanted = expected(preds, target)["per class"]
    torch.testing.assert_close(metric.compute(), wanted, equal_nan=True)


def test_a_class_without_samples_is_nan_and_in_no_mean() -> None:
    """Even if it is predicted, which makes other libraries count it as zero."""
    preds, target = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 1, 1, 1])
    metric = PerClassRecall(3)
    assert metric(preds, target).tolist()[2] != metric(preds, target).tolist()[2]  # NaN
    assert LowestRecall(3)(preds, target) == pytest.approx(2 / 3)
    assert HarmonicMeanRecall(3)(preds, target) == pytest.approx(2 / (1 + 3 / 2))


def test_nothing_counted_is_nan() -> None:
    empty = torch.empty(0, dtype=torch.long)
    for metric in all_of_them().values():
        metric.update(empty, empty)
        assert bool(metric.compute().isnan().all())


def test_ignored_samples() -> None:
    metric = PerClassRecall(2, ignore_index=-100)
    metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, -100, 1]))
    assert metric.compute().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("preds", "target", "said"),
    [
        (torch.zeros(3, 5), torch.tensor([0, 1, 2]), r"must be \(n, 6\) scores"),
        (torch.tensor([0, 1]), torch.tensor([0, 1, 2]), "one per row of preds"),
        (torch.tensor([0, 1]), torch.tensor([0.0, 1.0]), "whole numbers"),
        (torch.tensor([0, 1]), torch.tensor([0, 6]), r"target holds classes 0\.\.6"),
        (torch.tensor([0, -1]), torch.tensor([0, 1]), r"preds holds classes -1\.\.0"),
    ],
)
def test_what_does_not_fit_is_refused(preds: Any, target: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        PerClassRecall(CLASSES).update(preds, target)


def test_nan_is_no_answer_unless_the_sample_does_not_count() -> None:
    preds, target = samples(10, absent=None)
    preds[3, 2] = torch.nan
    with pytest.raises(InputError, match="preds has NaN in 1 of 10 rows that count"):
        PerClassRecall(CLASSES).update(preds, target)
    target[3] = -100
    metric = PerClassRecall(CLASSES, ignore_index=-100)
    metric.update(preds, target)
    assert int(metric.support.sum()) == 9


def test_the_scores_are_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    preds, target = samples(10, absent=None)
    looked_at = []
    isnan = torch.Tensor.isnan

    def watched(values: torch.Tensor) -> torch.Tensor:
        looked_at.append(values.ndim)
        return isnan(values)

    monkeypatch.setattr(torch.Tensor, "isnan", watched)
    PerClassRecall(CLASSES).update(preds, target)
    assert looked_at == [1]


def test_settings_that_are_refused() -> None:
    with pytest.raises(InputError, match="num_classes must be at least 2"):
        PerClassRecall(1)
    with pytest.raises(InputError, match="percent must be more than 0"):
        WorstRecall(3, percent=0)
    with pytest.raises(InputError, match="k must be a number of classes, 1 to 3; got 4"):
        WorstRecall(3, k=4)


def test_in_the_company_of_torchmetrics() -> None:
    preds, target = samples()
    together = MetricCollection({"lowest": LowestRecall(CLASSES), "all": PerClassRecall(CLASSES)})
    together.update(preds, target)
    found = together.compute()
    assert found["lowest"] == pytest.approx(float(expected(preds, target)["lowest"]))
    tracker = MetricTracker(LowestRecall(CLASSES), maximize=True)
    tracker.increment()
    tracker.update(preds, target)
    assert tracker.best_metric() == pytest.approx(float(found["lowest"]))
    metric = HarmonicMeanRecall(CLASSES)
    metric.update(preds, target)
    metric.reset()
    assert int(metric.support.sum()) == 0


def process(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=2)
    preds, target = samples()
    mine = slice(0, 220) if rank == 0 else slice(220, None)  # parts of different size
    found = {}
    for name, metric in all_of_them().items():
        metric.update(preds[mine], target[mine])
        found[name] = metric.compute()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_over_processes_as_in_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, args=(str(tmp_path),), nprocs=2)
    wanted = expected(*samples())
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], torch.as_tensor(value).float(), equal_nan=True)
