"""Gates: conditions under which a classifier must not be used, for tests and for CI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from everyclass.artifacts import Evaluation, Predictions, existing_file, quoted, some
from everyclass.errors import GateFailedError, InputError, InputTypeError
from everyclass.metrics.evaluation import evaluate
from everyclass.metrics.files import evaluation_of_file
from everyclass.metrics.gate_language import Drop, Gate, parse_gate
from everyclass.metrics.gate_values import Interval, drop_of, interval_of, value_of

__all__ = ["GateResult", "check_results", "gate", "judge_gates", "read_gates"]


@dataclass(frozen=True)
class GateResult:
    """What a gate said.

    Attributes:
        gate: the condition.
        value: what was compared: a number, or the end of its interval.
        estimate: the number itself.
        interval: its interval, or None where it has none.
        detail: which classes, how many images; may be empty.
        failed: whether the condition is true.
    """

    gate: Gate
    value: float
    estimate: float
    interval: Interval | None
    detail: str
    failed: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "fail_if": self.gate.text,
            "failed": self.failed,
            "value": self.value,
            "estimate": self.estimate,
            "interval": self.interval,
            "detail": self.detail,
        }

    def __str__(self) -> str:
        notes = [self.detail] if self.detail else []
        if self.interval is not None:
            low, high = self.interval
            of = "" if self.gate.bound is None else f"of {self.estimate:.4g}, "
            notes.insert(0, f"{of}interval {low:.3g} to {high:.3g}")
        return f"{self.value:.4g}" + (f" ({'; '.join(notes)})" if notes else "")


def gate(
    evaluation: Evaluation | Predictions,
    fail_if: str | Iterable[str],
    *,
    baselines: Mapping[str, Evaluation] | None = None,
) -> tuple[GateResult, ...]:
    """Raise an ``AssertionError`` if a classifier is worse than you allow; for use in pytest.

    A gate compares one value with a number by ``<``, ``<=``, ``>`` or ``>=``, and fails if that is
    true. Values are:

    - the numbers of an :class:`Evaluation` by name: ``lowest_recall``, ``harmonic_mean``, …;
      ``never_predicted`` and ``untestable`` are numbers of classes;
    - ``recall['melanoma']``, ``precision[…]``, ``f1[…]``, ``support[…]`` of a class, by name or
      number; ``worst[5]``, the mean recall of the worst 5 % of classes;
    - ``drop(baseline.npz)``: max over classes of (recall in the baseline − recall now), that is the
      largest loss of any class; ``drop(baseline.npz, harmonic_mean)``: that number of the baseline
      minus the same now. Classes are matched by name where both have names, and the same classes
      must have test images on both sides;
    - ``lower(…)`` and ``upper(…)`` of one of these but ``drop``: the end of its interval.

    Everything is a fraction; ``5%`` means 0.05.

    Args:
        evaluation: of the classifier; or its predictions.
        fail_if: one gate, or several.
        baselines: evaluations that ``drop`` calls by name; what is not among them is the path of a
            file: an evaluation (``.json``), predictions, or a saved state.

    Returns:
        What each gate said, if none failed.

    Raises:
        GateFailedError: a gate failed; an ``AssertionError`` that names all that did.
        InputError: a gate that is none, or asks for what there is not: an unknown number or class,
            recall of a class without test images, an interval that was not computed.

    Example:
        >>> said = evaluate(labels=[0, 0, 1, 1], predicted=[0, 0, 1, 0], class_names=("cat", "elk"))
        >>> gate(said, "recall['elk'] < 0.4")[0].value
        0.5
        >>> try:
        ...     gate(said, ["accuracy < 50%", "lowest_recall < 0.6"])
        ... except AssertionError as error:
        ...     print(error)
        1 of 2 gates failed: lowest_recall < 0.6 is 0.5 (interval 0.0126 to 0.994; elk).
    """
    if isinstance(evaluation, Predictions):
        evaluation = evaluate(evaluation)
    if not isinstance(evaluation, Evaluation):
        raise InputTypeError(
            f"gate takes an Evaluation or Predictions; got a {type(evaluation).__name__}."
        )
    known = baselines or {}
    gates = read_gates([fail_if] if isinstance(fail_if, str) else fail_if, known)
    floor = evaluation.zero_floor
    results = judge_gates(
        evaluation,
        gates,
        lambda name: known[name] if name in known else evaluation_of_file(name, zero_floor=floor),
    )
    check_results(results)
    return results


def read_gates(fail_if: Iterable[str], known: Iterable[str] = ()) -> list[Gate]:
    """Parse gates, and look whether the files that they name are there.

    Args:
        fail_if: the gates.
        known: baselines that are no files.

    Raises:
        InputError: one of them is no gate.
        MissingFileError: a baseline is not there.
    """
    gates = [parse_gate(text) for text in fail_if]
    for each in gates:
        if isinstance(each.operand, Drop) and each.operand.baseline not in set(known):
            existing_file(each.operand.baseline, "baseline")
    return gates


def judge_gates(
    evaluation: Evaluation, gates: Iterable[Gate], baseline: Callable[[str], Evaluation]
) -> tuple[GateResult, ...]:
    """Judge a classifier by every gate, without raising where one fails.

    Args:
        evaluation: of the classifier.
        gates: the conditions.
        baseline: gives the evaluation that a ``drop`` names; asked once for each name.

    Raises:
        InputError: a gate asks for what there is not.
    """
    once = cache(baseline)
    return tuple(_judged(evaluation, each, once) for each in gates)


def check_results(results: Sequence[GateResult]) -> None:
    """Raise if a gate failed.

    Raises:
        GateFailedError: with what each that failed said.
    """
    failed = [result for result in results if result.failed]
    if failed:
        said = "; ".join(f"{some([r.gate.text], width=80)} is {r}" for r in failed)
        count = "1 gate" if len(results) == 1 else f"{len(results)} gates"
        raise GateFailedError(f"{len(failed)} of {count} failed: {said}.", results)


def _judged(
    evaluation: Evaluation, gate: Gate, baseline: Callable[[str], Evaluation]
) -> GateResult:
    operand, interval = gate.operand, None
    if isinstance(operand, Drop):
        value, detail = drop_of(evaluation, baseline(operand.baseline), operand)
    else:
        value, detail = value_of(evaluation, operand)
        interval = interval_of(evaluation, operand)
    compared = value
    if gate.bound is not None:
        if interval is None:
            raise InputError(
                f"{quoted(gate.text)} asks for the {gate.bound} end of an interval, and this "
                "evaluation has none of that value; compare the value itself."
            )
        compared = interval[0 if gate.bound == "lower" else 1]
    return GateResult(gate, compared, value, interval, detail, gate.holds_for(compared))
