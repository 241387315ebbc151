"""Balanced Softmax against its equation and against cross entropy of adjusted logits."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError, InputTypeError
from everyclass.losses import BalancedSoftmaxLoss, balanced_softmax_loss

COUNTS = [70_000, 1, 500, 20]


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    return logits.to(dtype).requires_grad_(), torch.tensor([0, 3, 2, 0, 3, 1, 0])


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits)[0]


def test_equals_the_equation() -> None:
    logits, labels = batch()
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        terms = [n * math.exp(o) for n, o in zip(COUNTS, row, strict=True)]
        expected.append(-math.log(terms[label] / sum(terms)))
    got = balanced_softmax_loss(logits, labels, COUNTS, reduction="none")
    assert got.tolist() == pytest.approx(expected, rel=1e-10)
    assert balanced_softmax_loss(logits, labels, COUNTS).item() == pytest.approx(
        sum(expected) / len(expected), rel=1e-10
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 3, 9])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_cross_entropy_of_adjusted_logits(reduction, weighted, ignore_index, dtype) -> None:
    logits, labels = batch(dtype)
    labels[2] = ignore_index
    weight = torch.tensor([0.5, 3.0, 1.0, 0.1]) if weighted else None
    x = logits.detach().double().requires_grad_()
    expected = F.cross_entropy(
        x + torch.tensor(COUNTS).double().log(),
        labels,
        weight=None if weight is None else weight.double(),
        ignore_index=ignore_index,
        reduction=reduction,
    )
    options = {"reduction": reduction, "weight": weight, "ignore_index": ignore_index}
    got = balanced_softmax_loss(logits, labels, COUNTS, **options)
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = dtype == torch.float64
    torch.testing.assert_close(got.double(), expected, rtol=1e-10 if exact else 1e-5, atol=1e-6)
    rounding = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    got_gradient = gradient(got, logits)
    assert got_gradient.dtype == dtype
    torch.testing.assert_close(
        got_gradient.double(), gradient(expected, x), rtol=rounding, atol=1e-6
    )
    module = BalancedSoftmaxLoss(COUNTS, **options)
    assert torch.equal(module(logits, labels), got)


def test_equal_counts_change_nothing() -> None:
    logits, labels = batch()
    for reduction in ("mean", "sum", "none"):
        expected = F.cross_entropy(logits, labels, reduction=reduction)
        got = balanced_softmax_loss(logits, labels, [7] * 4, reduction=reduction)
        torch.testing.assert_close(got, expected)


def test_gradcheck() -> None:
    logits, labels = batch()
    assert torch.autograd.gradcheck(lambda x: balanced_softmax_loss(x, labels, COUNTS), logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("logit", [0.0, 1e4])
def test_a_class_without_images_is_as_if_it_were_not_there(dtype, logit) -> None:
    logits, labels = batch(dtype)
    labels[labels == 1] = 0
    with torch.no_grad():
        logits[:, 1] = logit
    counts = torch.tensor([500, 0, 3, 20])
    keep = torch.tensor([0, 2, 3])
    without = logits.detach()[:, keep].clone().requires_grad_()
    loss = balanced_softmax_loss(logits, labels, counts)
    expected = balanced_softmax_loss(without, torch.tensor([0, -1, 1, 2])[labels], counts[keep])
    torch.testing.assert_close(loss, expected)
    got = gradient(loss, logits)
    assert (got[:, 1] == 0).all()
    torch.testing.assert_close(got[:, keep], gradient(expected, without))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_any_size(dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0, 1e4], [-1e4, 1e4, 1e4, -1e4]], dtype=dtype)
    logits.requires_grad_()
    loss = balanced_softmax_loss(logits, torch.tensor([1, 0]), COUNTS)
    assert loss.isfinite()
    assert loss > 1.9e4
    assert gradient(loss, logits).isfinite().all()


def test_an_ignored_row_may_carry_any_label_and_all_ignored_is_as_in_torch() -> None:
    logits, labels = batch()
    labels[:] = -100
    assert balanced_softmax_loss(logits, labels, COUNTS).isnan()
    assert balanced_softmax_loss(logits, labels, COUNTS, reduction="sum") == 0
    labels[0] = 2
    alone = balanced_softmax_loss(logits[:1], labels[:1], COUNTS)
    torch.testing.assert_close(balanced_softmax_loss(logits, labels, COUNTS), alone)


def test_inside_autocast() -> None:
    logits, labels = batch(torch.bfloat16)
    expected = balanced_softmax_loss(logits, labels, COUNTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = balanced_softmax_loss(logits, labels, COUNTS)
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


@pytest.mark.parametrize("cast", [lambda m: m.half(), lambda m: m.to(torch.bfloat16)])
def test_no_cast_narrows_the_counts(cast) -> None:
    logits, labels = batch(torch.float16)
    module = cast(BalancedSoftmaxLoss(COUNTS, weight=torch.tensor([1.0, 2.0, 0.5, 4.0])))
    assert module.class_counts.tolist() == COUNTS
    expected = balanced_softmax_loss(
        logits, labels, COUNTS, weight=torch.tensor([1.0, 2.0, 0.5, 4.0])
    )
    torch.testing.assert_close(module(logits, labels), expected)


def test_state_dict_pickle_and_deepcopy() -> None:
    logits, labels = batch()
    weight = torch.tensor([0.5, 3.0, 1.0, 0.1])
    names = ("ant", "bee", "cat", "dog")
    module = BalancedSoftmaxLoss(ClassCounts.of(COUNTS, names=None), weight=weight)
    loss = module(logits, labels)
    assert list(module.state_dict()) == ["class_counts", "weight"]
    loaded = BalancedSoftmaxLoss(dict(zip(names, [1] * 4, strict=True)), weight=torch.ones(4))
    assert loaded(logits, labels) != loss
    loaded.load_state_dict(module.state_dict())
    for other in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert other(logits, labels) == loss
        assert other.class_names == names


def test_repr_says_what_it_does() -> None:
    text = "BalancedSoftmaxLoss(num_classes=4, reduction='sum', ignore_index=-1)"
    assert repr(BalancedSoftmaxLoss(COUNTS, reduction="sum", ignore_index=-1)) == text


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"reduction": "batchmean"},
            InputError,
            "reduction must be 'mean', 'sum' or 'none'; got 'batchmean'.",
        ),
        (
            {"weight": torch.ones(3)},
            InputError,
            "weight must be (4,), one factor per class; got shape (3,).",
        ),
        (
            {"weight": torch.ones(4, dtype=torch.long)},
            InputTypeError,
            "weight must be a tensor of floating-point numbers; got torch.int64.",
        ),
        (
            {"weight": [1.0] * 4},
            InputTypeError,
            "weight must be a tensor of floating-point numbers; got list.",
        ),
    ],
)
def test_unusable_options_are_refused_at_once(options, error, text) -> None:
    with pytest.raises(error) as caught:
        BalancedSoftmaxLoss(COUNTS, **options)
    assert str(caught.value) == text
    with pytest.raises(error) as caught:
        balanced_softmax_loss(*batch(), COUNTS, **options)
    assert str(caught.value) == text
