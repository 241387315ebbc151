"""What holds for every loss alike; what only one of them does is tested in its own file."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass import losses
from everyclass.artifacts import ClassCounts
from everyclass.errors import EveryclassError, InputError, InputTypeError
from everyclass.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    DistillationLoss,
    DiVELoss,
    FocalLoss,
    LabelAwareSmoothingLoss,
    LADELoss,
    LDAMLoss,
    LogitAdjustedLoss,
    PaCoLoss,
    RIDELoss,
    SHIKELoss,
    balanced_softmax_loss,
    class_balanced_loss,
    class_balanced_weights,
    distillation_loss,
    dive_loss,
    focal_loss,
    label_aware_smoothing_loss,
    lade_loss,
    ldam_loss,
    logit_adjusted_loss,
    paco_loss,
    ride_loss,
    shike_loss,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# Of the gradient, which is rounded to the type of the logits; the loss is float32 or wider.
GRADIENT_TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.bfloat16: 1e-2,
    torch.float16: 2e-3,
}
COUNTS = [70_000, 1, 500, 20]
WEIGHT = torch.tensor([0.5, 3.0, 1.0, 0.1], dtype=torch.float64)
EVERY = ("reduction", "weight", "ignore_index")
Inputs = dict[str, Tensor]


# --- what a loss is given --------------------------------------------------------------------
# Logits are (n, C); of several experts, or of student and teacher, they are (n, C, networks).


def just_these(logits: Tensor, labels: Tensor) -> Inputs:
    return {"logits": logits, "labels": labels}


def experts(logits: Tensor, labels: Tensor) -> Inputs:
    return {"expert_logits": logits.permute(2, 0, 1), "labels": labels}


def student_and_teacher(logits: Tensor, labels: Tensor) -> Inputs:
    return {"logits": logits[..., 0], "teacher_logits": logits[..., 1]}


def student_teacher_and_labels(logits: Tensor, labels: Tensor) -> Inputs:
    return {**student_and_teacher(logits, labels), "labels": labels}


def logits_and_contrasts(logits: Tensor, labels: Tensor) -> Inputs:
    """Each image's direction follows from its logits in whatever order; one place is empty."""
    anchors = F.normalize(logits.double().softmax(dim=1).sort(dim=1).values)
    others = torch.cat([anchors.roll(1, dims=1), anchors[:1]])
    empty = F.pad(labels.long(), (0, 1), value=-1)
    return {
        "logits": logits,
        "labels": labels,
        "anchors": anchors,
        "others": others,
        "other_labels": empty,
    }


def all_free(moved: Tensor, logits: Tensor) -> Tensor:
    return moved


def mean_of_experts_held(moved: Tensor, logits: Tensor) -> Tensor:
    return moved - moved.mean(dim=2, keepdim=True) + logits.mean(dim=2, keepdim=True)


def teacher_held(moved: Tensor, logits: Tensor) -> Tensor:
    return torch.stack([moved[..., 0], logits[..., 1]], dim=2)


@dataclass(frozen=True)
class Case:
    """A loss with settings other than its defaults, and what it knows."""

    name: str
    function: Callable[..., Tensor]
    module: Callable[..., nn.Module]
    settings: dict[str, Any]
    counted: bool = True
    knows: tuple[str, ...] = EVERY
    sees_constants: bool = False
    given: Callable[[Tensor, Tensor], Inputs] = just_these
    networks: int = 1
    held: Callable[[Tensor, Tensor], Tensor] = all_free  # what has no gradient, put back

    def __str__(self) -> str:
        return self.name

    def loss(self, logits: Tensor, labels: Tensor, counts: Any = COUNTS, **more: Any) -> Tensor:
        counted = {"class_counts": counts} if self.counted else {}
        return self.function(**self.given(logits, labels), **counted, **{**self.settings, **more})

    def build(self, counts: Any = COUNTS, **more: Any) -> nn.Module:
        return self.module(*((counts,) if self.counted else ()), **{**self.settings, **more})

    def of(self, module: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
        return module(**self.given(logits, labels))

    def logits(self, of_one: Tensor) -> Tensor:
        """Those of every network: the rows of one of them, each time in another order."""
        if self.networks == 1:
            return of_one
        return torch.stack([of_one.roll(i, dims=0) for i in range(self.networks)], dim=2)

    def batch(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        logits = 3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
        labels = torch.tensor([0, 3, 2, 0, 3, 1, 0])
        return self.logits(logits).to(dtype).requires_grad_(), labels


CASES = [
    Case("balanced softmax", balanced_softmax_loss, BalancedSoftmaxLoss, {}),
    Case("logit adjusted", logit_adjusted_loss, LogitAdjustedLoss, {"tau": 0.7}),
    Case("ldam", ldam_loss, LDAMLoss, {"max_margin": 0.3, "scale": 10.0}),
    Case("focal", focal_loss, FocalLoss, {"gamma": 0.5}, counted=False),
    Case(
        "sigmoid focal",
        focal_loss,
        FocalLoss,
        {"gamma": 2.0, "form": "sigmoid"},
        counted=False,
        sees_constants=True,
    ),
    Case(
        "class-balanced",
        class_balanced_loss,
        ClassBalancedLoss,
        {"beta": 0.99},
        knows=("reduction", "ignore_index"),
    ),
    Case(
        "class-balanced focal",
        class_balanced_loss,
        ClassBalancedLoss,
        {"beta": 0.99, "gamma": 1.5},
        knows=("reduction", "ignore_index"),
    ),
    Case(
        "smoothing of all",
        label_aware_smoothing_loss,
        LabelAwareSmoothingLoss,
        {"smooth_head": 0.3, "smooth_tail": 0.05},
    ),
    Case(
        "smoothing of others",
        label_aware_smoothing_loss,
        LabelAwareSmoothingLoss,
        {"profile": "convex", "share": "others"},
    ),
    Case(
        "lade",
        lade_loss,
        LADELoss,
        {"alpha": 0.3, "penalty": 0.2},
        knows=(),
        sees_constants=True,
    ),
    Case(
        "lade by sample",
        lade_loss,
        LADELoss,
        {"importance": "sample"},
        knows=(),
        sees_constants=True,
    ),
    Case(
        "ride",
        ride_loss,
        RIDELoss,
        {"diversity": 0.3, "max_margin": 0.4, "scale": 10.0},
        knows=(),
        given=experts,
        networks=3,
        held=mean_of_experts_held,
    ),
    Case(
        "ride reweighted",
        ride_loss,
        RIDELoss,
        {"reweight": True, "flattening": 0.2},
        knows=(),
        sees_constants=True,  # each class divides it by a temperature of its own
        given=experts,
        networks=2,
        held=mean_of_experts_held,
    ),
    Case(
        "shike",
        shike_loss,
        SHIKELoss,
        {"hardest": 3.0, "mutual": 2.0},
        counted=False,
        knows=(),
        given=experts,
        networks=3,
    ),
    Case(
        "distillation",
        distillation_loss,
        DistillationLoss,
        {"temperature": 3.0, "power": 0.7},
        counted=False,
        knows=(),
        given=student_and_teacher,
        networks=2,
        held=teacher_held,
    ),
    Case(
        "dive",
        dive_loss,
        DiVELoss,
        {"alpha": 0.3, "temperature": 3.0},
        knows=(),
        given=student_teacher_and_labels,
        networks=2,
        held=teacher_held,
    ),
    Case(
        "paco",
        paco_loss,
        PaCoLoss,
        {"alpha": 0.3, "beta": 0.7, "gamma": 0.5, "temperature": 0.2},
        knows=(),
        sees_constants=True,  # as it weighs classes against images
        given=logits_and_contrasts,
    ),
]


def test_every_loss_has_a_case() -> None:
    """GML, whose loss is of classes and no mean over images, has its contract in test_gml.py."""
    there = {name for name in losses.__all__ if name.endswith("Loss")}
    tried = {case.module.__name__ for case in CASES if isinstance(case.module, type)}
    assert there - tried == {"GMLLoss", "DeferredLoss"}


OF_IMAGES = [case for case in CASES if "reduction" in case.knows]
COUNTED = [case for case in CASES if case.counted]


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits)[0]


def assert_same(one: Tensor, other: Tensor, logits: Tensor) -> None:
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(gradient(one, logits), gradient(other, logits))


# --- derivatives and what must not matter ----------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case: Case) -> None:
    logits, labels = case.batch()
    options = {"weight": WEIGHT} if "weight" in case.knows else {}

    still = logits.detach().clone()

    def loss(moved: Tensor) -> Tensor:
        return case.loss(case.held(moved, still), labels, **options)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_of_the_batch_does_not_matter(case: Case) -> None:
    logits, labels = case.batch()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert_same(case.loss(logits, labels), case.loss(logits[order], labels[order]), logits)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_of_the_classes_does_not_matter(case: Case) -> None:
    logits, labels = case.batch()
    order = torch.tensor([2, 0, 3, 1])
    one = case.loss(logits, labels)
    other = case.loss(logits[:, order], order.argsort()[labels], torch.tensor(COUNTS)[order])
    assert_same(one, other, logits)


@pytest.mark.parametrize("case", [case for case in CASES if case.given is experts], ids=str)
def test_the_order_of_the_experts_does_not_matter(case: Case) -> None:
    logits, labels = case.batch()
    assert_same(case.loss(logits, labels), case.loss(logits.roll(1, dims=2), labels), logits)


@pytest.mark.parametrize("constant", [-50.0, 1e-3, 700.0, 1e5])
@pytest.mark.parametrize("case", [case for case in CASES if not case.sees_constants], ids=str)
def test_a_constant_added_to_all_logits_changes_nothing(case: Case, constant: float) -> None:
    logits, labels = case.batch()
    one = case.loss(logits, labels)
    other = case.loss(logits + constant, labels)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        gradient(one, logits), gradient(other, logits), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_labels_of_any_integer_type(case: Case, dtype: torch.dtype) -> None:
    logits, labels = case.batch()
    assert case.loss(logits, labels.to(dtype)) == case.loss(logits, labels)


@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_counts_in_any_form(case: Case) -> None:
    logits, labels = case.batch()
    expected = case.loss(logits, labels)
    counts = torch.tensor(COUNTS)
    as_dict = dict(zip("abcd", COUNTS, strict=True))
    for form in (counts, counts.int(), counts.numpy(), counts.double(), as_dict):
        assert case.loss(logits, labels, form) == expected
        assert case.of(case.build(form), logits, labels) == expected
    assert case.of(case.build(ClassCounts.of(as_dict)), logits, labels) == expected


# --- weights, reductions, rows left out ------------------------------------------------------


@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_reductions_are_those_of_torch(case: Case) -> None:
    logits, labels = case.batch()
    options = {"weight": WEIGHT} if "weight" in case.knows else {}
    losses = case.loss(logits, labels, reduction="none", **options)
    factors = torch.ones(4, dtype=torch.float64)
    if "weight" in case.knows:
        factors = WEIGHT
        unweighted = case.loss(logits, labels, reduction="none")
        torch.testing.assert_close(losses, unweighted * WEIGHT[labels])
    elif case.counted:
        beta = case.settings["beta"]
        factors = class_balanced_weights(COUNTS, beta=beta, dtype=torch.float64)
    assert losses.shape == (7,)
    total = case.loss(logits, labels, reduction="sum", **options)
    torch.testing.assert_close(total, losses.sum())
    mean = case.loss(logits, labels, **options)
    torch.testing.assert_close(mean, losses.sum() / factors[labels].sum())


@pytest.mark.parametrize("ignore_index", [-100, 3, 255])
@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_ignored_rows_do_not_count(case: Case, ignore_index: int) -> None:
    logits, labels = case.batch()
    labels[labels == 3] = ignore_index
    kept = labels != ignore_index
    for reduction in ("mean", "sum"):
        one = case.loss(logits, labels, reduction=reduction, ignore_index=ignore_index)
        other = case.loss(logits[kept], labels[kept], reduction=reduction)
        assert_same(one, other, logits)
    each = case.loss(logits, labels, reduction="none", ignore_index=ignore_index)
    assert (each[~kept] == 0).all()
    torch.testing.assert_close(each[kept], case.loss(logits[kept], labels[kept], reduction="none"))


@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_a_batch_of_ignored_rows_is_as_in_torch(case: Case) -> None:
    logits, labels = case.batch()
    labels[:] = -100
    assert case.loss(logits, labels).isnan()
    total = case.loss(logits, labels, reduction="sum")
    assert total == 0
    assert (gradient(total, logits) == 0).all()
    assert (case.loss(logits, labels, reduction="none") == 0).all()


@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_an_ignored_row_may_hold_anything(case: Case) -> None:
    logits, labels = case.batch()
    labels[2] = -100
    expected = case.loss(logits, labels)
    with torch.no_grad():
        logits[2] = float("nan")
    assert case.loss(logits, labels) == expected


# --- extremes --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_type_gives_the_same_number(case: Case, dtype: torch.dtype) -> None:
    logits, labels = case.batch(dtype)
    exact = logits.detach().double().requires_grad_()
    loss, expected = case.loss(logits, labels), case.loss(exact, labels)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(loss.double(), expected, rtol=2e-6, atol=2e-6)
    got = gradient(loss, logits)
    assert got.dtype == dtype
    torch.testing.assert_close(
        got.double(), gradient(expected, exact), rtol=GRADIENT_TOLERANCE[dtype], atol=1e-6
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 20.0, 100.0, 1e4])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_of_any_size(case: Case, size: float, dtype: torch.dtype) -> None:
    signs = torch.tensor([[1, -1, 0, 1], [-1, 1, 1, -1], [0, 0, -1, 1], [-1, -1, -1, 1]])
    logits = case.logits(signs * size).to(dtype).requires_grad_()
    for labels in (torch.tensor([1, 0, 2, 3]), torch.tensor([0, 1, 3, 0])):
        loss = case.loss(logits, labels)
        assert loss.isfinite()
        assert gradient(loss, logits).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_batch_of_one(case: Case, dtype: torch.dtype) -> None:
    logits, labels = (t[:1] for t in case.batch(dtype))
    loss = case.loss(logits, labels)
    assert loss.shape == ()
    assert gradient(loss, logits).isfinite().all()
    if "reduction" in case.knows:
        assert case.loss(logits, labels, reduction="none").shape == (1,)


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "shike"], ids=str)
def test_one_class(case: Case) -> None:
    logits = case.logits(torch.zeros(3, 1)).requires_grad_()
    loss = case.loss(logits, torch.zeros(3, dtype=torch.long), [5])
    assert loss.isfinite()
    assert gradient(loss, logits).isfinite().all()


@pytest.mark.parametrize("logit", [0.0, -1e4, 1e4, -torch.inf])
@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_a_class_without_images_spoils_nothing(case: Case, logit: float) -> None:
    logits, labels = case.batch()
    labels[labels == 1] = 0
    with torch.no_grad():
        logits[:, 1] = logit
    for counts in ([500, 0, 3, 20], torch.tensor([7, 0, 7, 7])):
        loss = case.loss(logits, labels, counts)
        if logit == -torch.inf and "smoothing" in case.name:  # which asks for a share of that class
            assert loss == torch.inf
            continue
        assert loss.isfinite()
        assert gradient(loss, logits).isfinite().all()


# --- torch: autocast, casts, modules ---------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inside_autocast(case: Case) -> None:
    logits, labels = case.batch(torch.bfloat16)
    expected = case.loss(logits, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = case.loss(logits, labels)
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_module_equals_function(case: Case) -> None:
    logits, labels = case.batch()
    labels[3] = 2
    options = {"reduction": "sum", "weight": WEIGHT, "ignore_index": 2}
    options = {name: value for name, value in options.items() if name in case.knows}
    module = case.build(**options)
    loss, expected = case.of(module, logits, labels), case.loss(logits, labels, **options)
    assert torch.equal(loss, expected)
    assert torch.equal(gradient(loss, logits), gradient(expected, logits))
    defaults = case.module(COUNTS) if case.counted else case.module()
    counted = {"class_counts": COUNTS} if case.counted else {}
    expected = case.function(**case.given(logits, labels), **counted)
    assert torch.equal(case.of(defaults, logits, labels), expected)


@pytest.mark.parametrize("cast", [lambda m: m.half(), lambda m: m.to(torch.bfloat16)])
@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_no_cast_narrows_the_counts(case: Case, cast: Callable[..., nn.Module]) -> None:
    logits, labels = case.batch(torch.float16)
    module = cast(nn.Sequential(case.build()))[0]
    assert module.class_counts.dtype == torch.int64
    assert module.class_counts.tolist() == COUNTS
    assert torch.equal(case.of(module, logits, labels), case.loss(logits, labels))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_dict_pickle_and_deepcopy(case: Case) -> None:
    logits, labels = case.batch()
    weighted = {"weight": WEIGHT} if "weight" in case.knows else {}
    named = dict(zip(("ant", "bee", "cat", "dog"), COUNTS, strict=True))
    module = case.build(named, **weighted)
    loss = case.of(module, logits, labels)
    buffers = ["class_counts"] * case.counted + list(weighted)
    assert list(module.state_dict()) == buffers
    other = case.build([9, 9, 9, 8], **{name: torch.ones(4) for name in weighted})
    assert (case.of(other, logits, labels) != loss) == bool(buffers)
    other.load_state_dict(module.state_dict())
    # torch copies the saved float64 weights into the float32 ones that are there.
    torch.testing.assert_close(case.of(other, logits, labels), loss, rtol=1e-6, atol=0)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert case.of(twin, logits, labels) == loss
        if case.counted:
            assert twin.class_names == ("ant", "bee", "cat", "dog")


@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_changing_the_callers_counts_changes_nothing(case: Case) -> None:
    logits, labels = case.batch()
    counts = torch.tensor(COUNTS)
    module = case.build(counts)
    expected = case.of(module, logits, labels)
    counts.fill_(1)
    assert case.of(module, logits, labels) == expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_repr_says_what_it_does(case: Case) -> None:
    text = repr(case.build())
    shown = {**case.settings}
    if case.counted:
        shown["num_classes"] = 4
    if "reduction" in case.knows:
        shown |= {"reduction": "mean", "ignore_index": -100}
    assert text.startswith(f"{case.module.__name__}(")
    for name, value in shown.items():
        assert f"{name}={value!r}" in text


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_one_graph(case: Case) -> None:
    options = {"weight": WEIGHT.float(), "ignore_index": 2}
    options = {name: value for name, value in options.items() if name in case.knows}
    module = case.build([70_000, 0, 500, 20], **options)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    logits, labels = case.batch(torch.bfloat16)
    labels[labels == 1] = 0
    given = case.given(logits, labels).items()
    inputs = {k: x.detach().requires_grad_(x.is_floating_point()) for k, x in given}
    free = [x for x in inputs.values() if x.requires_grad]
    one, other = compiled(**inputs), module(**inputs)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, free, allow_unused=True) for loss in (one, other))
    )


# --- what cannot be used ---------------------------------------------------------------------


def refusals(case: Case, **options: Any) -> list[EveryclassError]:
    """What the function says, and what the module says before it has seen a batch."""
    with pytest.raises(EveryclassError) as of_module:
        case.build(**options)
    with pytest.raises(EveryclassError) as of_function:
        case.loss(*case.batch(), **options)
    return [of_module.value, of_function.value]


@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_an_unknown_reduction(case: Case) -> None:
    for error in refusals(case, reduction="batchmean"):
        assert str(error) == "reduction must be 'mean', 'sum' or 'none'; got 'batchmean'."
        assert type(error) is InputError


@pytest.mark.parametrize("case", [case for case in CASES if "weight" in case.knows], ids=str)
def test_unusable_weights(case: Case) -> None:
    text = "weight must be a tensor of floating-point numbers; got {}."
    for weight, got in (([1.0] * 4, "list"), (torch.ones(4, dtype=torch.long), "torch.int64")):
        for error in refusals(case, weight=weight):
            assert str(error) == text.format(got)
            assert type(error) is InputTypeError
    text = "weight must be ({},), one factor per class; got shape {}."
    for error in refusals(case, weight=torch.ones(2, 2)):
        assert str(error) in [text.format(c, (2, 2)) for c in (4, "C")]
    with pytest.raises(InputError) as caught:
        case.loss(*case.batch(), weight=torch.ones(3))
    assert str(caught.value) == text.format(4, (3,))


NUMBERS = ("tau", "max_margin", "scale", "gamma", "beta", "smooth_head", "alpha", "penalty")
TO_ONE = ("beta", "smooth_head")


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range(name: str) -> None:
    case = next(case for case in CASES if name in case.settings)
    allowed = "from 0 to 1" if name in TO_ONE else "0 or more"
    for value in (-0.5, float("nan"), float("inf")):
        for error in refusals(case, **{name: value}):
            assert str(error) == f"{name} must be {allowed}; got {value}."
            assert type(error) is InputError
    for value, got in (("1", "str"), (None, "NoneType"), (True, "bool")):
        for error in refusals(case, **{name: value}):
            assert str(error) == f"{name} must be a number; got {got}."
            assert type(error) is InputTypeError


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("form", "'softmax' or 'sigmoid'"),
        ("profile", "'concave', 'linear' or 'convex'"),
        ("share", "'all' or 'others'"),
        ("importance", "'class' or 'sample'"),
    ],
)
def test_unknown_words(name: str, allowed: str) -> None:
    case = next(case for case in CASES if name in case.settings)
    for value in ("concav", 3):
        for error in refusals(case, **{name: value}):
            assert str(error) == f"{name} must be {allowed}; got {value!r}."
            assert type(error) is InputError
