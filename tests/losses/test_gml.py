"""GML against equations 1 to 3, number by number, and against everything that must not matter."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError
from everyclass.losses import GMLLoss, balanced_softmax_loss, gml, gml_loss

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# Of the loss, which is computed in float32 or wider whatever the logits are.
VALUE_TOLERANCE = {torch.float64: 1e-10}
# Of the gradient, which is rounded to the type of the logits.
GRADIENT_TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.bfloat16: 1e-2,
    torch.float16: 2e-3,
}
SETTINGS = [(r, a) for r in (True, False) for a in ("present", "all")]


def slow_gml(
    logits: Sequence[Sequence[Decimal]],
    labels: Sequence[int],
    counts: Sequence[int],
    reweight: bool = True,
    absent: str = "present",
) -> Decimal:
    """Equations 1 to 3 one number at a time, in 60 digits."""
    classes = range(len(counts))
    sizes = [n if reweight else 1 for n in counts]
    minus_logs = []
    for c in classes:
        probabilities = []
        for row, label in zip(logits, labels, strict=True):
            if label == c:
                terms = [sizes[j] * row[j].exp() for j in classes]
                probabilities.append(terms[label] / sum(terms))
        if probabilities:
            minus_logs.append(-(sum(probabilities) / len(probabilities)).ln())
    return sum(minus_logs) / (len(counts) if absent == "all" else len(minus_logs))


def reference(logits: Tensor, labels: Tensor, counts: Sequence[int], *args: object) -> float:
    with localcontext(Context(prec=60)):
        return float(slow_gml(decimals(logits), labels.tolist(), counts, *args))


def reference_gradient(
    logits: Tensor, labels: Tensor, counts: Sequence[int], *args: object
) -> Tensor:
    """Central differences in 60 digits, so exact to more than a float64 can hold."""
    step = Decimal("1e-18")
    out = torch.zeros(logits.shape, dtype=torch.float64)
    with localcontext(Context(prec=60)):
        rows = decimals(logits)
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                row[j] = value + step
                up = slow_gml(rows, labels.tolist(), counts, *args)
                row[j] = value - step
                down = slow_gml(rows, labels.tolist(), counts, *args)
                row[j] = value
                out[i, j] = float((up - down) / (2 * step))
    return out


def decimals(logits: Tensor) -> list[list[Decimal]]:
    return [[Decimal(x) for x in row] for row in logits.detach().double().tolist()]


def autograd_gradient(
    logits: Tensor, labels: Tensor, counts: Tensor, reweight: bool = True, absent: str = "present"
) -> Tensor:
    """The gradient that torch takes of the definition, in float64."""
    x = logits.detach().double().requires_grad_()
    p = torch.softmax(x + counts.double().log() if reweight else x, 1)
    terms = [-p[labels == c, c].mean().log() for c in labels.unique().tolist()]
    (sum(terms) / (len(counts) if absent == "all" else len(terms))).backward()
    return x.grad


def batch(
    n: int = 12, num_classes: int = 5, *, seed: int = 0, scale: float = 3.0, dtype=torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that want a gradient, labels with repeats and absences, and unequal counts."""
    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(n, num_classes, generator=generator, dtype=torch.float64)).to(
        dtype
    )
    labels = torch.randint(max(1, num_classes - 1), (n,), generator=generator)
    counts = torch.randint(1, 100_000, (num_classes,), generator=generator)
    return logits.requires_grad_(), labels, counts


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


def assert_close(got: Tensor, expected: Tensor, tolerance: float) -> None:
    """The largest error is small beside the largest value."""
    expected = expected.double()
    error = (got.double() - expected).abs().max()
    assert error <= tolerance * expected.abs().max(), f"{error} of {expected.abs().max()}"


# --- the equations ---------------------------------------------------------------------------


@st.composite
def problems(draw) -> tuple[Tensor, Tensor, list[int]]:
    num_classes = draw(st.integers(1, 6))
    numbers = st.sampled_from([0, 1, 2, 50, 1280, 70_000, 10_000_000])
    counts = draw(st.lists(numbers, min_size=num_classes, max_size=num_classes))
    counts[draw(st.integers(0, num_classes - 1))] = draw(st.integers(1, 500))
    possible = [c for c, n in enumerate(counts) if n]
    labels = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.0, 1.0, 4.0]))
    logits = scale * torch.randn(len(labels), num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.tensor(labels), counts


@settings(max_examples=80, deadline=None, derandomize=True)
@given(problems(), st.sampled_from(DTYPES), st.sampled_from(SETTINGS))
def test_equals_the_equations(problem, dtype, how) -> None:
    logits, labels, counts = problem
    logits = logits.to(dtype).requires_grad_()
    reweight, absent = how
    expected = reference(logits, labels, counts, reweight, absent)
    tolerance = VALUE_TOLERANCE.get(dtype, 1e-5)
    # A probability next to 1 leaves a loss below the resolution of the type.
    smallest = 1e-15 if dtype == torch.float64 else 1e-6
    approx = pytest.approx(expected, rel=tolerance, abs=smallest)

    loss = gml_loss(logits, labels, counts, reweight=reweight, absent=absent)
    assert loss.item() == approx
    with torch.no_grad():
        assert gml_loss(logits, labels, counts, reweight=reweight, absent=absent).item() == approx

    got = gradient(loss, logits)
    assert got.dtype == dtype
    expected_gradient = autograd_gradient(logits, labels, torch.tensor(counts), reweight, absent)
    atol = 1e-15 if dtype == torch.float64 else 1e-7
    torch.testing.assert_close(
        got.double(), expected_gradient, rtol=GRADIENT_TOLERANCE[dtype], atol=atol
    )


@pytest.mark.parametrize(("reweight", "absent"), SETTINGS)
def test_gradient_equals_difference_quotients_of_the_equations(reweight, absent) -> None:
    logits, labels, _ = batch(5, 4)
    counts = [3, 0, 20, 500]
    labels[labels == 1] = 2
    loss = gml_loss(logits, labels, counts, reweight=reweight, absent=absent)
    expected = reference_gradient(logits, labels, counts, reweight, absent)
    assert_close(gradient(loss, logits), expected, 1e-12)


@pytest.mark.parametrize(("reweight", "absent"), SETTINGS)
def test_gradcheck(reweight, absent) -> None:
    logits, labels, counts = batch(5, 3)
    counts[2] = 0

    def loss(x: Tensor) -> Tensor:
        return gml_loss(x, labels, counts, reweight=reweight, absent=absent)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("absent", ["present", "all"])
def test_equal_counts_and_one_image_per_class_is_cross_entropy(absent) -> None:
    logits, _, _ = batch(6, 6)
    labels = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = gml_loss(logits, labels, [40] * 6, absent=absent)
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient(loss, logits), gradient(expected, logits))


def test_one_image_per_present_class_is_balanced_softmax() -> None:
    logits, _, counts = batch(3, 6)
    labels = torch.tensor([5, 0, 2])
    loss = gml_loss(logits, labels, counts)
    expected = balanced_softmax_loss(logits, labels, counts)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient(loss, logits), gradient(expected, logits))


def test_a_class_counts_once_however_many_images_it_has() -> None:
    logits, labels, counts = batch(4, 3)
    labels = torch.tensor([0, 0, 0, 1])
    of_0 = gml_loss(logits[:3], labels[:3], counts)
    of_1 = gml_loss(logits[3:], labels[3:], counts)
    torch.testing.assert_close(gml_loss(logits, labels, counts), (of_0 + of_1) / 2)


def test_absent_all_divides_by_the_number_of_classes() -> None:
    logits, labels, counts = batch(4, 10)
    present = len(labels.unique())
    assert present < 10
    over_all = gml_loss(logits, labels, counts, absent="all")
    torch.testing.assert_close(over_all * 10, gml_loss(logits, labels, counts) * present)


# --- what must not matter --------------------------------------------------------------------


@pytest.mark.parametrize("constant", [-50.0, 1e-3, 700.0, 1e5])
def test_a_constant_added_to_all_logits_changes_nothing(constant) -> None:
    logits, labels, counts = batch()
    moved = (logits.detach() + constant).requires_grad_()
    one, other = gml_loss(logits, labels, counts), gml_loss(moved, labels, counts)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
    torch.testing.assert_close(gradient(one, logits), gradient(other, moved), rtol=1e-8, atol=1e-12)


def test_the_order_of_the_batch_does_not_matter() -> None:
    logits, labels, counts = batch()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    one, other = gml_loss(logits, labels, counts), gml_loss(logits[order], labels[order], counts)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(gradient(one, logits), gradient(other, logits))


def test_the_order_of_the_classes_does_not_matter() -> None:
    logits, labels, counts = batch()
    order = torch.tensor([2, 4, 0, 1, 3])
    one = gml_loss(logits, labels, counts)
    other = gml_loss(logits[:, order], order.argsort()[labels], counts[order])
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(gradient(one, logits), gradient(other, logits))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_size_of_a_block_does_not_matter(monkeypatch, dtype) -> None:
    logits, labels, counts = batch(11, 5, dtype=dtype)
    whole = gml_loss(logits, labels, counts)
    whole_gradient = gradient(whole, logits)
    monkeypatch.setattr(gml, "_BLOCK", 3)  # fewer than the classes: row by row
    loss = gml_loss(logits, labels, counts)
    torch.testing.assert_close(gradient(loss, logits), whole_gradient)
    monkeypatch.setattr(gml, "_BLOCK", 20)  # blocks of four rows, the last one of three
    for x in (logits, logits.detach()):
        torch.testing.assert_close(gml_loss(x, labels, counts), whole, check_dtype=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_need_not_be_contiguous(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    expected = gml_loss(logits, labels, counts)
    wide = torch.zeros(12, 10, dtype=dtype)
    wide[:, ::2] = logits.detach()
    for strided in (logits.detach().t().contiguous().t(), wide[:, ::2]):
        x = strided.requires_grad_()
        assert not x.is_contiguous()
        loss = gml_loss(x, labels, counts)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        torch.testing.assert_close(x.grad, gradient(gml_loss(logits, labels, counts), logits))
        with torch.no_grad():
            torch.testing.assert_close(gml_loss(x, labels, counts), expected)


@pytest.mark.parametrize("num_classes", [1, 2, 33, 1000, 70_000])
def test_any_number_of_classes(num_classes) -> None:
    logits, labels, counts = batch(4, num_classes, dtype=torch.float32)
    loss = gml_loss(logits, labels, counts)
    expected = autograd_gradient(logits, labels, counts)
    torch.testing.assert_close(gradient(loss, logits).double(), expected, rtol=3e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_integer_type(dtype) -> None:
    logits, labels, counts = batch()
    assert gml_loss(logits, labels.to(dtype), counts) == gml_loss(logits, labels, counts)


def test_counts_in_any_form() -> None:
    logits, labels, counts = batch()
    expected = gml_loss(logits, labels, counts)
    as_dict = dict(zip("abcde", counts.tolist(), strict=True))
    forms = [counts.int(), counts.tolist(), counts.numpy(), counts.double(), as_dict]
    for form in [*forms, ClassCounts.of(as_dict)]:
        assert gml_loss(logits, labels, form) == expected
        assert GMLLoss(form)(logits, labels) == expected


# --- extremes --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [60.0, 200.0, 1e4])
def test_logits_of_any_size(dtype, size) -> None:
    signs = torch.tensor(
        [[1, -1, 1, 0], [-1, 1, 0, 1], [1, 1, -1, -1], [0, 1, -1, 1], [1, 0, 1, 1]]
    )
    logits = (signs * size).to(dtype).requires_grad_()
    labels = torch.tensor([1, 0, 2, 2, 2])
    counts = [70_000, 3, 10_000_000, 20]
    loss = gml_loss(logits, labels, counts)
    tolerance = VALUE_TOLERANCE.get(dtype, 1e-5)
    assert loss.item() == pytest.approx(reference(logits, labels, counts), rel=tolerance)
    with torch.no_grad():
        assert gml_loss(logits, labels, counts).item() == pytest.approx(loss.item(), rel=1e-6)
    expected = reference_gradient(logits, labels, counts)
    got = gradient(loss, logits)
    assert got.isfinite().all()
    # A logit of 1e4 is itself known to 5e-4 in float32 once log N is added to it.
    slack = size * 1e-7 if dtype != torch.float64 else 0
    assert_close(got, expected, GRADIENT_TOLERANCE[dtype] + slack)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("logit", [60.0, 69.0, 70.0, 80.0, 88.0, 95.0, 104.0, 120.0])
def test_no_jump_where_probabilities_stop_fitting_a_float(dtype, logit) -> None:
    # Below 1e-30 logarithms take over; many images of one class stress the sums on the way.
    logits = torch.zeros(600, 2, dtype=dtype)
    logits[:, 0] = logit
    labels = torch.ones(600, dtype=torch.long)
    loss = gml_loss(logits.requires_grad_(), labels, [1, 1])
    assert loss.item() == pytest.approx(logit, rel=1e-6)
    with torch.no_grad():
        assert gml_loss(logits, labels, [1, 1]).item() == pytest.approx(logit, rel=1e-6)
    expected = torch.tensor([1.0, -1.0], dtype=dtype).expand(600, 2) / 600
    torch.testing.assert_close(gradient(loss, logits), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("logit", [0.1, 69.0, 80.0])
def test_a_class_of_a_hundred_thousand_images(logit) -> None:
    # Added up in float32, equal numbers drift by 1e-3 and more.
    logits = torch.tensor([[0.0, logit]]).expand(100_000, 2).clone().requires_grad_()
    labels = torch.zeros(100_000, dtype=torch.long)
    expected = F.softplus(logits.detach()[0, 1].double())
    loss = gml_loss(logits, labels, [1, 1])
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    total = gradient(loss, logits).double().sum(0)
    torch.testing.assert_close(total[1], -torch.expm1(-expected), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_of_one(dtype) -> None:
    logits, labels, counts = batch(1, 5, dtype=dtype)
    loss = gml_loss(logits, labels, counts)
    expected = F.cross_entropy(logits.double() + counts.double().log(), labels)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    assert gradient(loss, logits).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logit", [0.0, 1e4])
def test_a_class_without_images_is_as_if_it_were_not_there(dtype, logit) -> None:
    logits, labels, counts = batch(6, 4, dtype=dtype)
    counts[3] = 0
    with torch.no_grad():
        logits[:, 3] = logit
    without = logits.detach()[:, :3].clone().requires_grad_()
    loss, expected = (
        gml_loss(logits, labels, counts),
        gml_loss(without, labels, counts[:3]),
    )
    torch.testing.assert_close(loss, expected)
    got = gradient(loss, logits)
    assert (got[:, 3] == 0).all()
    torch.testing.assert_close(got[:, :3], gradient(expected, without))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_logits_give_nan_and_no_error_about_labels(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    with torch.no_grad():
        logits[3, 2] = float("nan")
        assert gml_loss(logits, labels, counts).isnan()
    assert gml_loss(logits, labels, counts).isnan()


# --- the backward pass -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_second_backward_pass_gives_the_same_gradient(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    loss = gml_loss(logits, labels, counts)
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (third,) = torch.autograd.grad(loss * 2, logits)
    assert torch.equal(first, kept)  # the buffer given away is not written to again
    torch.testing.assert_close(second, first)
    torch.testing.assert_close(third, 2 * first)


@pytest.mark.parametrize("factor", [2.5, -3.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_scaled_by_what_follows(dtype, factor) -> None:
    logits, labels, counts = batch(dtype=dtype)
    expected = factor * gradient(gml_loss(logits, labels, counts), logits)
    got = gradient(gml_loss(logits, labels, counts) * factor, logits)
    torch.testing.assert_close(got, expected)


def test_gradients_accumulate_and_reach_a_layer() -> None:
    layer = torch.nn.Linear(3, 5).double()
    x, labels = torch.randn(12, 3, dtype=torch.float64), batch()[1]
    loss_fn = GMLLoss([5, 4, 3, 2, 1])
    loss_fn(layer(x), labels).backward()
    once = layer.weight.grad.clone()
    logits = layer(x).detach()
    expected = autograd_gradient(logits, labels, loss_fn.class_counts)
    torch.testing.assert_close(once, expected.t() @ x)
    loss_fn(layer(x), labels).backward()
    torch.testing.assert_close(layer.weight.grad, 2 * once)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_second_derivatives(dtype) -> None:
    logits, labels, counts = batch(6, 4, dtype=dtype)
    (once,) = torch.autograd.grad(gml_loss(logits, labels, counts), logits, create_graph=True)
    torch.testing.assert_close(once, gradient(gml_loss(logits, labels, counts), logits))
    got = gradient((once.double() ** 2).sum(), logits)

    x = logits.detach().double().requires_grad_()
    p = torch.softmax(x + counts.double().log(), 1)
    terms = torch.stack([-p[labels == c, c].mean().log() for c in labels.unique()])
    (first,) = torch.autograd.grad(terms.mean(), x, create_graph=True)
    assert_close(got, gradient((first**2).sum(), x), 10 * GRADIENT_TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_many_gradients_at_once(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    loss = gml_loss(logits, labels, counts)
    expected = gradient(gml_loss(logits, labels, counts), logits)
    factors = torch.tensor([1.0, 2.0, -0.5], dtype=loss.dtype)
    for _ in range(2):  # with the buffer of the forward pass, and without
        found = torch.autograd.grad(
            loss, logits, factors, is_grads_batched=True, retain_graph=True
        )[0]
        assert found.dtype == dtype
        torch.testing.assert_close(found, factors[:, None, None].to(dtype) * expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_jacobian_and_hessian_in_one_pass(strategy) -> None:
    logits, labels, counts = batch(4, 3)
    logits = logits.detach()

    def loss(x: Tensor) -> Tensor:
        return gml_loss(x, labels, counts)

    how = torch.autograd.functional
    found = how.jacobian(loss, logits, vectorize=True, strategy=strategy)
    torch.testing.assert_close(found, how.jacobian(loss, logits))
    found = how.hessian(loss, logits, vectorize=True, outer_jacobian_strategy=strategy)
    torch.testing.assert_close(found, how.hessian(loss, logits))


@pytest.mark.parametrize("wants_gradient", [False, True])
def test_forward_mode(wants_gradient) -> None:
    logits, labels, counts = batch()
    along = torch.randn(logits.shape, dtype=logits.dtype)
    expected = (gradient(gml_loss(logits, labels, counts), logits) * along).sum()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(logits.detach().requires_grad_(wants_gradient), along)
        found = forward_ad.unpack_dual(gml_loss(dual, labels, counts)).tangent
    torch.testing.assert_close(found, expected)


def test_logits_changed_before_the_backward_pass_are_refused() -> None:
    logits, labels, counts = batch()
    x = logits * 1
    loss = gml_loss(x, labels, counts)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_stay_as_they_are(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    before = [t.detach().clone() for t in (logits, labels, counts)]
    gml_loss(logits, labels, counts).backward()
    assert all(torch.equal(a, b) for a, b in zip(before, (logits, labels, counts), strict=True))


class Allocations(TorchDispatchMode):
    """How large the storages are that operations return, each counted once."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.seen = {t.untyped_storage().data_ptr() for t in known}
        self.alive: list[Tensor] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else [out]:
            if isinstance(t, Tensor) and t.untyped_storage().data_ptr() not in self.seen:
                self.seen.add(t.untyped_storage().data_ptr())
                self.alive.append(t)  # kept, so that no address comes twice
        return out

    def of_size(self, numel: int) -> int:
        sizes = [t.untyped_storage().nbytes() / t.element_size() for t in self.alive]
        return sum(size >= numel for size in sizes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_buffer_with_a_gradient_and_none_without(monkeypatch, dtype) -> None:
    logits, labels, counts = batch(40, 50, dtype=dtype)
    monkeypatch.setattr(gml, "_BLOCK", 200)
    for context in (torch.no_grad, torch.inference_mode):
        with context(), Allocations(logits) as made:
            gml_loss(logits, labels, counts)
        assert made.of_size(201) == 0
    with Allocations(logits) as made:
        gml_loss(logits, labels, counts).backward()
    assert made.of_size(201) == 1


def test_on_a_device_that_must_not_be_waited_for_no_value_is_looked_at() -> None:
    # The meta device has no values: whoever asks for one gets an error.
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.zeros(6, 4, dtype=dtype, device="meta", requires_grad=True)
        labels = torch.zeros(6, dtype=torch.long, device="meta")
        for counts in (torch.ones(4, dtype=torch.long, device="meta"), [1, 2, 3, 4]):
            loss = gml_loss(logits, labels, counts)
            assert loss.dtype == torch.float32
            (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
            assert grad.shape == (6, 4)
            assert grad.dtype == dtype
            gml_loss(logits.detach(), labels, counts)


# --- precision -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_is_float32_or_wider(dtype) -> None:
    logits, labels, counts = batch(dtype=dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert gml_loss(logits, labels, counts).dtype == wide
    assert gml_loss(logits.detach(), labels, counts).dtype == wide


def test_inside_autocast() -> None:
    layer = torch.nn.Linear(8, 5)
    x, labels = torch.randn(12, 8), batch()[1]
    loss_fn = GMLLoss([70_000, 4, 3, 2, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(x)
        loss = loss_fn(logits, labels)
        wide = loss_fn(logits.detach().float().requires_grad_(), labels)
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == wide.dtype == torch.float32
    expected = loss_fn(logits.detach().float().requires_grad_(), labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(wide, expected, rtol=1e-7, atol=0)
    loss.backward()
    assert layer.weight.grad.dtype == torch.float32
    through = autograd_gradient(logits, labels, loss_fn.class_counts)
    assert_close(layer.weight.grad, through.t() @ x.double(), 1e-2)


# --- the module ------------------------------------------------------------------------------


@pytest.mark.parametrize(("reweight", "absent"), SETTINGS)
def test_module_equals_function(reweight, absent) -> None:
    logits, labels, counts = batch()
    module = GMLLoss(counts, reweight=reweight, absent=absent)
    loss = module(logits, labels)
    expected = gml_loss(logits, labels, counts, reweight=reweight, absent=absent)
    assert loss == expected
    assert torch.equal(gradient(loss, logits), gradient(expected, logits))


@pytest.mark.parametrize(
    "cast", [lambda m: m.half(), lambda m: m.bfloat16(), lambda m: m.to(torch.float16)]
)
def test_no_cast_narrows_the_counts(cast) -> None:
    logits, labels, _ = batch(dtype=torch.float16)
    counts = [1_000_003, 70_000, 65_505, 2, 1]  # float16 ends at 65,504
    module = cast(torch.nn.Sequential(GMLLoss(counts)))[0]
    assert module.class_counts.dtype == torch.int64
    assert module.class_counts.tolist() == counts
    expected = reference(logits, labels, counts)
    assert module(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_state_dict_pickle_and_deepcopy() -> None:
    logits, labels, counts = batch()
    module = GMLLoss(ClassCounts.of(counts, names=None), reweight=True, absent="all")
    loss = module(logits, labels)
    assert list(module.state_dict()) == ["class_counts"]
    loaded = GMLLoss([1] * 5, absent="all")
    assert loaded(logits, labels) != loss
    loaded.load_state_dict(module.state_dict())
    named = GMLLoss(dict(zip("abcde", counts.tolist(), strict=True)), absent="all")
    for other in (loaded, pickle.loads(pickle.dumps(module)), copy.deepcopy(named)):
        assert other(logits, labels) == loss
    assert copy.deepcopy(named).class_names == tuple("abcde")


def test_changing_the_callers_counts_changes_nothing() -> None:
    logits, labels, counts = batch()
    module = GMLLoss(counts)
    expected = module(logits, labels)
    counts.fill_(1)
    assert module(logits, labels) == expected


def test_repr_says_what_it_does() -> None:
    text = "GMLLoss(num_classes=2, reweight=False, absent='all')"
    assert repr(GMLLoss([3, 4], reweight=False, absent="all")) == text


def test_an_unknown_setting_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"absent must be 'present' or 'all'; got 'none'\."):
        GMLLoss([1, 2], absent="none")
    with pytest.raises(InputError, match=r"absent must be 'present' or 'all'; got 'none'\."):
        gml_loss(torch.zeros(1, 2), torch.tensor([0]), [1, 2], absent="none")


def test_importing_changes_neither_threads_nor_environment_nor_allocator() -> None:
    script = """
import ctypes, os, sys, torch
called = []
cdll = ctypes.CDLL
ctypes.CDLL = lambda *a, **k: called.append(a) or cdll(*a, **k)
before = dict(os.environ), torch.get_num_threads(), torch.get_num_interop_threads()
import everyclass.losses
assert (dict(os.environ), torch.get_num_threads(), torch.get_num_interop_threads()) == before
assert "everyclass.training" not in sys.modules
assert not called, called
"""
    subprocess.run([sys.executable, "-c", script], check=True)
