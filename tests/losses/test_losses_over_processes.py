"""Losses under data parallelism: any split of a batch is as good as the whole batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everyclass import losses
from everyclass.errors import InputError
from everyclass.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    DeferredLoss,
    DistillationLoss,
    DiVELoss,
    FocalLoss,
    GMLLoss,
    LabelAwareSmoothingLoss,
    LADELoss,
    LDAMLoss,
    LogitAdjustedLoss,
    PaCoLoss,
    RIDELoss,
    SHIKELoss,
)
from everyclass.nn import ClassMeans, FeatureQueue
from everyclass.processes import gathered, rows_before, summed

COUNTS = [500, 60, 20, 7, 1]
WIDTH, IMAGES = 6, 23
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 3.0, 9.0], dtype=torch.float64)

LOSSES: dict[str, nn.Module] = {
    "gml": GMLLoss(COUNTS),
    "gml-all": GMLLoss(COUNTS, absent="all"),
    "gml-plain": GMLLoss(COUNTS, reweight=False),
    "lade": LADELoss(COUNTS),
    "lade-sample": LADELoss(COUNTS, importance="sample", penalty=0.5),
    "balanced softmax": BalancedSoftmaxLoss(COUNTS),
    "balanced softmax, sum": BalancedSoftmaxLoss(COUNTS, reduction="sum"),
    "logit adjusted, weighted": LogitAdjustedLoss(COUNTS, weight=WEIGHT, ignore_index=2),
    "ldam, weighted": LDAMLoss(COUNTS, weight=WEIGHT),
    "class balanced": ClassBalancedLoss(COUNTS, gamma=1.0),
    "focal": FocalLoss(weight=WEIGHT),
    "smoothing": LabelAwareSmoothingLoss(COUNTS),
    "ride": RIDELoss(COUNTS),
    "ride, late": DeferredLoss(RIDELoss(COUNTS), RIDELoss(COUNTS, reweight=True), start=0.0),
    "shike": SHIKELoss(),
    "dive": DiVELoss(COUNTS),
    "distillation": DistillationLoss(temperature=2.0),
    "paco": PaCoLoss(COUNTS, temperature=0.5),
}
LOSSES["ride, late"].begin_epoch(1, 1)  # type: ignore[operator]


def test_every_loss_is_tried() -> None:
    there = {name for name in losses.__all__ if name.endswith("Loss")}
    assert there == {type(loss).__name__ for loss in LOSSES.values()}


def make_batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    # Class 3 has one image and class 4 none, as happens to rare classes.
    labels = torch.randint(3, (IMAGES,), generator=generator)
    labels[7] = 3
    return {
        "features": torch.randn(IMAGES, WIDTH, **draw),
        "labels": labels,
        "teacher": torch.randn(IMAGES, len(COUNTS), **draw),
        "anchors": torch.randn(IMAGES, 4, **draw),
    }


def loss_and_gradient(loss_fn: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The loss of logits that one matrix makes of features, and that matrix's gradient."""
    generator = torch.Generator().manual_seed(99)
    weight = torch.randn(WIDTH, 2 * len(COUNTS), generator=generator, dtype=torch.float64)
    weight.requires_grad_()
    both = batch["features"] @ weight
    logits, others = both.chunk(2, dim=1)
    labels = batch["labels"]
    inner = loss_fn.after if isinstance(loss_fn, DeferredLoss) else loss_fn
    if isinstance(inner, RIDELoss | SHIKELoss):
        loss = loss_fn(torch.stack([logits, others]), labels)
    elif isinstance(inner, DistillationLoss):
        loss = loss_fn(logits, batch["teacher"])
    elif isinstance(inner, DiVELoss):
        loss = loss_fn(logits, labels, batch["teacher"])
    elif isinstance(inner, PaCoLoss):
        anchors = nn.functional.normalize(batch["anchors"] + others[:, :4], dim=1)
        queue = torch.eye(4, dtype=torch.float64).repeat(3, 1)
        queued = torch.arange(12) % 5
        loss = loss_fn(logits, labels, anchors=anchors, others=queue, other_labels=queued)
    else:
        loss = loss_fn(logits, labels)
    (gradient,) = torch.autograd.grad(loss, weight)
    return loss.detach(), gradient


def splits(labels: Tensor, size: int) -> dict[str, list[Tensor]]:
    """Rows of each process: all the ways that could go wrong."""
    rows = torch.arange(len(labels))
    nothing = rows[:0]
    return {
        "strided": [rows[rank::size] for rank in range(size)],
        "by class": [rows[labels % size == rank] for rank in range(size)],
        "uneven": [rows[:1], rows[1:], *[nothing] * (size - 2)],
        "last one has all": [*[nothing] * (size - 1), rows],
        "first one has all": [rows, *[nothing] * (size - 1)],
    }


def _one_part(group: Any, name: str, parts: list[dict[str, Tensor]]) -> list[Any]:
    loss_fn = LOSSES[name]
    for module in loss_fn.modules():
        module.process_group = group
    return [loss_and_gradient(loss_fn, part) for part in parts]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_every_split_of_a_batch_gives_value_and_gradient_of_the_batch(processes, name, size):
    batch = make_batch()
    expected, gradient = loss_and_gradient(LOSSES[name], batch)
    assert gradient.abs().max() > 1e-3
    ways = splits(batch["labels"], size)
    parts = [
        (name, [{key: value[way[rank]] for key, value in batch.items()} for way in ways.values()])
        for rank in range(size)
    ]
    answers = processes.run(_one_part, parts)
    for index, way in enumerate(ways):
        losses, gradients = zip(*[answer[index] for answer in answers], strict=True)
        for loss in losses:
            torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9, msg=f"{way}: {loss}")
        averaged = torch.stack(gradients).mean(dim=0)
        torch.testing.assert_close(averaged, gradient, rtol=1e-6, atol=1e-9)


def test_one_process_alone_is_what_it_always_was(processes):
    batch = make_batch()
    expected, gradient = loss_and_gradient(LOSSES["gml"], batch)
    ((answer,),) = processes.run(_one_part, [("gml", [batch])])
    assert torch.equal(answer[0], expected)
    assert torch.equal(answer[1], gradient)


def _second_derivative(group: Any, features: Tensor, labels: Tensor, direction: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1, direction.numel(), dtype=torch.float64).reshape(direction.shape)
    weight.requires_grad_()
    loss = GMLLoss(COUNTS, process_group=group)(features @ weight, labels)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    return torch.autograd.grad((gradient * direction).sum(), weight)[0]


def test_second_derivatives_of_gml_are_those_of_the_batch(processes):
    batch = make_batch(1)
    direction = torch.randn(WIDTH, len(COUNTS), dtype=torch.float64)
    expected = _second_derivative(None, batch["features"], batch["labels"], direction)
    rows = torch.arange(IMAGES)
    parts = [rows[rows % 5 != 0], rows[rows % 5 == 0]]
    answers = processes.run(
        _second_derivative, [(batch["features"][r], batch["labels"][r], direction) for r in parts]
    )
    torch.testing.assert_close(torch.stack(answers).mean(dim=0), expected, rtol=1e-8, atol=1e-9)


def _extreme(group: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    loss = GMLLoss(COUNTS, process_group=group)(logits, labels)
    loss.backward()
    return loss.detach(), logits.grad


def test_gml_stays_finite_where_no_probability_can_be_held(processes):
    logits = torch.tensor([[1e4, -1e4, 0, 0, 0], [-1e4, 1e4, 0, 0, 0]], dtype=torch.float32)
    labels = torch.tensor([1, 0])
    expected, gradient = _extreme(None, logits, labels)
    answers = processes.run(_extreme, [(logits[:1], labels[:1]), (logits[1:], labels[1:])])
    for row, (loss, part) in enumerate(answers):
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(part / 2, gradient[row : row + 1])
    assert torch.isfinite(expected)


def _validates_alone(group: Any, who: int) -> list[float]:
    """The first process looks at a validation batch while the other one is elsewhere."""
    if who == 1:
        return []
    logits, labels = torch.eye(5, dtype=torch.float64), torch.arange(5)
    learned = logits.clone().requires_grad_()
    loss_fn = GMLLoss(COUNTS, process_group=group)
    values = [loss_fn.eval()(learned, labels)]
    with torch.no_grad():
        values.append(loss_fn.train()(learned, labels))
    values.append(GMLLoss(COUNTS, process_group=group, sync=False)(learned, labels))
    return [float(value) for value in values]


def test_a_validation_pass_on_one_process_waits_for_nobody(processes):
    values, nothing = processes.run(_validates_alone, [(0,), (1,)])
    expected = float(GMLLoss(COUNTS)(torch.eye(5, dtype=torch.float64), torch.arange(5)))
    assert values == pytest.approx([expected] * 3)
    assert nothing == []


def _empty_everywhere(group: Any, name: str) -> str:
    logits = torch.zeros(0, 5, dtype=torch.float64, requires_grad=True)
    loss_fn = LOSSES[name]
    loss_fn.process_group = group
    try:
        loss_fn(logits, torch.zeros(0, dtype=torch.int64))
    except InputError as error:
        return str(error)
    return "nothing was said"


@pytest.mark.parametrize("name", ["gml", "lade"])
def test_a_batch_that_is_empty_everywhere_is_refused_everywhere(processes, name):
    for said in processes.run(_empty_everywhere, [(name,), (name,)]):
        assert said.startswith("The batch is empty")


def _gather(group: Any, rows: Tensor) -> tuple[Tensor, int, Tensor]:
    rows = rows.clone().requires_grad_()
    together = gathered(rows, group)
    (together * torch.arange(1, len(together) + 1)[:, None]).sum().backward()
    assert torch.equal(summed(torch.ones(2), group), torch.full((2,), 2.0))
    return together.detach(), rows_before(rows, group), rows.grad


def test_gathering_keeps_the_order_of_processes_and_the_gradient(processes):
    rows = torch.arange(8.0).reshape(4, 2)
    first, second = processes.run(_gather, [(rows[:3],), (rows[3:],)])
    assert torch.equal(first[0], rows)
    assert torch.equal(second[0], rows)
    assert (first[1], second[1]) == (0, 3)
    assert first[2].tolist() == [[2, 2], [4, 4], [6, 6]]  # both processes' gradients
    assert second[2].tolist() == [[8, 8]]


def _follow(group: Any, batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    means, queue = ClassMeans(5, 3).double(), FeatureQueue(7, 3)
    for features, labels in batches:
        means.update(features, labels)
        queue.push(features, labels)
    return means(), queue.features, queue.labels


def test_class_means_and_queue_follow_the_batches_of_all_processes(processes):
    generator = torch.Generator().manual_seed(5)
    batches = [
        (torch.randn(9, 3, generator=generator, dtype=torch.float64), torch.arange(9) % 4)
        for _ in range(3)
    ]
    cuts = [slice(0, 2), slice(2, 2), slice(2, 8), slice(8, 9)]
    parts = [([(f[cut], y[cut]) for f, y in batches],) for cut in cuts]
    expected = _follow(None, batches)
    for means, features, labels in processes.run(_follow, parts):
        torch.testing.assert_close(means, expected[0], rtol=1e-12, atol=0)
        assert torch.equal(features, expected[1])
        assert torch.equal(labels, expected[2])


def _compiled(group: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    torch.compiler.reset()
    logits = logits.clone().requires_grad_()
    loss = torch.compile(GMLLoss(COUNTS, process_group=group))(logits, labels)
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.slow
def test_gml_compiles_in_several_processes(processes):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(8) % 3
    expected, gradient = _extreme(None, logits, labels)
    answers = processes.run(_compiled, [(logits[:5], labels[:5]), (logits[5:], labels[5:])])
    torch.testing.assert_close(torch.stack([a[0] for a in answers]), expected.expand(2))
    torch.testing.assert_close(torch.cat([a[1] for a in answers]) / 2, gradient)


def _half_precision(group: Any, logits: Tensor, labels: Tensor) -> Tensor:
    loss_fn = LDAMLoss([9, 4, 2], weight=torch.full((3,), 20.0), process_group=group).half()
    return loss_fn(logits.clone().requires_grad_(), labels).detach()


def test_weights_in_half_precision_are_summed_in_full(processes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4096, 3, generator=generator)
    labels = torch.arange(4096) % 3
    alone = _half_precision(None, logits, labels)
    halves = [(logits[:2048], labels[:2048]), (logits[2048:], labels[2048:])]
    for together in processes.run(_half_precision, halves):  # it was 0: the weights' sum infinite
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)


def _refused(group: Any, name: str) -> str:
    loss_fn = LOSSES[name]
    loss_fn.process_group = group
    try:
        loss_and_gradient(loss_fn, {**make_batch(), "labels": torch.full((IMAGES,), -100)})
    except InputError as error:
        return str(error)
    return "nothing was said"


@pytest.mark.parametrize("name", ["ride", "dive"])
def test_a_label_that_is_none_is_refused_everywhere(processes, name):
    for said in processes.run(_refused, [(name,), (name,)]):
        assert said == "labels[0] is -100, outside 0..4 (23 such)."
