"""What a report says, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError
from everyclass.metrics import evaluate
from everyclass.reporting import Report, recall_rows
from everyclass.reporting.numbers import number_rows
from everyclass.reporting.rows import bin_rows


def test_class_rows_are_sorted_by_training_count(report: Report) -> None:
    rows = report.class_rows()
    assert [row["class"] for row in rows] == ["truck", "cat", "lynx", "yeti"]
    assert [row["index"] for row in rows] == [1, 0, 3, 2]
    assert [row["group"] for row in rows] == ["many", "medium", "few", "few"]
    assert [row["training_count"] for row in rows] == [200, 50, 10, 5]
    assert [row["support"] for row in rows] == [10, 5, 4, 0]
    assert [row["recall_old"] for row in rows] == [0.9, 0.4, 0.0, None]
    assert [row["recall_new"] for row in rows] == [0.8, 0.6, 0.5, None]
    assert rows[0]["change"] == pytest.approx(-0.1)
    assert rows[1]["change"] == pytest.approx(0.2)
    assert rows[2]["change"] == 0.5
    assert rows[3]["change"] is None


def test_who_rose_and_who_paid(report: Report) -> None:
    assert [row["class"] for row in report.risers()] == ["lynx", "cat"]
    assert [row["class"] for row in report.risers(1)] == ["lynx"]
    assert [row["class"] for row in report.payers()] == ["truck"]
    gain, cost = report.gain(), report.cost()
    assert (gain.classes, cost.classes) == (2, 1)
    assert gain.mean_change == pytest.approx(0.35)
    assert cost.mean_change == pytest.approx(-0.1)
    assert gain.largest is not None
    assert gain.largest["class"] == "lynx"


def test_of_equal_changes_the_better_tested_class_comes_first() -> None:
    counts = ClassCounts([9, 9, 9])
    labels = [0, 1, 1, 2]
    before = evaluate(labels=labels, predicted=[2, 2, 2, 2], class_counts=counts)
    after = evaluate(labels=labels, predicted=[0, 1, 1, 2], class_counts=counts)
    verdict = {"use": "retrained", "reason": "", "decided_on": ""}
    evaluations = {"old": before, "retrained": after}
    report = Report("", verdict, evaluations, counts, {}, "")
    assert [row["index"] for row in report.risers()] == [1, 0]


def test_numbers_before_and_after(report: Report) -> None:
    rows = {row["key"]: row for row in number_rows(report)}
    assert list(rows) == [
        "lowest_recall",
        "harmonic_mean",
        "geometric_mean",
        "balanced_accuracy",
        "accuracy",
        "many",
        "medium",
        "few",
    ]
    old = {key: row["cells"]["old"]["value"] for key, row in rows.items()}
    assert old["accuracy"] == pytest.approx(11 / 19)
    assert old["balanced_accuracy"] == pytest.approx(1.3 / 3)
    assert old["geometric_mean"] == pytest.approx((0.9 * 0.4 * 0.001) ** (1 / 3))
    assert old["harmonic_mean"] == pytest.approx(3 / (1 / 0.9 + 1 / 0.4 + 1000))
    assert (old["lowest_recall"], old["few"]) == (0, 0)
    assert rows["accuracy"]["cells"]["ensemble"]["value"] == pytest.approx(13 / 19)
    lowest = rows["lowest_recall"]["cells"]
    assert {n: c["value"] for n, c in lowest.items()} == {
        "old": 0.0,
        "retrained": 0.6,
        "ensemble": 0.5,
    }
    assert lowest["old"]["classes"] == ["lynx"]
    assert lowest["retrained"]["classes"] == ["cat", "truck"]
    floored = {"old": True, "retrained": False, "ensemble": False}
    assert {n: c["floored"] for n, c in rows["harmonic_mean"]["cells"].items()} == floored
    assert not any(c["floored"] for c in rows["accuracy"]["cells"].values())
    limits = report.evaluations["old"].intervals
    assert limits is not None
    assert lowest["old"]["interval"] == limits["lowest_recall"]
    assert rows["few"]["cells"]["old"]["interval"] == limits["groups"]["paper"]["few"]
    assert lowest["ensemble"]["difference"] == 0.5
    assert lowest["ensemble"]["difference_interval"] is None  # single images are not known


def test_groups_are_left_out_where_there_is_one_and_calibration_where_it_is_unknown(
    report_of: Callable[..., Report],
) -> None:
    report = report_of(["a", "b"], class_counts=ClassCounts([500, 500], names=("a", "b")))
    keys = [row["key"] for row in number_rows(report)]
    assert "many" not in keys
    assert "calibration_error" not in keys
    scored = evaluate(labels=[0, 1], probs=[[0.9, 0.1], [0.8, 0.2]])
    report = replace(report, evaluations=dict.fromkeys(("old", "ensemble"), scored))
    assert number_rows(report)[-2]["key"] == "calibration_error"


def test_what_stays_open(report: Report) -> None:
    assert report.never_predicted() == {"old": ["lynx"], "retrained": [], "ensemble": []}
    assert report.zeros() == {"old": 1, "retrained": 0, "ensemble": 0}
    assert report.floored() == report.zeros()
    old = replace(report.evaluations["old"], zeros_replaced=2)  # one at zero, one hardly above
    other = replace(report, evaluations={**report.evaluations, "old": old})
    assert (other.zeros()["old"], other.floored()["old"]) == (1, 2)
    assert report.untestable() == ["yeti"]


def test_settings_become_two_columns(report: Report) -> None:
    assert report.setting_rows() == [
        ("seed", "0"),
        ("retraining.objective", "gml"),
        ("retraining.reweight", "yes"),
        ("retraining.penalty", "–"),
        ("retraining.steps", "1, 2"),
        ("temperature", "1.25"),
    ]


@pytest.mark.parametrize(
    ("use", "evaluated", "shown"),
    [
        ("ensemble", ("old", "retrained", "ensemble"), "ensemble"),
        ("retrained", ("old", "retrained", "ensemble"), "retrained"),
        ("old", ("old", "retrained", "ensemble"), "ensemble"),
        ("old", ("old", "retrained"), "retrained"),
        ("retrained", (), None),
    ],
)
def test_the_recommended_classifier_is_shown_or_else_what_was_tried(
    report: Report, use: str, evaluated: tuple[str, ...], shown: str | None
) -> None:
    evaluations = {name: report.evaluations[name] for name in evaluated}
    verdict = {**report.verdict, "use": use}
    assert replace(report, verdict=verdict, evaluations=evaluations).shown == shown


def test_without_evaluations_the_classes_are_still_listed(report: Report) -> None:
    rows = replace(report, evaluations={}).class_rows()
    assert [row["class"] for row in rows] == ["truck", "cat", "lynx", "yeti"]
    assert {row["recall_new"] for row in rows} == {None}
    assert {row["support"] for row in rows} == {None}


def test_what_does_not_fit_together_is_refused(report: Report) -> None:
    old = report.evaluations["old"]
    with pytest.raises(InputError, match="must be one of old, retrained, ensemble; got 'new'"):
        replace(report, verdict={**report.verdict, "use": "new"})
    with pytest.raises(InputError, match="no 'reason'"):
        replace(report, verdict={"use": "old", "decided_on": ""})
    with pytest.raises(InputError, match="'new'; the keys must be among"):
        replace(report, evaluations={"old": old, "new": old})
    with pytest.raises(InputError, match="needs 'old' and at least one"):
        replace(report, evaluations={"old": old})
    with pytest.raises(InputError, match="'ensemble', which was not evaluated"):
        replace(report, evaluations={"old": old, "retrained": old})
    with pytest.raises(InputError, match="has 4 classes and class_counts has 2"):
        replace(report, class_counts=ClassCounts([1, 2]))
    turned = ClassCounts([200, 50, 5, 10], names=("truck", "cat", "yeti", "lynx"))
    with pytest.raises(InputError, match="calls class 0 'cat' and class_counts calls it 'truck'"):
        replace(report, class_counts=turned)
    other = evaluate(labels=[0, 1, 2, 3], predicted=[0, 1, 2, 3])
    with pytest.raises(InputError, match="on different test data"):
        replace(report, evaluations={"old": old, "ensemble": other})


def test_names_become_printable_and_stay_distinct() -> None:
    names = ("a\nb", "\u202egnp.exe", " ", "c", "c ", "👩‍🔬", "2")
    rows = recall_rows(None, None, ClassCounts([7, 6, 5, 4, 3, 2, 1], names=names))
    assert [row["class"] for row in rows] == [
        "a b",
        "gnp.exe",
        "class 2 (index 2)",
        "c (index 3)",
        "c (index 4)",
        "👩‍🔬",
        "class 2 (index 6)",
    ]
    rows = recall_rows(None, None, ClassCounts([5, 4, 3], names=("x", "x ", "x (index 0)")))
    assert [row["class"] for row in rows] == [
        "x (index 0) (index 0)",
        "x (index 1)",
        "x (index 0) (index 2)",
    ]
    unnamed = recall_rows(None, None, ClassCounts([2, 1]))
    assert [row["class"] for row in unnamed] == ["class 0", "class 1"]


def test_bins_hold_every_class_once_and_never_mix_groups(
    report_of: Callable[..., Report],
) -> None:
    rows = report_of([f"class {c}" for c in range(1000)]).class_rows()
    bins = bin_rows(rows, bins=60)
    assert 60 <= len(bins) <= 63
    assert [b["start"] for b in bins] == [0] + [b["stop"] for b in bins[:-1]]
    assert bins[-1]["stop"] == 1000
    for b in bins:
        members = rows[b["start"] : b["stop"]]
        recalls = sorted(row["recall_new"] or 0 for row in members)
        assert {row["group"] for row in members} == {b["group"]}
        assert b["mean_new"] == pytest.approx(np.mean(recalls))
        assert b["worst_new"] == pytest.approx(np.mean(recalls[: -(-len(members) // 10)]))
        assert b["lowest_new"] == recalls[0]
        assert b["most_images"] == members[0]["training_count"]


def test_classes_whose_training_images_are_not_known_are_binned_too() -> None:
    labels = np.arange(300)
    said = evaluate(labels=labels, predicted=labels)
    bins = bin_rows(recall_rows(said, said, None))
    assert [b["start"] for b in bins] == list(range(0, 300, 5))
    assert {b["group"] for b in bins} == {""}


def test_a_bin_of_untestable_classes_has_no_recall() -> None:
    (only,) = bin_rows(recall_rows(None, None, ClassCounts([3, 2])), bins=1)
    assert (only["mean_old"], only["worst_new"], only["lowest_class"]) == (None, None, None)
    assert only["mean_images"] == 2.5
