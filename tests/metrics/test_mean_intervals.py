"""Intervals of the geometric and harmonic mean, and the intervals of a whole evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass import Evaluation, evaluate
from everyclass.errors import EveryclassError, FileFormatError, InputError, InputTypeError
from everyclass.metrics import (
    geometric_mean,
    harmonic_mean,
    lowest_recall_interval,
    mean_recall_intervals,
    recall_intervals,
    weighted_recall_interval,
    worst_mean_interval,
)

MEANS = {"geometric_mean": geometric_mean, "harmonic_mean": harmonic_mean}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12))
def test_the_interval_holds_the_number(pairs: list[tuple[int, int]]) -> None:
    k = np.array([min(pair) for pair in pairs])
    n = np.array([max(pair) for pair in pairs])
    if not n.any():
        with pytest.raises(InputError, match="No class has a recall"):
            mean_recall_intervals(k, n)
        return
    with np.errstate(invalid="ignore"):
        recall = k / n
    found = mean_recall_intervals(k, n, replicates=100)
    for name, mean in MEANS.items():
        low, high = found[name]
        assert 1e-3 <= low <= mean(recall) <= high <= 1 + 1e-12
        assert low < high


@pytest.mark.parametrize("images", [5, 30, 200])
@pytest.mark.parametrize("name", MEANS)
def test_many_classes_keep_the_coverage_where_a_bootstrap_loses_it(images: int, name: str) -> None:
    generator = np.random.default_rng(0)
    covered = {"bootstrap": 0, "ours": 0}
    trials = 80
    n = np.full(200, images)
    for trial in range(trials):
        p = generator.beta(12, 2, 200)
        k = generator.binomial(n, p)
        true = MEANS[name](p)
        low, high = mean_recall_intervals(k, n, replicates=200, seed=trial)[name]
        covered["ours"] += low <= true <= high
        again = [MEANS[name](generator.binomial(n, k / n) / n) for _ in range(60)]
        covered["bootstrap"] += np.quantile(again, 0.025) <= true <= np.quantile(again, 0.975)
    assert covered["ours"] >= 0.88 * trials
    assert covered["ours"] > covered["bootstrap"]
    if images == 5:
        assert covered["bootstrap"] < 0.3 * trials


def test_a_dead_class_may_be_dead_or_unlucky() -> None:
    n = np.full(50, 40)
    k = np.r_[0, np.full(49, 32)]
    low, high = mean_recall_intervals(k, n)["harmonic_mean"]
    dead = harmonic_mean(np.r_[0.001, np.full(49, 0.8)])
    unlucky = harmonic_mean(np.r_[0.03, np.full(49, 0.8)])
    assert low == pytest.approx(dead, rel=0.05)
    assert high > unlucky
    # One right of forty says that it is not dead.
    assert mean_recall_intervals(np.r_[1, k[1:]], n)["harmonic_mean"][0] > 2 * dead


@pytest.mark.parametrize(
    ("classes", "images", "worst", "rest"), [(20, 50, 0.03, 0.8), (10, 100, 0.03, 0.9)]
)
def test_one_nearly_dead_class_among_good_ones_is_covered(
    classes: int, images: int, worst: float, rest: float
) -> None:
    """1 / p of that one decides, and what is right on average has too high a lower quantile."""
    generator = np.random.default_rng(0)
    p, n = np.r_[worst, np.full(classes - 1, rest)], np.full(classes, images)
    above = 0
    for trial in range(150):
        k = generator.binomial(n, p)
        low, _ = mean_recall_intervals(k, n, replicates=200, seed=trial)["harmonic_mean"]
        above += low > harmonic_mean(p)
    assert above < 0.07 * 150  # 2.5 % are allowed


def test_the_seed_decides_and_nothing_else() -> None:
    n = np.full(3000, 9)  # several chunks
    k = np.random.default_rng(0).binomial(n, 0.7)
    first = mean_recall_intervals(k, n, seed=3)
    assert first == mean_recall_intervals(k, n, seed=3)
    assert first != mean_recall_intervals(k, n, seed=4)


def test_one_thread_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    n = np.full(3000, 9)
    k = np.random.default_rng(0).binomial(n, 0.7)
    several = mean_recall_intervals(k, n)
    monkeypatch.setattr("everyclass.metrics.drawn_sums.own_cores", lambda: 1)
    assert mean_recall_intervals(k, n) == several


# --- of a whole evaluation ------------------------------------------------------------------------


def example(**more: Any) -> Evaluation:
    labels = np.repeat(np.arange(4), [50, 20, 6, 2])
    predicted = np.where(np.arange(78) % 4 == 0, (labels + 1) % 4, labels)
    names = ("ant", "bee", "cat", "dog", "eel")
    return evaluate(labels=labels, predicted=predicted, class_names=names, **more)


def test_the_keys_are_those_of_the_numbers_and_the_values_hold_them() -> None:
    said = example(class_counts=[500, 50, 5, 5, 5])
    found = said.intervals
    assert found is not None
    values = said.to_dict()
    for name in ("accuracy", "balanced_accuracy", "geometric_mean", "harmonic_mean",
                 "lowest_recall", "lowest_if_equal"):  # fmt: skip
        low, high = found[name]
        assert low <= values[name] <= high, name
    assert found["worst"].keys() == said.worst.keys()
    assert said.groups is not None
    for rule, groups in said.groups.items():
        for group, mean in groups.items():
            assert (found["groups"][rule][group] is None) == (mean is None)
            if mean is not None:
                low, high = found["groups"][rule][group]
                assert low <= mean <= high
    assert len(found["per_class_recall"]) == 5
    assert found["per_class_recall"][4] is None
    for limits, recall in zip(found["per_class_recall"], said.per_class_recall[:4], strict=False):
        assert limits[0] <= recall <= limits[1]
    assert said.interval_settings == {"confidence": 0.95, "replicates": 1000, "seed": 0}


def test_they_are_those_of_the_functions() -> None:
    said = example(confidence=0.9, replicates=200, seed=5)
    n = said.support
    k = np.nan_to_num(said.per_class_recall * n).round().astype(int)
    found, level = said.intervals, {"confidence": 0.9}
    assert found is not None
    assert found["accuracy"] == [*weighted_recall_interval(k, n, n, **level)]
    assert found["balanced_accuracy"] == [*weighted_recall_interval(k, n, np.ones(5), **level)]
    assert found["lowest_recall"] == [*lowest_recall_interval(k, n, **level)]
    assert found["worst"]["10"] == [*worst_mean_interval(k, n, 10, **level)]
    assert found["per_class_recall"][:4] == recall_intervals(k, n, **level)[:4].tolist()
    drawn = mean_recall_intervals(k, n, replicates=200, seed=5, **level)
    assert found["harmonic_mean"] == [*drawn["harmonic_mean"]]
    assert found["groups"] is None


def test_files_carry_them_and_old_files_need_none(tmp_path: Path) -> None:
    said = example()
    said.save(tmp_path / "new.json")
    again = Evaluation.load(tmp_path / "new.json")
    assert again.intervals == said.intervals
    assert again.table() == said.table()
    values = json.loads((tmp_path / "new.json").read_text())
    for name in ("intervals", "interval_settings", "lowest_if_equal"):
        del values[name]
    (tmp_path / "old.json").write_text(json.dumps(values))
    old = Evaluation.load(tmp_path / "old.json")
    assert old.intervals is None
    assert "interval" not in old.table()
    assert "ant" in old.table()
    (tmp_path / "bad.json").write_text(json.dumps({**values, "intervals": [1]}))
    with pytest.raises(FileFormatError, match="intervals must be an object, not a list"):
        Evaluation.load(tmp_path / "bad.json")


def test_the_table_shows_them_and_what_cannot_be_said() -> None:
    said = example()
    table = said.table()
    assert "95 % intervals in brackets" in table
    assert "to expect if all were equally good" in table
    rows = {line.split()[0]: line for line in table.splitlines()[-4:]}
    assert "too few to say" in rows["dog"]  # 2 images: [9.5–90.5]
    assert "too few to say" not in rows["ant"]
    assert said.intervals is not None
    low, high = said.intervals["per_class_recall"][0]
    assert f"[{100 * low:.1f}–{100 * high:.1f}]" in rows["ant"]


def test_zero_recalls_are_called_dead_or_unlucky() -> None:
    said = evaluate(labels=[0, 0, 1, 1], predicted=[0, 0, 0, 0])
    assert "dead or unlucky" in said.table()
    assert "dead or unlucky" not in example().table()


def test_recalls_below_the_floor_count_as_it_in_the_lower_limit() -> None:
    n = np.full(20, 4000)
    for right in (0, 1, 3):
        k = np.r_[right, np.full(19, 3000)]
        for name, mean in MEANS.items():
            low, high = mean_recall_intervals(k, n)[name]
            assert low <= mean(k / n) <= high
            assert low == pytest.approx(mean(np.r_[0, np.full(19, 0.75)]), rel=0.01)
    high = [mean_recall_intervals(np.r_[r, k[1:]], n)["harmonic_mean"][1] for r in (0, 1, 3)]
    assert high == sorted(high)  # a class that was right may be better


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_seeds_that_no_generator_takes(seed: Any) -> None:
    with pytest.raises(EveryclassError, match="seed must be"):
        example(seed=seed)
    with pytest.raises(EveryclassError, match="seed must be"):
        mean_recall_intervals([3], [4], seed=seed)


def test_a_number_of_draws_is_whole() -> None:
    with pytest.raises(InputTypeError, match=r"replicates must be a whole number; got 200\.5"):
        mean_recall_intervals([1, 2], [3, 4], replicates=200.5)  # type: ignore[arg-type]
