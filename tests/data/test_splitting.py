"""Splits that keep every class in every part, and groups on one side."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass import split
from everyclass.data import Split
from everyclass.errors import InputError, InputTypeError

SHARES = st.sampled_from([(0.1, 0.0), (0.2, 0.2), (0.0, 0.3), (0.05, 0.15), (0.45, 0.45)])


def checked(found: Split, labels: np.ndarray) -> None:
    """Every row is in one part, and the counts are those of the rows."""
    rows = np.concatenate(list(found.rows.values()))
    assert sorted(rows.tolist()) == list(range(len(labels)))
    for name, part in found.rows.items():
        assert (np.diff(part) > 0).all()
        expected = [int((labels[part] == c).sum()) for c in found.classes]
        assert found.counts[name].tolist() == expected
        assert list(found.missing(name)) == [c for c in found.classes if c not in labels[part]]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), SHARES, st.integers(0, 5))
def test_every_class_is_in_every_part_if_it_has_enough(
    labels: list[int], shares: tuple[float, float], seed: int
) -> None:
    y = np.array(labels)
    val, test = shares
    found = split(y, val=val, test=test, seed=seed)
    checked(found, y)
    names = [n for n, s in (("train", 1.0), ("val", val), ("test", test)) if s > 0]
    assert list(found.rows) == names
    wanted = {"train": 1 - val - test, "val": val, "test": test}
    for i, c in enumerate(found.classes):
        n = int((y == c).sum())
        here = {name: int(found.counts[name][i]) for name in names}
        served = [name for name in ("train", "test", "val") if name in names][:n]
        assert all(here[name] >= 1 for name in served)
        for name in names:
            share = wanted[name] * n
            assert abs(here[name] - share) <= max(1.0, len(names) - 1.0), (here, n)


def test_shares_by_hand() -> None:
    labels = ["cat"] * 100 + ["dog"] * 10 + ["lynx"] * 3 + ["fox"] * 2 + ["emu"]
    found = split(labels, val=0.1, test=0.2)
    counts = {c: [int(found.counts[p][i]) for p in found.rows] for i, c in enumerate(found.classes)}
    assert counts == {
        "cat": [70, 10, 20],
        "dog": [7, 1, 2],
        "lynx": [1, 1, 1],
        "fox": [1, 0, 1],
        "emu": [1, 0, 0],
    }
    assert found.missing("train") == ()
    assert found.missing("val") == ("emu", "fox")
    assert found.missing("test") == ("emu",)
    assert found.fewer("test", 4) == ("dog", "fox", "lynx")


def test_bytes_are_text() -> None:
    assert split(np.array([b"cat", b"fox", b"cat"]), val=0.5).classes == ("cat", "fox")
    with pytest.raises(InputError, match="cannot be read as text"):
        split(np.array([b"\xff", b"fox"]), val=0.5)


def test_text_in_every_form_is_the_same_classes() -> None:
    labels = ["lynx", "cat", "cat", "fox"]
    wanted = split(labels, val=0.5)
    for form in (tuple(labels), np.array(labels), np.array(labels, dtype=object)):
        found = split(form, val=0.5, groups=None)
        assert found.classes == wanted.classes == ("cat", "fox", "lynx")
        assert found.rows["val"].tolist() == wanted.rows["val"].tolist()


def test_one_long_value_does_not_make_all_long() -> None:
    labels = [*["cat", "dog"] * 10_000, "x" * 8000]
    tracemalloc.start()
    found = split(labels, groups=[*map(str, range(20_000)), "y" * 8000])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.classes[:2] == ("cat", "dog")
    assert peak < 40e6


def test_the_seed_decides_and_nothing_is_sorted_away() -> None:
    labels = np.repeat([0, 1], [60, 40])
    one, same, other = (split(labels, val=0.3, seed=s).rows["val"] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.tolist() != other.tolist()
    # Rows of a class are chosen evenly, not from its beginning.
    chosen = np.zeros(60)
    for seed in range(200):
        val = split(labels, val=0.3, seed=seed).rows["val"]
        chosen[val[val < 60]] += 1
    assert 30 < chosen.min() < chosen.max() < 95


# --- groups ---------------------------------------------------------------------------------------


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 120))
    y = np.array(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    g = np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)))
    return y, g


@given(grouped(), SHARES, st.integers(0, 3))
def test_a_group_is_never_torn(
    case: tuple[np.ndarray, np.ndarray], shares: tuple[float, float], seed: int
) -> None:
    labels, groups = case
    if len(set(groups.tolist())) < 2:
        return
    found = split(labels, val=shares[0], test=shares[1], groups=groups, seed=seed)
    checked(found, labels)
    seen: dict[int, str] = {}
    for name, rows in found.rows.items():
        for group in set(groups[rows].tolist()):
            assert seen.setdefault(group, name) == name


@given(st.integers(1, 8), st.integers(1, 6), SHARES, st.integers(0, 3))
def test_groups_of_one_class_serve_every_part(
    many: int, size: int, shares: tuple[float, float], seed: int
) -> None:
    """Each class has ``many`` groups: as many parts as that have it."""
    labels = np.repeat(np.arange(3), many * size)
    groups = np.repeat(np.arange(3 * many), size)
    found = split(labels, val=shares[0], test=shares[1], groups=groups, seed=seed)
    served = [name for name in ("train", "test", "val") if name in found.rows][:many]
    for name in served:
        assert found.missing(name) == ()


def test_groups_come_near_the_shares() -> None:
    """Patients with several lesions of several kinds, as in dermatology."""
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 3000, 10000)
    labels = generator.choice(7, 10000, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])
    found = split(labels, val=0.1, test=0.2, groups=groups)
    total = np.bincount(labels)
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert found.missing(name) == ()
        np.testing.assert_allclose(found.counts[name] / total, share, atol=0.05)


def test_a_rare_class_in_two_mixed_groups_is_learned_and_judged() -> None:
    labels = np.r_[np.zeros(96, int), np.full(4, 1)]
    groups = np.r_[np.arange(96) // 2, [0, 0, 1, 1]]
    for seed in range(10):
        found = split(labels, val=0.0, test=0.2, groups=groups, seed=seed)
        assert found.missing("train") == found.missing("test") == ()


def test_a_million_rows_take_seconds() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8142, 1_000_000)
    start = time.perf_counter()
    checked_sizes = {name: len(rows) for name, rows in split(labels).rows.items()}
    assert time.perf_counter() - start < 20
    assert 80_000 < checked_sizes["val"] < 120_000


BAD = {
    "nothing to train on": (
        {"labels": [0, 1], "val": 0.5, "test": 0.5},
        "leave something to train on",
    ),
    "nothing to split off": ({"labels": [0, 1], "val": 0.0}, "more than 0 and leave something"),
    "negative": ({"labels": [0, 1], "val": -0.1}, "val, a share of the rows, must be from 0"),
    "percent": ({"labels": [0, 1], "test": 20}, "test, a share .* must be from 0 to 1; got 20"),
    "NaN": ({"labels": [0, 1], "val": float("nan")}, "val, a share .* got nan"),
    "no labels": ({"labels": []}, r"labels must be one value per row; got shape \(0,\)"),
    "floats": ({"labels": [0.5, 1.0]}, "labels must be whole numbers or text"),
    "missing": ({"labels": np.array(["a", None], dtype=object)}, "without missing values"),
    "missing among text": (
        {"labels": ["a", "b", float("nan")]},
        "labels must be .* without missing values; got object with nan in row 2",
    ),
    "missing groups": ({"labels": [0, 1], "groups": ["a", None]}, "groups .* with None in row 1"),
    "numbers among text": ({"labels": ["a", 1]}, "got object with 1 in row 1"),
    "negative seed": ({"labels": [0, 1], "seed": -1}, "seed must be 0 or more; got -1"),
    "groups too short": ({"labels": [0, 1], "groups": [1]}, "groups has 1 entries and there are 2"),
    "one group": ({"labels": [0, 1], "groups": [1, 1]}, "All rows are in one group"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(InputError, match=words):
        split(**options)


def test_what_is_no_number() -> None:
    with pytest.raises(InputTypeError, match=r"val, a share .* must be a number; got str"):
        split([0, 1], val="0.5")
    with pytest.raises(InputTypeError, match=r"seed must be a whole number; got 0\.5"):
        split([0, 1], seed=0.5)
