"""What every loss says about inputs that cannot be used."""

from __future__ import annotations

import pytest
import torch

from everyclass.artifacts import ClassCounts
from everyclass.errors import EveryclassError, InputError, InputTypeError
from everyclass.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    GMLLoss,
    LabelAwareSmoothingLoss,
    LADELoss,
    LDAMLoss,
    LogitAdjustedLoss,
    balanced_softmax_loss,
    class_balanced_loss,
    class_balanced_weights,
    dive_loss,
    focal_loss,
    gml_loss,
    label_aware_smoothing_loss,
    lade_loss,
    ldam_loss,
    logit_adjusted_loss,
    ride_loss,
    smoothing_by_class,
)

FUNCTIONS = [
    gml_loss,
    balanced_softmax_loss,
    class_balanced_loss,
    label_aware_smoothing_loss,
    lade_loss,
    ldam_loss,
    logit_adjusted_loss,
]
MODULES = [
    GMLLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    LabelAwareSmoothingLoss,
    LADELoss,
    LDAMLoss,
    LogitAdjustedLoss,
]
# What a class without images is left with.
HAS_NO = {
    class_balanced_loss: "no weight",
    label_aware_smoothing_loss: "no smoothing of its own",
    ldam_loss: "no margin of its own",
}


def focal(logits, labels, class_counts):
    """Focal loss, which counts classes by the logits alone."""
    return focal_loss(logits, labels)


def refusal(loss, *args, **kwargs) -> Exception:
    with pytest.raises(EveryclassError) as caught:
        loss(*args, **kwargs)
    return caught.value


@pytest.fixture(params=["gradient", "no gradient", "bfloat16"])
def logits(request) -> torch.Tensor:
    """The three ways in which a loss goes through logits."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    if request.param == "bfloat16":
        return x.bfloat16().requires_grad_()
    return x.requires_grad_(request.param == "gradient")


@pytest.mark.parametrize("loss", [*FUNCTIONS, focal])
@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 1, 3, 7], "labels[2] is 3, outside 0..2 (2 such)."),
        ([0, -1, 1, 2], "labels[1] is -1, outside 0..2 (1 such)."),
        ([10**15, 1, 1, 2], "labels[0] is 1000000000000000, outside 0..2 (1 such)."),
    ],
)
def test_a_label_outside_the_classes(loss, logits, labels, text) -> None:
    error = refusal(loss, logits, torch.tensor(labels), [3, 2, 1])
    assert str(error) == text
    assert isinstance(error, InputError)
    assert isinstance(error, ValueError)


def test_only_the_ignored_label_is_ignored(logits) -> None:
    labels = torch.tensor([0, -1, -100, 3])
    error = refusal(balanced_softmax_loss, logits, labels, [3, 2, 1], ignore_index=-1)
    assert str(error) == "labels[2] is -100, outside 0..2 (2 such)."


def test_losses_that_leave_no_row_out_refuse_the_label_of_such_rows(logits) -> None:
    labels = torch.tensor([0, -100, 1, 2])
    text = "labels[1] is -100, outside 0..2 (1 such)."
    assert str(refusal(dive_loss, logits, labels, [3, 2, 1], logits.detach())) == text
    assert str(refusal(ride_loss, torch.stack([logits, logits]), labels, [3, 2, 1])) == text


@pytest.mark.parametrize(("loss", "module"), list(zip(FUNCTIONS, MODULES, strict=True)))
def test_a_label_of_a_class_without_images(loss, module, logits) -> None:
    labels = torch.tensor([0, 1, 2, 2])
    text = (
        "labels[2] is {}, which has no training image in class_counts and so "
        f"{HAS_NO.get(loss, 'probability 0')}; give the counts of the data that the labels come "
        "from."
    )
    error = refusal(loss, logits, labels, [3, 2, 0])
    assert str(error) == text.format("class 2")
    assert isinstance(error, InputError)
    named = ClassCounts.of({"ant": 3, "bee": 2, "cat": 0})
    assert str(refusal(loss, logits, labels, named)) == text.format("'cat' (class 2)")
    assert str(refusal(module(named), logits, labels)) == text.format("'cat' (class 2)")
    with torch.no_grad():
        logits[0, 0] = float("nan")  # a training that diverged must not hide it
    assert str(refusal(loss, logits, labels, [3, 2, 0])) == text.format("class 2")


def test_without_reweighting_a_class_without_images_is_fine(logits) -> None:
    labels = torch.tensor([0, 1, 2, 2])
    got = gml_loss(logits, labels, [3, 2, 0], reweight=False)
    torch.testing.assert_close(got, gml_loss(logits, labels, [5, 5, 5]))
    error = refusal(gml_loss, logits, labels + 1, [3, 2, 0], reweight=False)
    assert str(error) == "labels[2] is 3, outside 0..2 (2 such)."


@pytest.mark.parametrize("loss", [*FUNCTIONS, focal])
@pytest.mark.parametrize(
    ("logits", "labels", "error", "text"),
    [
        (
            torch.zeros(2, 3),
            torch.tensor([0.0, 1.0]),
            InputTypeError,
            "labels must be integers 0..C−1; got torch.float32; convert them with labels.long().",
        ),
        (
            torch.zeros(2, 3),
            torch.tensor([True, False]),
            InputTypeError,
            "labels must be integers 0..C−1; got torch.bool; convert them with labels.long().",
        ),
        (
            torch.zeros(2, 3),
            torch.zeros(2, 3),
            InputTypeError,
            "labels must be integers 0..C−1; got torch.float32; one class per image.",
        ),
        (
            torch.zeros(2, 3, dtype=torch.long),
            torch.tensor([0, 1]),
            InputTypeError,
            "logits must be floating-point numbers; got torch.int64.",
        ),
        (
            [[0.0, 1.0, 2.0]],
            torch.tensor([0]),
            InputTypeError,
            "logits and labels must be tensors; got list and Tensor.",
        ),
        (
            torch.zeros(2, 3),
            [0, 1],
            InputTypeError,
            "logits and labels must be tensors; got Tensor and list.",
        ),
        (
            torch.zeros(3),
            torch.tensor([0]),
            InputError,
            "logits must be (n, C), one row per image and one column per class; got shape (3,).",
        ),
        (
            torch.zeros(2, 3, 4, 4),
            torch.zeros(2, 4, 4, dtype=torch.long),
            InputError,
            "logits must be (n, C), one row per image and one column per class; got shape "
            "(2, 3, 4, 4).",
        ),
        (
            torch.zeros(2, 3),
            torch.tensor([0, 1, 2]),
            InputError,
            "labels must be (n,), one class per row of logits; got shape (3,) for logits of shape "
            "(2, 3).",
        ),
        (
            torch.zeros(2, 3),
            torch.tensor([[0], [1]]),
            InputError,
            "labels must be (n,), one class per row of logits; got shape (2, 1) for logits of "
            "shape (2, 3).",
        ),
        (
            torch.zeros(0, 3),
            torch.zeros(0, dtype=torch.long),
            InputError,
            "The batch is empty and its loss undefined; skip such a batch.",
        ),
        (
            torch.zeros(2, 4),
            torch.tensor([0, 1]),
            InputError,
            "class_counts has 3 entries and logits 4 columns; give one count per class, in class "
            "order.",
        ),
        (
            torch.zeros(2, 3, device="meta"),
            torch.tensor([0, 1]),
            InputError,
            "labels are on cpu and logits on meta; move them to one device.",
        ),
    ],
)
def test_unusable_inputs(loss, logits, labels, error, text) -> None:
    if loss is focal and "class_counts" in text:
        pytest.skip("focal loss has no class counts")
    caught = refusal(loss, logits, labels, torch.tensor([3, 2, 1]))
    assert str(caught) == text
    assert type(caught) is error
    assert isinstance(caught, TypeError if error is InputTypeError else ValueError)


@pytest.mark.parametrize("counts", [[3, -2, 1], torch.tensor([3, -2, 1])])
def test_a_negative_count(counts, logits) -> None:
    text = "class_counts[1] is -2; a count cannot be negative."
    labels = torch.tensor([0, 1, 2, 2])
    for loss, module in zip(FUNCTIONS, MODULES, strict=True):
        assert str(refusal(loss, logits, labels, counts)) == text
        assert str(refusal(module, counts)) == text
    for by_class in (class_balanced_weights, smoothing_by_class):
        assert str(refusal(by_class, counts)) == text


@pytest.mark.parametrize("counts", [[3.5, 2, 1], torch.tensor([3.5, 2, 1])])
def test_counts_that_are_not_whole(counts, logits) -> None:
    labels = torch.tensor([0, 1, 2, 2])
    for loss, module in zip(FUNCTIONS, MODULES, strict=True):
        for error in (refusal(loss, logits, labels, counts), refusal(module, counts)):
            assert isinstance(error, InputTypeError)
            assert "class_counts must be whole numbers; got float" in str(error)


@pytest.mark.parametrize("counts", [[], [[3, 2, 1]], torch.ones(1, 3, dtype=torch.long)])
def test_counts_that_are_not_one_per_class(counts, logits) -> None:
    labels = torch.tensor([0, 1, 2, 2])
    for loss, module in zip(FUNCTIONS, MODULES, strict=True):
        for error in (refusal(loss, logits, labels, counts), refusal(module, counts)):
            assert str(error).startswith("class_counts must be one number per class; got an array")
