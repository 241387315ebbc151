"""Classifiers whose files have classes in other orders: brought together by name, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import Evaluation, Predictions
from everyclass.errors import InputError
from everyclass.metrics import EvaluationState, evaluate
from everyclass.reporting import Judged, Report, named_files, report_of, report_of_files
from everyclass.reporting.same_classes import judged_alike, on_the_same_classes

NAMES = ("cat", "dog", "lynx")
LABELS = np.repeat([0, 1, 2], 40)  # as many of each: no count tells one class from another
SAID = np.where(np.arange(120) % 40 < np.array([36, 20, 4])[LABELS], LABELS, (LABELS + 1) % 3)
TURNED = np.array([2, 1, 0])


def said(names: tuple[str, ...] = NAMES, **options: Any) -> Predictions:
    """The same classifier on the same images, its classes numbered in the order of the names."""
    place = np.array([names.index(name) for name in NAMES])
    return Predictions(place[LABELS], predicted=place[SAID], class_names=names, **options)


def state_of(predictions: Predictions) -> EvaluationState:
    state = EvaluationState()
    state.update(predictions)
    return state


def as_predictions(p: Predictions, path: Path) -> Path:
    p.save(path.with_suffix(".npz"))
    return path.with_suffix(".npz")


def as_evaluation(p: Predictions, path: Path) -> Path:
    evaluate(p).save(path.with_suffix(".json"))
    return path.with_suffix(".json")


def as_state(p: Predictions, path: Path) -> Path:
    state_of(p).save(path.with_suffix(".state.npz"))
    return path.with_suffix(".state.npz")


FORMS = {"predictions": as_predictions, "evaluation": as_evaluation, "state": as_state}


@pytest.mark.parametrize("old", FORMS)
@pytest.mark.parametrize("new", FORMS)
def test_one_classifier_written_twice_is_the_same(old: str, new: str, tmp_path: Path) -> None:
    files = [
        FORMS[old](said(), tmp_path / "old"),
        FORMS[new](said(("lynx", "dog", "cat")), tmp_path / "new"),
    ]
    report = report_of_files(named_files(files, "old,new"))
    assert [(row["class"], row["change"]) for row in report.class_rows()] == [
        ("cat", 0),
        ("dog", 0),
        ("lynx", 0),
    ]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(a == b)


def assert_equal(a: Evaluation, b: Evaluation) -> None:
    means = {"intervals", "geometric_mean", "harmonic_mean", "balanced_accuracy"}  # of sums
    for field in fields(Evaluation):
        if field.name not in means | {"class_counts"}:
            assert same(getattr(a, field.name), getattr(b, field.name)), field.name
    assert a.intervals is not None
    assert b.intervals is not None
    assert a.intervals["per_class_recall"] == b.intervals["per_class_recall"]
    if b.class_counts is not None:
        assert a.class_counts is not None
        assert a.class_counts.counts.tolist() == b.class_counts.counts.tolist()
        assert a.class_counts.names == b.class_counts.names


def test_an_evaluation_in_another_order_is_that_of_the_first_order() -> None:
    expected = evaluate(said(class_counts=[300, 20, 5]))
    turned = evaluate(said(("lynx", "dog", "cat"), class_counts=[5, 20, 300]))
    found = judged_alike({"a": said(), "b": Judged(turned)})["b"].evaluation
    assert_equal(found, expected)
    again = judged_alike({"a": Judged(expected), "b": Judged(turned)})
    assert again["a"].evaluation is expected  # whose order it is
    assert_equal(again["b"].evaluation, expected)


def test_a_state_in_another_order_keeps_its_pairs() -> None:
    turned = Judged.of_state(state_of(said(("lynx", "dog", "cat"))))
    found = judged_alike({"a": said(), "b": turned})
    assert found["b"].pairs == found["a"].pairs == ((2, 0, 36), (1, 2, 20), (0, 1, 4))
    assert turned.pairs == ((0, 2, 36), (1, 0, 20), (2, 1, 4))


def test_classes_that_an_evaluation_does_not_name_have_no_images() -> None:
    """A table names only the classes that stand in it."""
    known = Predictions([0, 1, 1], predicted=[0, 1, 2], class_names=("dog", "cat", "yeti"))
    short = evaluate(labels=[1, 0, 0], predicted=[1, 0, 0], class_counts={"cat": 9, "dog": 2})
    found = judged_alike({"known": known, "short": Judged(short)})["short"].evaluation
    assert found.class_names == ("dog", "cat", "yeti")
    assert found.support.tolist() == [1, 2, 0]
    assert found.untestable == (2,)
    assert np.isnan(found.per_class_recall[2])
    assert found.class_counts is None  # nobody says how many yetis it learned from
    report = report_of({"known": Judged.of(known), "short": Judged(found)}, title="", settings={})
    assert report.untestable() == ["yeti"]


def test_other_classes_are_refused_with_the_first_that_differs(tmp_path: Path) -> None:
    other = Predictions(LABELS, predicted=SAID, class_names=("cat", "dog", "tiger"))
    files = [as_evaluation(said(), tmp_path / "old"), as_evaluation(other, tmp_path / "new")]
    with pytest.raises(InputError, match="images per class differ, such as 0 and 40 of lynx"):
        report_of_files(named_files(files))


def test_numbers_without_names_go_by_number() -> None:
    bare = Judged(evaluate(labels=LABELS, predicted=SAID))
    found = on_the_same_classes({"a": said(), "b": bare})["b"]
    assert isinstance(found, Judged)
    assert found.evaluation.class_names == NAMES
    scored = evaluate(labels=[0, 1], probs=[[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(InputError, match="b has 2 classes and another has 3"):
        on_the_same_classes({"a": said(), "b": Judged(scored)})


def test_a_report_of_classes_in_another_order_is_refused() -> None:
    turned = evaluate(said(("lynx", "dog", "cat")))
    evaluations = {"old": evaluate(said()), "new": turned}
    with pytest.raises(InputError, match="'new' has the classes lynx, dog, cat and 'old' has cat,"):
        Report("", None, evaluations, None, {}, "")


def test_another_floor_is_refused() -> None:
    evaluations = {
        "old": Judged(evaluate(said())),
        "new": Judged(evaluate(said(), zero_floor=0.1)),
    }
    with pytest.raises(
        InputError,
        match=r"'new' counts no recall less than 0\.1 and 'old' none less than 0\.001; their means "
        r"can only be compared with the same zero_floor \(evaluate --zero-floor\)",
    ):
        report_of(evaluations, title="", settings={})


# --- what is said beside a file of numbers --------------------------------------------------------


@pytest.mark.parametrize("form", [as_evaluation, as_state, as_predictions])
def test_counts_go_with_every_kind_of_file(
    form: Callable[[Predictions, Path], Path], tmp_path: Path
) -> None:
    file = form(said(class_counts=[9, 9, 9]), tmp_path / "said")
    counts = tmp_path / "counts.csv"
    counts.write_text("class,count\ndog,50\nlynx,5\ncat,500\n")
    report = report_of_files({"said": file}, class_counts=counts)
    assert report.class_counts is not None
    assert report.class_counts.counts.tolist() == [500, 50, 5]
    assert report.groups is not None
    assert report.groups.tolist() == ["many", "medium", "few"]
    expected = evaluate(said(class_counts=[500, 50, 5])).intervals
    found = report.evaluations["said"].intervals
    assert found is not None
    assert expected is not None
    assert found["groups"] == expected["groups"]


def test_counts_beside_an_evaluation_draw_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(said()).save(tmp_path / "said.json")
    (tmp_path / "counts.csv").write_text("class,count\ndog,50\nlynx,5\ncat,500\n")

    def drawn(*_: Any, **__: Any) -> None:
        pytest.fail("the harmonic mean needs no new draws")

    monkeypatch.setattr("everyclass.metrics.uncertainty.mean_recall_intervals", drawn)
    report = report_of_files({"x": tmp_path / "said.json"}, class_counts=tmp_path / "counts.csv")
    found = report.evaluations["x"].intervals
    assert found is not None
    assert found["groups"]["paper"]["few"] is not None


def test_counts_and_names_that_do_not_fit_numbers_are_refused(tmp_path: Path) -> None:
    evaluate(said()).save(tmp_path / "named.json")
    evaluate(labels=LABELS, predicted=SAID).save(tmp_path / "bare.json")
    (tmp_path / "two.csv").write_text("class,count\ncat,5\ndog,2\n")
    for name, words in (("named", "unknown|missing"), ("bare", "2 entries and there are 3")):
        with pytest.raises((InputError, ValueError), match=words):
            report_of_files({"x": tmp_path / f"{name}.json"}, class_counts=tmp_path / "two.csv")
    named = report_of_files({"x": tmp_path / "bare.json"}, class_names=NAMES)
    assert named.names == NAMES
    with pytest.raises(InputError, match=r"names its classes cat, dog, lynx, and class_names"):
        report_of_files({"x": tmp_path / "named.json"}, class_names=("a", "b", "c"))
