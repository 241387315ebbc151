"""The language of gates: what ``--fail-if`` and ``gate(fail_if=…)`` understand.

::

    gate   := value (< | <= | > | >=) number [%]
    value  := operand | lower(operand) | upper(operand)
    operand := number of the evaluation, such as lowest_recall
            | list of the evaluation [class], such as recall['melanoma'], recall[3], worst[5]
            | drop(baseline) | drop(baseline, operand other than drop)

It is read by this file alone, sign by sign: nothing is evaluated, Python's parser is not asked
(it can be crashed by nesting, and would read ``drop(runs/a-1.npz)`` as a division), and a name of
a class or a file may hold any character if it stands in quotation marks.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from everyclass.artifacts import did_you_mean, quoted
from everyclass.errors import InputError

__all__ = ["LISTS", "NUMBERS", "Drop", "Gate", "Number", "parse_gate"]

Unit = Literal["fraction", "loss", "count"]
# What a difference of two recalls may be off by: 0.92 − 0.9 is a little more than 0.02.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Kind:
    """What a number is: its unit, and whether more of it is better."""

    unit: Unit
    more_is_better: bool = True


NUMBERS = {
    "accuracy": Kind("fraction"),
    "balanced_accuracy": Kind("fraction"),
    "geometric_mean": Kind("fraction"),
    "harmonic_mean": Kind("fraction"),
    "lowest_recall": Kind("fraction"),
    "top5_accuracy": Kind("fraction"),
    "negative_log_likelihood": Kind("loss", more_is_better=False),
    "brier_score": Kind("loss", more_is_better=False),
    "calibration_error": Kind("fraction", more_is_better=False),
    "classwise_calibration_error": Kind("fraction", more_is_better=False),
    "geometric_mean_loss": Kind("loss", more_is_better=False),
    "num_samples": Kind("count"),
    "num_classes": Kind("count"),
    "num_scored": Kind("count"),
    "never_predicted": Kind("count", more_is_better=False),
    "untestable": Kind("count", more_is_better=False),
    "zeros_replaced": Kind("count", more_is_better=False),
}
LISTS = {
    "recall": Kind("fraction"),
    "precision": Kind("fraction"),
    "f1": Kind("fraction"),
    "support": Kind("count"),
    "worst": Kind("fraction"),
}


@dataclass(frozen=True)
class Number:
    """``lowest_recall``; or with a class's name or number, ``recall['melanoma']``."""

    name: str
    key: str | int | None = None

    @property
    def kind(self) -> Kind:
        """Its unit and direction."""
        return (NUMBERS if self.key is None else LISTS)[self.name]


@dataclass(frozen=True)
class Drop:
    """What a baseline has more of; without ``of``, the largest loss of recall of any class."""

    baseline: str
    of: Number | None = None


@dataclass(frozen=True)
class Gate:
    """A condition under which a classifier is not good enough.

    Attributes:
        text: as it was written.
        operand: what is looked at.
        bound: the end of its interval to judge it by; the number itself if None.
        comparison: "<", "<=", ">" or ">=".
        threshold: what it is compared with; a fraction where it is one.
    """

    text: str
    operand: Number | Drop
    bound: Literal["lower", "upper"] | None
    comparison: str
    threshold: float

    def holds_for(self, value: float) -> bool:
        """Whether the condition is true of a value, so that the gate fails.

        A value that differs from the threshold by no more than rounding is the threshold.
        """
        if math.isclose(value, self.threshold, rel_tol=0, abs_tol=_ROUNDING):
            return self.comparison in ("<=", ">=")
        less = self.comparison in ("<", "<=")
        return value < self.threshold if less else value > self.threshold


def parse_gate(text: str) -> Gate:
    """Read a gate.

    Args:
        text: such as ``lower(lowest_recall) < 0.05``.

    Raises:
        InputError: it is none; the sentence says what would be.

    Example:
        >>> parse_gate("recall['melanoma'] < 90%").operand
        Number(name='recall', key='melanoma')
    """
    return _Reader(text).gate()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0

    def gate(self) -> Gate:
        word = self._word()
        bound: Literal["lower", "upper"] | None = None
        if word in ("lower", "upper") and self._take(r"\("):
            bound = "lower" if word == "lower" else "upper"
            operand = self._operand(self._word())
            self._need(r"\)")
        else:
            operand = self._operand(word)
        comparison = self._need("<=|>=|<|>")
        number = self._need(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?")
        percent = self._take("%")
        self._need(r"\Z")
        threshold = float(number)
        if percent and threshold and math.isfinite(threshold):
            threshold = float(Decimal(number) / 100)  # 1.1 / 100 is not 0.011 in binary
        self._check_threshold(operand, threshold, bool(percent))
        return Gate(self._text, operand, bound, comparison, threshold)

    def _operand(self, word: str) -> Number | Drop:
        if word != "drop":
            return self._number(word)
        self._need(r"\(")
        baseline = self._string() or self._need(r"[^\s,()'\"][^,()'\"]*").strip()
        of = self._number(self._word()) if self._take(",") else None
        self._need(r"\)")
        if of is not None and not of.kind.more_is_better:
            raise self._error(f"{of.name} is better the lower it is, and drop takes what is higher")
        return Drop(baseline, of)

    def _number(self, word: str) -> Number:
        if word not in NUMBERS and word not in LISTS:
            word += self._take("-[A-Za-z-]*") or ""
            begun = [name for name in (*NUMBERS, *LISTS) if name.startswith(f"{word}_")]
            raise InputError(
                f"{quoted(word)} in {quoted(self._text)} is no number of an evaluation"
                f"{did_you_mean(word, begun[:1] or [*NUMBERS, *LISTS, 'drop', 'lower', 'upper'])}"
            )
        if word in NUMBERS:
            return Number(word)
        if not self._take(r"\["):
            what = "5 (percent)" if word == "worst" else "'a class'"
            raise self._error(f"{word} is one number per class: write {word}[{what}]")
        key: str | int | None = self._string()
        if key is None:
            digits = self._take(r"\d{1,9}(?=\s*\])")
            if digits is None:
                raise self._error("a class is a name in quotation marks, or its number")
            key = int(digits)
        self._need(r"\]")
        if word == "worst" and key not in (1, 5, 10):
            raise self._error("worst is known of 1, 5 and 10 % of the classes: write worst[5]")
        return Number(word, key)

    def _check_threshold(self, operand: Number | Drop, threshold: float, percent: bool) -> None:
        number = operand if isinstance(operand, Number) else operand.of
        unit = "fraction" if number is None else number.kind.unit
        if percent and unit != "fraction":
            raise self._error(f"a {unit} is no percentage")
        lowest = -1.0 if isinstance(operand, Drop) else 0.0
        if unit == "fraction" and not lowest <= threshold <= 1:
            hint = f": write {threshold / 100:g} or {threshold:g}%" if 1 < threshold <= 100 else ""
            raise self._error(f"a fraction lies between {lowest:g} and 1{hint}")
        if not math.isfinite(threshold):
            raise self._error(f"{threshold} is no threshold")

    def _string(self) -> str | None:
        r"""A text in quotation marks; within, \\' and \\" and \\\\ stand for what is escaped."""
        found = self._take(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
        return None if found is None else re.sub(r"\\(['\"\\])", r"\1", found[1:-1])

    def _word(self) -> str:
        return self._need("[A-Za-z_][A-Za-z0-9_]*")

    def _need(self, pattern: str) -> str:
        found = self._take(pattern)
        if found is None:
            rest = self._text[self._place :].strip()
            where = f"ends too early at {quoted(self._text)}"
            raise self._error(f"it stops making sense at {quoted(rest, 30)}" if rest else where)
        return found

    def _take(self, pattern: str) -> str | None:
        found = re.compile(r"\s*(" + pattern + r")\s*", re.ASCII | re.DOTALL).match(
            self._text, self._place
        )
        if found is None:
            return None
        self._place = found.end()
        return found[1]

    def _error(self, what: str) -> InputError:
        return InputError(
            f"{quoted(self._text)} is no gate: {what}; a gate compares one value with a number, as "
            "in lowest_recall < 0.05, recall['melanoma'] < 0.9, drop(baseline.npz) > 0.02, "
            "drop(baseline.npz, harmonic_mean) > 2% or lower(lowest_recall) < 0.05."
        )
