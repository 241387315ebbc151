"""LADE against its equations, in both readings of the importance ratio."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from everyclass.errors import InputError
from everyclass.losses import LADELoss, balanced_softmax_loss, lade_loss, lade_regulariser

COUNTS = [70, 1, 500, 20]
READINGS = ["class", "sample"]


def slow_regulariser(
    rows: list[list[float]], labels: list[int], counts: list[int], penalty: float, importance: str
) -> float:
    """The equations one number at a time."""
    shares = [n / sum(counts) for n in counts]
    uniform = 1 / sum(n > 0 for n in counts)
    total = 0.0
    for c, share in enumerate(shares):
        if share == 0:
            continue
        ratios = [uniform / (share if importance == "class" else shares[y]) for y in labels]
        terms = [r * math.exp(row[c]) for r, row in zip(ratios, rows, strict=True)]
        s = math.log(sum(terms) / len(rows))
        own = [row[c] for row, y in zip(rows, labels, strict=True) if y == c]
        mean = sum(own) / len(own) if own else 0.0
        total -= share * (mean - s - penalty * s**2)
    return total


@st.composite
def problems(draw) -> tuple[Tensor, Tensor, list[int]]:
    sizes = st.sampled_from([0, 1, 2, 50, 1280, 10_000_000])
    counts = [*draw(st.lists(sizes, max_size=6)), draw(st.integers(1, 500))]
    possible = [c for c, n in enumerate(counts) if n]
    labels = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = 3 * torch.randn(len(labels), len(counts), generator=generator, dtype=torch.float64)
    return logits, torch.tensor(labels), counts


@given(problems(), st.sampled_from([0.0, 0.01, 0.5]), st.sampled_from(READINGS))
def test_equals_the_equations(problem, penalty, importance) -> None:
    logits, labels, counts = problem
    options = {"penalty": penalty, "importance": importance}
    expected = slow_regulariser(logits.tolist(), labels.tolist(), counts, **options)
    got = lade_regulariser(logits, labels, counts, **options)
    assert got.shape == ()
    assert got.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    whole = balanced_softmax_loss(logits, labels, counts).item() + 0.3 * expected
    got = lade_loss(logits, labels, counts, alpha=0.3, **options)
    assert got.item() == pytest.approx(whole, rel=1e-9, abs=1e-12)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    return logits, torch.tensor([0, 3, 2, 0, 3, 1, 0, 2, 2])


def test_alpha_0_is_balanced_softmax() -> None:
    logits, labels = batch()
    expected = balanced_softmax_loss(logits, labels, COUNTS)
    torch.testing.assert_close(lade_loss(logits, labels, COUNTS, alpha=0.0), expected)


def test_the_readings_agree_where_all_classes_are_equal_and_differ_elsewhere() -> None:
    logits, labels = batch()
    one, other = (lade_regulariser(logits, labels, [7] * 4, importance=i) for i in READINGS)
    torch.testing.assert_close(one, other)
    one, other = (lade_regulariser(logits, labels, COUNTS, importance=i) for i in READINGS)
    assert abs(one - other) > 0.1


def test_the_code_s_reading_is_a_constant_per_class() -> None:
    """Without the penalty R = −Σ π_c (mean − log mean exp) − Σ π_c log(C π_c)."""
    logits, labels = batch()
    prior = torch.tensor(COUNTS).double() / sum(COUNTS)
    plain = lade_regulariser(logits, labels, COUNTS, penalty=0.0)
    means = torch.stack([logits[labels == c, c].mean() for c in range(4)])
    bound = means - (logits.logsumexp(0) - math.log(9))
    torch.testing.assert_close(plain, -(prior * (bound + (4 * prior).log())).sum())


@pytest.mark.parametrize("importance", READINGS)
def test_only_the_penalty_sees_a_constant_in_the_logits(importance) -> None:
    logits, labels = batch()
    assert len(labels.unique()) == 4
    free = [
        lade_regulariser(z, labels, COUNTS, penalty=0.0, importance=importance)
        for z in (logits, logits + 5)
    ]
    torch.testing.assert_close(*free)
    held = [
        lade_regulariser(z, labels, COUNTS, importance=importance) for z in (logits, logits + 5)
    ]
    assert abs(held[0] - held[1]) > 0.1


@pytest.mark.parametrize("importance", READINGS)
def test_a_class_that_is_not_in_the_batch_has_only_its_second_term(importance) -> None:
    logits, _ = batch()
    labels = torch.tensor([0, 0, 2, 0, 3, 2, 0, 2, 2])
    got = lade_regulariser(logits, labels, COUNTS, importance=importance)
    expected = slow_regulariser(logits.tolist(), labels.tolist(), COUNTS, 0.01, importance)
    assert got.item() == pytest.approx(expected, rel=1e-12)
    logits.requires_grad_()
    loss = lade_regulariser(logits, labels, COUNTS, importance=importance)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, 1] > 0).all()  # nothing but S_1, which pushes the logits down


@pytest.mark.parametrize("importance", READINGS)
@pytest.mark.parametrize("logit", [0.0, 1e4])
def test_a_class_without_images_is_as_if_it_were_not_there(importance, logit) -> None:
    logits, labels = batch()
    labels[labels == 1] = 0
    logits[:, 1] = logit
    logits.requires_grad_()
    keep = torch.tensor([0, 2, 3])
    mapped = torch.tensor([0, -1, 1, 2])[labels]
    for loss in (lade_loss, lade_regulariser):
        value = loss(logits, labels, [500, 0, 3, 20], importance=importance)
        expected = loss(logits[:, keep], mapped, [500, 3, 20], importance=importance)
        torch.testing.assert_close(value, expected)
        (gradient,) = torch.autograd.grad(value, logits)
        assert (gradient[:, 1] == 0).all()


def test_a_label_of_a_class_without_images() -> None:
    text = (
        "labels[5] is class 1, which has no training image in class_counts and so probability 0; "
        "give the counts of the data that the labels come from."
    )
    for loss in (LADELoss([9, 0, 3, 1]), lambda *b: lade_regulariser(*b, [9, 0, 3, 1])):
        with pytest.raises(InputError) as caught:
            loss(*batch())
        assert str(caught.value) == text


def test_it_is_no_mean_over_images() -> None:
    logits, labels = batch()
    halves = [lade_loss(logits[i::2], labels[i::2], COUNTS) for i in (0, 1)]
    assert abs(sum(halves) / 2 - lade_loss(logits, labels, COUNTS)) > 1e-3
    with pytest.raises(TypeError, match="reduction"):
        lade_loss(logits, labels, COUNTS, reduction="sum")


def test_the_regulariser_checks_its_settings() -> None:
    with pytest.raises(InputError, match=r"^penalty must be 0 or more; got -1\.$"):
        lade_regulariser(*batch(), COUNTS, penalty=-1)
    with pytest.raises(InputError, match=r"^importance must be 'class' or 'sample'; got 'label'"):
        lade_regulariser(*batch(), COUNTS, importance="label")
