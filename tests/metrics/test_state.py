"""Predictions judged in parts: the same numbers as at once, whatever the parts and their order."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from everyclass import ClassCounts, Evaluation, EvaluationState, Predictions, evaluate
from everyclass.artifacts import read_npz, write_npz
from everyclass.errors import FileFormatError, InputError, InputTypeError, MissingFileError

# Sums of doubles: their order shows in the last digits. Everything else is counted.
SUMS = {
    "negative_log_likelihood",
    "brier_score",
    "calibration_error",
    "classwise_calibration_error",
    "geometric_mean_loss",
}


def assert_equal(got: Evaluation, wanted: Evaluation) -> None:
    for field in fields(Evaluation):
        mine, theirs = getattr(got, field.name), getattr(wanted, field.name)
        if field.name in SUMS and theirs is not None:
            assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-14), field.name
        elif isinstance(theirs, ClassCounts):
            assert mine.counts.tolist() == theirs.counts.tolist()
        else:
            np.testing.assert_equal(mine, theirs, err_msg=field.name)


@st.composite
def prediction_sets(draw: st.DrawFn) -> Predictions:
    classes, count = draw(st.integers(2, 9)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, draw(st.integers(1, classes)), count)
    logits = generator.normal(size=(count, classes)) * draw(st.sampled_from([0.1, 3, 400]))
    logits = logits.round(draw(st.sampled_from([0, 12])))  # with equal scores
    kind = draw(st.sampled_from(["logits", "probs", "predicted"]))
    said = {"logits": logits, "probs": softmax(logits, axis=1), "predicted": logits.argmax(axis=1)}
    names = tuple(f"c{i}" for i in range(classes)) if draw(st.booleans()) else None
    counts = generator.integers(0, 300, classes) if draw(st.booleans()) else None
    if kind == "predicted" and names is None and counts is None and labels.max() == 0:
        labels[0] = 1  # of one class only nothing is said
    return Predictions(labels, **{kind: said[kind]}, class_names=names, class_counts=counts)


def part_of(said: Predictions, rows: np.ndarray) -> Predictions:
    parts: dict[str, Any] = {
        name: None if getattr(said, name) is None else getattr(said, name)[rows]
        for name in ("labels", "logits", "probs", "predicted")
    }
    return Predictions(
        **parts, class_names=said.class_names, class_counts=said.class_counts, first_row=0
    )


@given(prediction_sets(), st.data())
def test_any_partition_in_any_order_and_any_tree_of_merges(
    tmp_path: Path, said: Predictions, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(said))))
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=5).map(sorted))
    pieces = [p for p in np.split(np.array(order, dtype=int), cuts) if p.size]
    states = []
    for piece in pieces:
        if not states or data.draw(st.booleans(), "a state of its own"):
            states.append(EvaluationState())
        states[-1].update(part_of(said, piece))
    while len(states) > 1:
        other = states.pop(data.draw(st.integers(0, len(states) - 1)))
        if data.draw(st.booleans(), "through a file"):
            other.save(tmp_path / "state.npz")
            other = EvaluationState.load(tmp_path / "state.npz")
        before = other.confused_pairs()
        states[data.draw(st.integers(0, len(states) - 1))].merge(other)
        assert other.confused_pairs() == before  # what is merged stays as it was
    (state,) = states
    assert_equal(state.evaluation(zero_floor=0.01), evaluate(said, zero_floor=0.01))
    assert state.num_samples == len(said)


@given(prediction_sets())
def test_confused_pairs_against_scikit_learn(said: Predictions) -> None:
    state = EvaluationState()
    state.update(said)
    matrix = sk.confusion_matrix(said.labels, said.top, labels=np.arange(said.num_classes))
    np.fill_diagonal(matrix, 0)
    pairs = state.confused_pairs(None)
    rebuilt = np.zeros_like(matrix)
    for label, predicted, count in pairs:
        rebuilt[label, predicted] = count
    np.testing.assert_array_equal(rebuilt, matrix)
    assert len(pairs) == np.count_nonzero(matrix)
    assert [p[2] for p in pairs] == sorted((p[2] for p in pairs), reverse=True)
    assert state.confused_pairs(3) == pairs[:3]


@pytest.mark.parametrize("classes", [50, 3000])
def test_more_wrong_predictions_than_are_collected_at_once(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyclass.metrics.confusions._ROWS", 500)
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, classes, (2, 20_000))
    state = EvaluationState()
    for rows in np.split(np.arange(20_000), 40):
        state.update(labels=labels[rows], predicted=predicted[rows])
    matrix = sk.confusion_matrix(labels, predicted, labels=np.arange(classes))
    np.fill_diagonal(matrix, 0)
    pairs = np.array(state.confused_pairs(None))
    assert matrix[pairs[:, 0], pairs[:, 1]].tolist() == pairs[:, 2].tolist()
    assert pairs[:, 2].sum() == matrix.sum()


def test_classes_are_found_on_the_way() -> None:
    state = EvaluationState()
    state.update(labels=[0, 0], predicted=[0, 0])  # one class so far, which is no fault yet
    with pytest.raises(InputError, match="one class only"):
        state.evaluation()
    state.update(labels=[4], predicted=[2])
    assert state.num_classes == 5
    assert state.evaluation().untestable == (1, 2, 3)
    assert state.confused_pairs() == [(4, 2, 1)]


def test_names_and_counts_hold_for_all_parts() -> None:
    counts = {"bee": 7, "ant": 9, "cat": 1}
    state = EvaluationState(class_names=("ant", "bee", "cat"), class_counts=counts)
    state.update(labels=[0, 1], predicted=[0, 0])
    said = state.evaluation()
    assert said.class_names == ("ant", "bee", "cat")
    assert said.class_counts is not None
    assert said.class_counts.counts.tolist() == [9, 7, 1]
    assert said.untestable == (2,)
    state.class_counts = [5, 5, 5]  # what is known better later
    assert state.evaluation().groups == {
        rule: {"many": None, "medium": None, "few": 0.5} for rule in ("paper", "common")
    }


def test_memory_does_not_grow_with_the_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everyclass.metrics.confusions._ROWS", 200_000)
    labels = np.arange(100_000) % 10
    predicted = np.roll(labels, 3)
    logits = np.random.default_rng(0).normal(size=(20_000, 10))

    def peak(times: int) -> int:
        tracemalloc.start()
        state, scored = EvaluationState(), EvaluationState()
        for _ in range(times):
            state.update(labels=labels, predicted=predicted)
            scored.update(labels=labels[:20_000], logits=logits)
        state.evaluation()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(24) < 1.3 * peak(6)  # of four times the images


# --- what does not fit, and leaves everything as it was -------------------------------------------

PROBS = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])


@pytest.mark.parametrize(
    ("start", "more", "message"),
    [
        ({"logits": [[1.0, 2, 3]]}, {"predicted": [1]}, "come with predicted classes and those be"),
        (
            {"predicted": [1]},
            {"logits": [[1.0, 2, 3]]},
            "come with scores and those before with pr",
        ),
        ({"logits": [[1.0, 2, 3]]}, {"logits": [[1.0, 2]]}, "have 2 classes and those before 3"),
        ({"predicted": [1]}, {"predicted": [-1]}, r"predicted\[1\] is -1"),
        ({"predicted": [1]}, {"predicted": [0, 1]}, "predicted has 2 entries where 1"),
        ({"logits": [[1.0, 2, 3]]}, {"logits": [[1.0, np.inf, 3]]}, r"logits\[1, 1\] is inf"),
        ({"probs": PROBS[:1]}, {"probs": 2 * PROBS[:1]}, "Row 1 of probs sums to 2"),
    ],
)
def test_parts_that_do_not_fit_change_nothing(
    start: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    state = EvaluationState()
    state.update(labels=[0], **start)
    before = state.evaluation().to_dict() if state.num_classes > 1 else None
    with pytest.raises(InputError, match=message):
        state.update(labels=[0], **more)
    other = EvaluationState()
    if "is " not in message and "sums" not in message and "entries" not in message:
        other.update(labels=[0], **more)
        with pytest.raises(InputError, match=message):
            state.merge(other)
    assert before is not None
    np.testing.assert_equal(state.evaluation().to_dict(), before)


def test_labels_beyond_the_named_classes_are_named_by_row() -> None:
    state = EvaluationState(class_names=("ant", "bee"))
    state.update(labels=[0, 1], predicted=[0, 0])
    with pytest.raises(InputError, match=r"predicted\[3\] is 2, outside 0\.\.1"):
        state.update(labels=[1, 0], predicted=[1, 2])
    assert state.num_samples == 2


def test_contradictions_of_names_and_counts() -> None:
    one = EvaluationState(class_names=("ant", "bee"), class_counts=[5, 3])
    for other, message in (
        (EvaluationState(class_names=("ant", "cat")), "call class 1 'cat' and those before 'bee'"),
        (EvaluationState(class_counts=[5, 4]), "have 4 training images of class 1 and .* before 3"),
        (EvaluationState(class_counts=[5, 4, 3]), "have 3 classes and those before 2"),
    ):
        with pytest.raises(InputError, match=message):
            one.merge(other)
    with pytest.raises(InputError, match="class_counts has 3 entries and there are 2 classes"):
        one.class_counts = [1, 2, 3]
    unknown = EvaluationState()
    unknown.update(labels=[0, 5], predicted=[0, 0])
    with pytest.raises(InputError, match="class_counts has 3 entries and there are 6 classes"):
        unknown.class_counts = [1, 2, 3]


def test_calls_that_do_not_fit() -> None:
    state = EvaluationState()
    with pytest.raises(InputError, match="No image has been judged yet"):
        state.evaluation()
    with pytest.raises(InputError, match="needs labels="):
        state.update(predicted=[0])
    with pytest.raises(InputError, match="not both"):
        state.update(Predictions([0, 1], predicted=[0, 1]), labels=[0])
    with pytest.raises(InputTypeError, match="got a list"):
        state.update([0, 1])  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="got a dict"):
        state.merge({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="name 'a' stands twice"):
        EvaluationState(class_names=("a", "b", "a"))


def test_probabilities_called_logits_are_found_out_in_parts_too() -> None:
    state = EvaluationState()
    state.update(labels=[0, 1], logits=PROBS)
    with pytest.raises(InputError, match="these are probabilities; pass them as probs"):
        state.evaluation()
    stored, other = EvaluationState(), EvaluationState()
    other.update(labels=[0, 1], logits=PROBS)
    stored.merge(other)
    with pytest.raises(InputError, match="these are probabilities"):
        stored.evaluation()
    other.update(labels=[0], logits=[[3.0, -1.0, 2.0]])  # one row that is none
    assert other.evaluation().num_samples == 3
    long = EvaluationState()
    with pytest.raises(InputError, match="these are probabilities"):
        long.update(labels=np.zeros(1000, int), logits=np.tile(PROBS, (500, 1)))


def test_class_numbers_that_no_memory_holds() -> None:
    for values in ([0, 10**12], [0, 2**62]):
        with pytest.raises(InputError, match=r"labels\[1\] is \d+, outside 0\.\.9999999"):
            evaluate(labels=values, predicted=[0, 0])


# --- the file -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    state = EvaluationState(class_names=("ant", "bee", "cat"), class_counts=[30, 20, 10])
    logits = np.random.default_rng(0).normal(size=(50, 3))
    state.update(labels=np.arange(50) % 3, logits=logits)
    state.save(tmp_path / "state.npz")
    return tmp_path / "state.npz"


def test_a_saved_state_is_small_and_goes_on(tmp_path: Path) -> None:
    state = EvaluationState()
    labels = np.arange(200_000) % 1000
    state.update(labels=labels, predicted=np.where(labels % 50 == 0, 0, labels))
    state.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").stat().st_size < 40 * 1000
    again = EvaluationState.load(tmp_path / "s.npz")
    again.update(labels=[3], predicted=[999])
    assert (again.num_samples, again.num_classes) == (200_001, 1000)
    assert again.evaluation().support[3] == 201


DAMAGE: dict[str, dict[str, Any]] = {
    "a newer format": {"evaluation_state": np.array(2)},
    "no outcomes": {"outcomes": None},
    "negative counts": {"outcomes": np.full((3, 3), -1)},
    "floats": {"outcomes": np.ones((3, 3))},
    "another shape": {"outcomes": np.ones((2, 3), dtype=int)},
    "more right than there are": {"outcomes": np.array([[1, 1, 1], [1, 1, 1], [2, 2, 2]])},
    "pairs of other classes": {"pairs": np.array([[0], [7], [1]])},
    "pairs that do not add up": {"pairs": np.array([[0], [1], [1]])},
    "names for others": {"class_names": np.array(["ant"])},
    "counts for others": {"class_counts": np.array([1])},
    "sums of another shape": {"gaps": np.zeros((2, 15))},
    "sums that are none": {"gaps": np.full((3, 15), np.nan)},
    "half the sums": {"confidence": None},
    "more than all in the top five": {"top5": np.array(51)},
    "a number that is none": {"log_loss": np.array("a")},
    "a list for a number": {"squares": np.zeros(3)},
    "other images": {"confidence": np.ones((15, 3))},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state(damage: str, saved: Path) -> None:
    arrays = {k: v for k, v in {**read_npz(saved), **DAMAGE[damage]}.items() if v is not None}
    write_npz(saved, arrays)
    with pytest.raises(FileFormatError, match=r"state\.npz is a damaged saved evaluation state"):
        EvaluationState.load(saved)


def test_files_that_are_no_state(tmp_path: Path) -> None:
    Predictions([0, 1], predicted=[0, 1]).save(tmp_path / "p.npz")
    with pytest.raises(FileFormatError, match="is no saved evaluation state; it has labels, pred"):
        EvaluationState.load(tmp_path / "p.npz")
    with pytest.raises(MissingFileError):
        EvaluationState.load(tmp_path / "nothing.npz")


def test_an_infinite_loss_survives_the_file(tmp_path: Path) -> None:
    state = EvaluationState()
    state.update(labels=[0, 1], probs=[[1.0, 0.0], [1.0, 0.0]])
    state.save(tmp_path / "s.npz")
    said = EvaluationState.load(tmp_path / "s.npz").evaluation()
    assert said.negative_log_likelihood == said.geometric_mean_loss == math.inf


# --- names and numbers ----------------------------------------------------------------------------


def test_labels_may_be_names_in_parts_too() -> None:
    state = EvaluationState(class_names=("ant", "bee"))
    state.update(labels=["bee", "ant"], predicted=["bee", "bee"])
    state.update(labels=np.array(["ant"]), predicted=[0])
    state.update(labels=[1], predicted=np.array(["bee"]))
    assert state.evaluation().per_class_recall.tolist() == [0.5, 1]
    with pytest.raises(InputError, match=r"labels\[4\] is 'cat', which is no class"):
        state.update(labels=["cat"], predicted=[0])
    with pytest.raises(InputTypeError, match=r"no class_names \(--class-names\): pass all classes"):
        EvaluationState().update(labels=["ant"], predicted=[0])


@pytest.mark.parametrize("names", [[1, 2, 3], np.array([1, 2, 3]), (0, 2, 1), [1.0, 2.0, 3.0]])
def test_integers_are_no_names_that_are_other_numbers(names: Any) -> None:
    given = {"labels": [1, 2, 2], "predicted": [1, 2, 1]}
    way_out = r"and labels does too, .*\(clf\.classes_\.astype\(str\)\), .* np\.searchsorted\("
    for judge in (
        lambda: evaluate(**given, class_names=names),
        lambda: Predictions(**given, class_names=names),
        lambda: EvaluationState(class_names=names).update(**given),
    ):
        with pytest.raises(InputError, match=way_out):
            judge()
    with pytest.raises(InputError, match="and predicted does too, which are taken for positions"):
        evaluate(labels=["1"], predicted=[1], class_names=names)


@pytest.mark.parametrize("names", [[10, 20], np.array([1.5, 2.5]), [True, False]])
def test_a_saved_state_knows_that_its_names_are_other_numbers(names: Any, tmp_path: Path) -> None:
    state = EvaluationState(class_names=names)
    state.update(labels=[str(names[0])], predicted=[str(names[1])])
    state.save(tmp_path / "s.npz")
    loaded, merged = EvaluationState.load(tmp_path / "s.npz"), EvaluationState()
    merged.merge(loaded)
    for again in (loaded, merged):
        again.update(labels=[str(names[1])], predicted=[str(names[1])])
        with pytest.raises(InputError, match=r"class_names holds numbers, .*, and labels"):
            again.update(labels=[0], predicted=[1])
    arrays = read_npz(tmp_path / "s.npz", "state")
    write_npz(tmp_path / "odd.npz", {**arrays, "other_numbers": np.zeros(3)})
    with pytest.raises(FileFormatError, match="other_numbers must be one double for each class"):
        EvaluationState.load(tmp_path / "odd.npz")
    del arrays["other_numbers"]
    write_npz(tmp_path / "old.npz", arrays)  # as earlier versions wrote them
    assert EvaluationState.load(tmp_path / "old.npz").class_names == tuple(map(str, names))


def test_the_way_out_for_classes_that_are_numbers() -> None:
    classes, labels, predicted = np.array([1, 2, 3]), np.array([1, 2, 2]), np.array([1, 2, 1])
    said = evaluate(
        labels=np.searchsorted(classes, labels),
        predicted=np.searchsorted(classes, predicted),
        class_names=classes.astype(str),
    )
    assert said.class_names == ("1", "2", "3")
    assert said.per_class_recall.tolist()[:2] == [1, 0.5]


@pytest.mark.parametrize("names", [["1", "2", "3"], [0, 1, 2], np.arange(3), [False, True]])
def test_positions_have_names_that_are_digits_or_the_same_numbers(names: Any) -> None:
    said = evaluate(labels=[0, 1], predicted=[0, 1], class_names=names)
    assert said.class_names == tuple(map(str, names))


# --- what a state is written over -----------------------------------------------------------------


def test_an_empty_file_is_replaced_by_a_state(tmp_path: Path) -> None:
    state = EvaluationState()
    state.update(labels=[0, 1], predicted=[0, 1])
    (tmp_path / "s.npz").write_bytes(b"")
    state.save(tmp_path / "s.npz")
    assert EvaluationState.load(tmp_path / "s.npz").num_samples == 2


# --- confused pairs -------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_small_pieces() -> None:
    def judge(pieces: int) -> int:
        state = EvaluationState(class_names=["a", "b", "c"])
        tracemalloc.start()
        for _ in range(pieces):
            state.update(labels=[0, 1], predicted=[2, 1])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert state.confused_pairs() == [(0, 2, pieces)]
        return most

    judge(10)  # what is made once
    assert judge(12_000) < 1.5 * judge(6000)
