"""The sizes of the published long-tailed sets (methods-single.md §2.2)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass.artifacts import ClassCounts
from everyclass.data import long_tailed_counts
from everyclass.errors import InputError

# largest, classes, ratio: total, min, many > 100, medium 20..100, few < 20, few <= 20, step total
PUBLISHED = {
    (500, 100, 10): (19_573, 50, 69, 31, 0, 0, 27_500),
    (500, 100, 50): (12_608, 10, 41, 41, 18, 19, 25_500),
    (500, 100, 100): (10_847, 5, 35, 35, 30, 31, 25_250),
    (500, 100, 200): (9_502, 2, 30, 31, 39, 40, 25_100),
    (5000, 10, 10): (20_431, 500, 10, 0, 0, 0, 27_500),
    (5000, 10, 50): (13_996, 100, 9, 1, 0, 0, 25_500),
    (5000, 10, 100): (12_406, 50, 8, 2, 0, 0, 25_250),
    (5000, 10, 200): (11_203, 25, 7, 3, 0, 0, 25_125),
}


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_the_published_sizes(case: tuple[int, int, int]) -> None:
    total, smallest, many, medium, few, paper_few, step_total = PUBLISHED[case]
    counts = long_tailed_counts(*case)
    assert (counts.sum(), counts.min(), counts[0]) == (total, smallest, case[0])
    common = ClassCounts(counts).groups("common")
    assert [int((common == g).sum()) for g in ("many", "medium", "few")] == [many, medium, few]
    assert int((ClassCounts(counts).groups("paper") == "few").sum()) == paper_few
    assert long_tailed_counts(*case, "step").sum() == step_total


def test_the_boundary_classes_of_cifar100_lt() -> None:
    counts = long_tailed_counts(500, 100, 100)
    assert counts[[34, 35, 69, 70]].tolist() == [102, 98, 20, 19]
    ten = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tailed_counts(5000, 10, 100).tolist() == ten
    assert counts.dtype == np.int64


@given(st.integers(1, 5000), st.integers(2, 300), st.floats(1, 1e4))
def test_a_tail_never_rises_and_ends_at_the_ratio(largest: int, classes: int, ratio: float) -> None:
    if int(largest * (1 / ratio)) == 0:
        with pytest.raises(InputError, match="leaves a class without images"):
            long_tailed_counts(largest, classes, ratio)
        return
    counts = long_tailed_counts(largest, classes, ratio)
    assert len(counts) == classes
    assert counts[0] == largest
    assert counts[-1] == int(largest * (1 / ratio))
    assert (np.diff(counts) <= 0).all()
    step = long_tailed_counts(largest, classes, ratio, "step")
    half = classes // 2
    assert set(step[:half]) <= {largest}
    assert set(step[half:]) == {counts[-1]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((500, 100, 0.5), "must be at least 1; got 0.5"),
        ((500, 100, float("nan")), "must be at least 1; got nan"),
        ((500, 100, float("inf")), "the largest ratio possible is 500"),
        ((500, 100, 501), "ratio 501 leaves a class without images"),
        ((500, 100, 10, "linear"), "must be 'exp' or 'step'; got 'linear'"),
        ((500, 1, 10), "at least two classes; got 1"),
    ],
)
def test_what_is_no_long_tail(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        long_tailed_counts(*arguments)  # type: ignore[arg-type]
