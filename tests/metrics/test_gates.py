"""Gates: what they compare, how they fail, and what they refuse to read."""

from __future__ import annotations

import unicodedata
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass import (
    Evaluation,
    EvaluationState,
    EveryclassError,
    GateFailedError,
    Predictions,
    evaluate,
    gate,
)
from everyclass.errors import InputError, InputTypeError, MissingFileError
from everyclass.metrics import judge_gates
from everyclass.metrics.gate_language import NUMBERS, parse_gate

NAMES = ("cat", "dog", 'it\'s "a" [lynx]', "elk")
LABELS = np.repeat([0, 1, 2, 3], [10, 10, 10, 10])
RIGHT = np.tile(np.arange(10), 4) < np.repeat([9, 8, 3, 10], 10)
PREDICTED = np.where(RIGHT, LABELS, (LABELS + 1) % 4)


def said(right: tuple[int, ...] = (9, 8, 3, 10), **more: Any) -> Evaluation:
    outcome = np.tile(np.arange(10), 4) < np.repeat(right, 10)
    predicted = np.where(outcome, LABELS, (LABELS + 1) % 4)
    return evaluate(labels=LABELS, predicted=predicted, **{"class_names": NAMES, **more})


SAID = said()
SCORED = evaluate(labels=[0, 1, 1], logits=[[3.0, 0, 0], [0, 2.0, 0], [1.0, 0, 0]])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("accuracy", SAID.accuracy),
        ("balanced_accuracy", 0.75),
        ("geometric_mean", SAID.geometric_mean),
        ("harmonic_mean", SAID.harmonic_mean),
        ("lowest_recall", 0.3),
        ("recall['cat']", 0.9),
        ('recall["dog"]', 0.8),
        ("recall[3]", 1.0),
        (r"recall['it\'s " '"a"' " [lynx]']", 0.3),
        (r'recall["it' "'" r's \"a\" [lynx]"]', 0.3),
        ("precision['cat']", 9 / 9),
        ("precision[3]", 10 / 17),
        ("f1['cat']", 18 / 19),
        ("support['cat']", 10),
        ("worst[10]", 0.3),
        ("num_samples", 40),
        ("num_classes", 4),
        ("num_scored", 4),
        ("never_predicted", 0),
        ("untestable", 0),
        ("zeros_replaced", 0),
    ],
)
def test_every_value(text: str, wanted: float) -> None:
    (result,) = gate(SAID, f"{text} < 0")
    assert result.value == pytest.approx(wanted, rel=1e-12)
    assert not result.failed
    assert result.estimate == result.value


@pytest.mark.parametrize(
    "name",
    [
        "top5_accuracy",
        "negative_log_likelihood",
        "brier_score",
        "calibration_error",
        "classwise_calibration_error",
        "geometric_mean_loss",
    ],
)
def test_numbers_of_scores(name: str) -> None:
    (result,) = gate(SCORED, f"{name} < 0")
    assert result.value == getattr(SCORED, name)
    with pytest.raises(InputError, match=f"{name} needs logits or probabilities"):
        gate(SAID, f"{name} < 0")


def test_every_number_of_an_evaluation_can_be_gated() -> None:
    numbers = {
        field.name
        for field in fields(Evaluation)
        if isinstance(getattr(SCORED, field.name), int | float)
    }
    # What these say is how the numbers were made, and what to expect of the lowest.
    assert numbers - {"zero_floor", "lowest_if_equal"} <= set(NUMBERS)
    for name in NUMBERS:
        assert gate(SCORED, f"{name} < 0")


@given(
    st.sampled_from(["<", "<=", ">", ">="]),
    st.floats(0, 1),
    st.sampled_from(["", " ", "  "]),
    st.booleans(),
)
def test_comparisons_are_python_s(sign: str, threshold: float, space: str, percent: bool) -> None:
    value = SAID.lowest_recall
    text = f"{100 * threshold!r}%" if percent else repr(threshold)
    number = float(Decimal(text.rstrip("%")) / 100) if percent else threshold
    if number > 1 or 0 < abs(value - number) <= 1e-12:
        return
    gate_text = f"{space}lowest_recall{space}{sign}{space}{text}{space}"
    expected = {"<": value < number, "<=": value <= number, ">": value > number,
                ">=": value >= number}[sign]  # fmt: skip
    if expected:
        with pytest.raises(GateFailedError):
            gate(SAID, gate_text)
    else:
        assert gate(SAID, gate_text)[0].failed is False


def test_a_value_that_meets_the_threshold_is_the_threshold() -> None:
    def of(right: int, images: int) -> Evaluation:
        labels = np.repeat([0, 1], images)
        return evaluate(labels=labels, predicted=np.where(np.arange(2 * images) < right, 0, 1))

    before, now = of(46, 50), of(45, 50)
    assert before.per_class_recall[0] - now.per_class_recall[0] > 0.02  # by rounding
    for text in ("2%", "0.02"):
        assert gate(now, f"drop(base) > {text}", baselines={"base": before})
        with pytest.raises(GateFailedError):
            gate(now, f"drop(base) >= {text}", baselines={"base": before})
    few = of(11, 1000)
    assert gate(few, ["lowest_recall < 1.1%", "lowest_recall < 0.011"])
    assert parse_gate("lowest_recall < 1.1%").threshold == 0.011
    assert parse_gate("lowest_recall < 1e-999999999%").threshold == 0


def test_the_exception_is_an_assertion_and_says_what_failed() -> None:
    gates = ["accuracy < 50%", "lowest_recall < 0.35", "recall['dog'] < 0.9", "never_predicted > 0"]
    with pytest.raises(AssertionError) as caught:
        gate(SAID, gates)
    error = caught.value
    assert isinstance(error, GateFailedError)
    assert isinstance(error, EveryclassError)
    assert error.exit_code == 1
    low, high = SAID.intervals["lowest_recall"]  # type: ignore[index]
    assert str(error) == (
        f"2 of 4 gates failed: lowest_recall < 0.35 is 0.3 (interval {low:.3g} to {high:.3g}; it's "
        "\"a\" [lynx]); recall['dog'] < 0.9 is 0.8 (interval 0.49 to 0.943; 8 of 10 images)."
    )
    assert [r.failed for r in error.results] == [False, True, True, False]
    with pytest.raises(GateFailedError, match=r"^1 of 1 gate failed: accuracy > 0 is 0\.75"):
        gate(SAID, "accuracy > 0")


def test_predictions_and_plain_values() -> None:
    predictions = Predictions(LABELS, predicted=PREDICTED)
    (result,) = gate(predictions, ("recall[2] < 0.1",))
    assert result.interval == pytest.approx(SAID.intervals["per_class_recall"][2])  # type: ignore[index]
    assert result.to_dict() == {
        "fail_if": "recall[2] < 0.1",
        "failed": False,
        "value": 0.3,
        "estimate": 0.3,
        "interval": result.interval,
        "detail": "3 of 10 images",
    }
    assert gate(SAID, []) == ()
    with pytest.raises(InputTypeError, match="takes an Evaluation or Predictions; got a dict"):
        gate({}, "accuracy < 0")  # type: ignore[arg-type]


# --- drop -----------------------------------------------------------------------------------------

BEFORE = said((9, 9, 7, 9))


def test_drop_is_the_largest_loss_of_any_class() -> None:
    (result,) = gate(SAID, "drop(before) > 0.5", baselines={"before": BEFORE})
    assert result.value == pytest.approx(0.4)
    assert result.detail == 'it\'s "a" [lynx]: 0.7 → 0.3'
    with pytest.raises(GateFailedError, match=r"drop\(before\) > 2% is 0\.4"):
        gate(SAID, "drop(before) > 2%", baselines={"before": BEFORE})
    # Nobody lost: the largest loss is a gain.
    (result,) = gate(said((10, 10, 8, 10)), "drop(b) > 0", baselines={"b": BEFORE})
    assert result.value == pytest.approx(-0.1)


@pytest.mark.parametrize("name", ["accuracy", "harmonic_mean", "lowest_recall", "recall['dog']"])
def test_drop_of_a_number(name: str) -> None:
    (result,) = gate(SAID, f"drop(b, {name}) > 1", baselines={"b": BEFORE})
    mine, theirs = (gate(e, f"{name} < 0")[0].value for e in (SAID, BEFORE))
    assert result.value == pytest.approx(theirs - mine, abs=1e-15)


def test_classes_are_matched_by_name_in_any_order() -> None:
    order = [2, 0, 3, 1]  # place of each class in the baseline
    outcome = np.tile(np.arange(10), 4) < np.repeat([9, 9, 7, 9], 10)
    predicted = np.where(outcome, LABELS, (LABELS + 1) % 4)
    place = np.array(order)
    names = tuple(np.array(NAMES)[np.argsort(order)].tolist())
    before = evaluate(labels=place[LABELS], predicted=place[predicted], class_names=names)
    for text in ("drop(b)", "drop(b, recall['dog'])", "drop(b, recall[2])", "drop(b, worst[10])"):
        results = [gate(SAID, f"{text} > 1", baselines={"b": b})[0] for b in (BEFORE, before)]
        assert results[0].value == pytest.approx(results[1].value, abs=1e-15)


def test_baselines_in_files_of_every_kind(tmp_path: Path) -> None:
    predicted = np.where(np.tile(np.arange(10), 4) < np.repeat([9, 9, 7, 9], 10), LABELS,
                         (LABELS + 1) % 4)  # fmt: skip
    predictions = Predictions(LABELS, predicted=predicted, class_names=NAMES)
    folder = tmp_path / "old runs-1"
    folder.mkdir()
    BEFORE.save(folder / "e.json")
    predictions.save(folder / "p.npz")
    state = EvaluationState()
    state.update(predictions)
    state.save(folder / "state.npz")
    for name in ("e.json", "p.npz", "state.npz"):
        for path in (f"{folder / name}", f"'{folder / name}'"):
            assert gate(SAID, f"drop({path}) > 1")[0].value == pytest.approx(0.4)
            (result,) = gate(SAID, f"drop( {path} , accuracy ) > 1")
            assert result.value == pytest.approx(BEFORE.accuracy - SAID.accuracy)
    with pytest.raises(MissingFileError, match=r"There is no baseline at .*nothing\.npz"):
        gate(SAID, f"drop({folder}/nothing.npz) > 0")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (evaluate(labels=[0, 1], predicted=[0, 1]), "b has 2 classes and this evaluation 4"),
        (said(class_names=("cat", "dig", "x", "elk")), "has no class 'dog'; did you mean 'dig'?"),
        (
            evaluate(labels=LABELS % 3, predicted=LABELS, class_names=NAMES),
            "'elk' has test images in this evaluation and none in the baseline b",
        ),
        (said(zero_floor=0.01), "less than 0.01 and this evaluation none less than 0.001; harm"),
    ],
)
def test_baselines_of_something_else(before: Evaluation, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        gate(SAID, "drop(b, harmonic_mean) > 0", baselines={"b": before})
    lost = evaluate(labels=LABELS % 3, predicted=LABELS, class_names=NAMES)
    with pytest.raises(InputError, match="'elk' has test images in the baseline b and none in"):
        gate(lost, "drop(b) > 0", baselines={"b": SAID})


def test_classes_that_nobody_can_judge_drop_nothing() -> None:
    names = (*NAMES, "yak")
    one, two = (
        evaluate(labels=e, predicted=LABELS, class_names=names)
        for e in (LABELS, np.where(np.arange(40) == 0, 1, LABELS))
    )
    assert gate(one, "drop(b) > 0.5", baselines={"b": two})[0].value == pytest.approx(0.0)


# --- intervals ------------------------------------------------------------------------------------


def with_intervals(intervals: Any) -> Evaluation:
    evaluation = said()
    object.__setattr__(evaluation, "intervals", intervals)
    return evaluation


INTERVALS = {
    "accuracy": (0.6, 0.87),
    "lowest_recall": (0.1, 0.5),
    "per_class_recall": [(0.6, 0.98), (0.5, 0.94), None, (0.72, 1.0)],
    "worst": {"1": (0.1, 0.6), "10": (0.05, 0.6)},
}


def test_bounds_of_intervals() -> None:
    evaluation = with_intervals(INTERVALS)
    for text, wanted in (
        ("lower(accuracy)", 0.6),
        ("upper( accuracy )", 0.87),
        ("lower(recall['dog'])", 0.5),
        ("upper(recall[3])", 1.0),
        ("lower(worst[10])", 0.05),
    ):
        (result,) = gate(evaluation, f"{text} < 0")
        assert result.value == wanted
    with pytest.raises(
        GateFailedError,
        match=r"lower\(lowest_recall\) < 0\.2 is 0\.1 \(of 0\.3, interval 0\.1 to",
    ):
        gate(evaluation, ["lowest_recall < 0.2", "lower(lowest_recall) < 0.2"])
    assert gate(evaluation, "lowest_recall < 0.2")[0].interval == (0.1, 0.5)


def test_the_intervals_of_an_evaluation() -> None:
    for text, wanted in (
        ("harmonic_mean", SAID.intervals["harmonic_mean"]),  # type: ignore[index]
        ("recall['dog']", SAID.intervals["per_class_recall"][1]),  # type: ignore[index]
        ("worst[5]", SAID.intervals["worst"]["5"]),  # type: ignore[index]
    ):
        low, high = (gate(SAID, f"{end}({text}) < 0")[0].value for end in ("lower", "upper"))
        assert [low, high] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("evaluation", "text"),
    [
        (with_intervals(None), "lower(lowest_recall) < 0.1"),
        (with_intervals({}), "lower(recall['dog']) < 0.1"),
        (with_intervals(INTERVALS), "lower(harmonic_mean) < 0.1"),
        (with_intervals(INTERVALS), "upper(recall[2]) < 0.1"),
        (with_intervals(INTERVALS), "lower(worst[5]) < 0.1"),
        (with_intervals(INTERVALS), "lower(f1[0]) < 0.1"),
        (with_intervals(INTERVALS), "upper(drop(b)) > 0.1"),
    ],
)
def test_where_there_is_no_interval_it_is_said(evaluation: Evaluation, text: str) -> None:
    with pytest.raises(InputError, match=r"asks for the (lower|upper) end of an interval, and"):
        gate(evaluation, text, baselines={"b": SAID})


# --- what is refused ------------------------------------------------------------------------------


def harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lowest_recal < 0.05", "'lowest_recal' .* did you mean 'lowest_recall'?"),
        (
            "lowest-recall < 0.05",
            "'lowest-recall' .* is no number .* did you mean 'lowest_",
        ),
        ("acuracy < 1", "did you mean 'accuracy'?"),
        ("per_class_recall['cat'] < 1", "'per_class_recall' .* is no number"),
        ("recall['cta'] < 0.5", "There is no class 'cta'; did you mean 'cat'?"),
        ("recall['猫'] < 0.5", "There is no class '猫'."),
        ("recall[4] < 0.5", "There is no class 4 for recall; they go from 0 to 3"),
        ("recall < 0.5", "recall is one number per class: write recall"),
        ("recall[cat] < 0.5", "a class is a name in quotation marks, or its number"),
        ("recall[-1] < 0.5", "a class is a name in quotation marks, or its number"),
        ("recall['cat' < 0.5", "stops making sense at '< 0.5'"),
        ("recall['cat] < 0.5", "a class is a name in quotation marks"),
        ("worst < 0.5", "write worst.5"),
        ("worst[7] < 0.5", "worst is known of 1, 5 and 10 %"),
        ("lowest_recall", "ends too early"),
        ("lowest_recall <", "ends too early"),
        ("lowest_recall < ", "ends too early"),
        ("", "ends too early"),
        ("0.05 > lowest_recall", "stops making sense at '0.05 > lowest_recall'"),
        ("lowest_recall == 0.05", "stops making sense at '== 0.05'"),
        ("lowest_recall != 0.05", "stops making sense at '!= 0.05'"),
        ("lowest_recall < accuracy", "stops making sense at 'accuracy'"),
        ("lowest_recall < 0.05 and accuracy < 0.5", "stops making sense at 'and accuracy < 0.5'"),
        ("lowest_recall < 0.05; import os", "stops making sense at '; import os'"),
        ("lowest_recall + 1 < 0.05", "stops making sense at '. 1 < 0.05'"),
        ("lowest_recall < nan", "stops making sense at 'nan'"),
        ("lowest_recall < ٠", "stops making sense"),
        ("negative_log_likelihood > 1e999", "inf is no threshold"),
        ("lowest_recall < 5", "a fraction lies between 0 and 1: write 0.05 or 5%"),
        ("lowest_recall < 120%", "lies between 0 and 1"),
        ("lowest_recall < -0.1", "lies between 0 and 1;"),
        ("drop(b) > 2", "lies between -1 and 1: write 0.02 or 2%"),
        ("never_predicted > 5%", "a count is no percentage"),
        ("drop(b, brier_score) > 0", "brier_score is better the lower it is"),
        ("drop(b, drop(b)) > 0", "'drop' .* is no number"),
        ("drop() > 0", "stops making sense at"),
        ("drop(b > 0", "ends too early|stops making sense"),
        ("drop(b, ) > 0", "stops making sense at"),
        ("drop > 0", "stops making sense at '> 0'"),
        ("lower(lower(accuracy)) < 1", "'lower' .* is no number"),
        ("lower(accuracy < 1", "stops making sense at '< 1'"),
        ("max(accuracy) < 1", "'max' .* is no number"),
        ("__import__('os').system('touch was-run') < 1", "'__import__' .* is no number"),
        ("accuracy.__class__ < 1", "stops making sense at '.__class__ < 1'"),
        ("().__class__.__mro__ < 1", "stops making sense at"),
        ("lambda: 0 < 1", "'lambda' .* is no number"),
        ("(" * 100_000 + "accuracy < 1", "stops making sense at"),
        ("lower(" * 100_000 + "accuracy < 1", "is no number of an evaluation"),
        ("recall['" + "x" * 100_000 + "'] < 0.5", "There is no class 'x{59}…'."),
        ("a" * 100_000, "is no number of an evaluation"),
        ("recall['\x1b[31m'] < 0.5", r"There is no class '.x1b.31m'"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_sentence(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message.replace("?", r"\?")) as caught:
        gate(SAID, text, baselines={"b": SAID})
    said = str(caught.value)
    assert harmless(said)
    assert len(said) < 600
    assert said.endswith((".", "?"))
    assert not list(tmp_path.iterdir())


@given(st.text(max_size=40) | st.text("lower(recal)['\"]<>=.5%drop, \\", max_size=40))
def test_any_text_is_a_gate_or_refused(text: str) -> None:
    said = None
    try:
        assert parse_gate(text).text == text
    except InputError as error:
        said = str(error)
    assert said is None or harmless(said)


def test_values_that_cannot_be_judged() -> None:
    names = ("cat", "dog", "yak")
    few = evaluate(labels=[0, 1], predicted=[0, 0], class_names=names)
    with pytest.raises(InputError, match="Class 'yak' has no test images, so its recall cannot"):
        gate(few, "recall['yak'] < 0.5")
    with pytest.raises(InputError, match="Class 'dog' was never predicted, so its precision"):
        gate(few, "precision['dog'] < 0.5")
    said = evaluate(labels=[0, 1], predicted=[0, 2], class_names=names)
    with pytest.raises(GateFailedError, match=r"precision\['yak'\] < 0.5 is 0\."):
        gate(said, "precision['yak'] < 0.5")
    assert gate(few, "never_predicted > 1")[0].detail == "dog"
    unnamed = evaluate(labels=[0, 1], predicted=[0, 0])
    with pytest.raises(InputError, match=r"no class names to find 'cat' among; write a number, as"):
        gate(unnamed, "recall['cat'] < 0.5")


def test_a_baseline_of_several_gates_is_evaluated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def baseline(name: str) -> Evaluation:
        asked.append(name)
        return BEFORE

    texts = [f"drop({name}{of}) > 1" for of in ("", ", accuracy") for name in ("a.json", "b.json")]
    judge_gates(SAID, [parse_gate(text) for text in texts], baseline)
    assert asked == ["a.json", "b.json"]
    BEFORE.save(tmp_path / "b.json")
    read: list[Path] = []
    monkeypatch.setattr(
        "everyclass.metrics.gates.evaluation_of_file", lambda p, **_: read.append(p) or BEFORE
    )
    path = tmp_path / "b.json"
    gate(SAID, [f"drop('{path}') > 1", f"drop('{path}', harmonic_mean) > 1"])
    assert read == [str(path)]
