"""The verdict and what it rests on, in sentences: the cost to other classes first.

A sentence has ``{}`` where names stand, so that a page and a comment can each make them harmless
in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scipy import stats

from everyclass.artifacts import Comparison
from everyclass.reporting.data import Effect, Report
from everyclass.reporting.formats import (
    exact_percent,
    number,
    of_classes,
    percent,
    points,
    points_range,
    sentence,
)
from everyclass.reporting.numbers import number_rows

__all__ = ["ALONE", "Sentence", "Words", "called", "how_tested", "words_of"]

ALONE = "The interval beside a class is of that class alone."

_CALLED = {
    "old": "the old classifier",
    "retrained": "the retrained classifier",
    "ensemble": "the ensemble",
}


class Sentence(NamedTuple):
    """Text with ``{}`` for each of the names, which come from outside and are never trusted."""

    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """What the top of the report says.

    Attributes:
        headline: the verdict.
        tone: "change", "keep", "open" or "one" (a single classifier).
        lead: what it costs, then what it gives.
        reason: what the verdict rests on.
        costs, gains: the same at more length, one line each.
    """

    headline: Sentence
    tone: str
    lead: list[Sentence]
    reason: list[Sentence]
    costs: list[Sentence] = field(default_factory=list)
    gains: list[Sentence] = field(default_factory=list)


def words_of(report: Report) -> Words:
    """Say what a report shows."""
    if report.verdict is not None:
        words = _rescue(report)
    elif report.shown is None:
        return _single(report)
    else:
        words = _compared(report)
    if report.shown is not None:
        words.costs.extend(_costs(report))
        words.gains.extend(_gains(report))
    return words


def _rescue(report: Report) -> Words:
    assert report.verdict is not None
    use = report.verdict["use"]
    headline = {
        "old": "Keep the classifier you have.",
        "retrained": "Use the retrained classifier.",
        "ensemble": "Use the ensemble of the old and the retrained classifier.",
    }[use]
    lead = []
    if use == "old":
        lead = [Sentence("No change is recommended.")]
        if report.shown:
            lead.append(Sentence("What was tried is shown below, so that you can judge."))
    elif report.shown:
        lead = _exchange(report)
    reason = [
        Sentence(_plain(sentence(report.verdict["reason"]))),
        Sentence(f"Decided on {_plain(report.verdict['decided_on'])}."),
    ]
    return Words(Sentence(headline), "keep" if use == "old" else "change", lead, reason)


def _compared(report: Report) -> Words:
    assert report.shown is not None
    assert report.baseline is not None
    old, new = report.baseline, report.shown
    comparison = report.comparison
    before, after = report.evaluations[old], report.evaluations[new]
    move = f"{percent(before.harmonic_mean)} → {percent(after.harmonic_mean)}"
    if comparison is None:
        word = "higher" if after.harmonic_mean > before.harmonic_mean else "lower"
        said = f"{word} with {{}} than with {{}}"
        if percent(before.harmonic_mean) == percent(after.harmonic_mean):
            said = "the same with {} as with {}"
        headline = Sentence(f"The harmonic mean of recall is {said}.", (new, old))
        reason = [
            Sentence(
                f"Harmonic mean of recall {move}. Single images are not known, so whether that is "
                "more than chance was not tested."
            )
        ]
        return Words(headline, "open", _exchange(report), reason)
    mean = comparison.numbers["harmonic_mean"]
    low, high = _as_one_of(mean, _choices(report), comparison.settings["confidence"])
    if low > 0:
        paid = len(comparison.paid)
        cost = f", but {of_classes(paid)} significantly pay{'s' if paid == 1 else ''}"
        cost = cost if paid else ""
        tone, text = "change", f"{{}} serves the weak classes better than {{}}{cost}."
    elif high < 0:
        tone, text = "keep", "{} serves the weak classes worse than {}."
    else:
        tone, text = "open", "For the weak classes, no significant difference between {} and {}."
    reason = [
        Sentence(
            f"Harmonic mean of recall {move}: {points(mean['difference'])} points "
            f"({points_range(mean['interval'])}), on the same {number(comparison.num_samples)} "
            "images."
        )
    ]
    choices = _choices(report)
    if choices > 1:
        reason.append(
            Sentence(
                f"Of {number(choices)} classifiers {{}} has the highest harmonic mean on these "
                f"very images, so it is judged by a wider interval, {points_range([low, high])}; "
                "what is said of single classes does not allow for that choice. Expect a little "
                "less on others.",
                (new,),
            )
        )
    return Words(Sentence(text, (new, old)), tone, _exchange(report), reason)


def _choices(report: Report) -> int:
    """Of how many classifiers the shown one is the best on the images that it is judged on."""
    return len(report.others) if report.show is None else 1


def _as_one_of(found: Mapping[str, Any], choices: int, confidence: float) -> tuple[float, float]:
    """The interval of a difference at the level over the number of choices (Bonferroni).

    Each side is stretched as that of a normal distribution would be, which is approximate.
    """
    low, high = found["interval"]
    tail = (1 - confidence) / 2
    stretch = float(stats.norm.isf(tail / choices) / stats.norm.isf(tail))
    middle = found["difference"]
    return middle - stretch * (middle - low), middle + stretch * (high - middle)


def _single(report: Report) -> Words:
    assert report.baseline is not None
    evaluation = report.evaluations[report.baseline]
    scored, never = evaluation.num_scored, len(evaluation.never_predicted)
    if never:
        headline = Sentence(f"{number(never)} of {of_classes(scored)} are never predicted.")
        if never == 1:
            headline = Sentence(f"1 of {of_classes(scored)} is never predicted.")
    else:
        headline = Sentence(
            f"The worst of {of_classes(scored)} is recognised in "
            f"{percent(evaluation.lowest_recall)} of its images."
        )
    worst = [report.names[c] for c in evaluation.lowest_classes]
    among = "{}" if len(worst) == 1 else f"{{}} and {number(len(worst) - 1)} more"
    lead = [
        Sentence(
            f"Lowest recall {percent(evaluation.lowest_recall)} ({among}), harmonic mean "
            f"{percent(evaluation.harmonic_mean)}, accuracy {percent(evaluation.accuracy)}.",
            (worst[0],),
        )
    ]
    reason = []
    if evaluation.lowest_if_equal is not None:
        reason.append(
            Sentence(
                "If every class were equally good, the lowest recall to be seen on these images "
                f"would be about {percent(evaluation.lowest_if_equal)}."
            )
        )
    reason.append(Sentence(f"Judged on {number(evaluation.num_samples)} images."))
    return Words(headline, "one", lead, reason)


def _exchange(report: Report) -> list[Sentence]:
    """What is paid, the recall of the worst class among it if it falls, and what is given."""
    assert report.shown is not None
    old, new = report.evaluations[report.baseline or ""], report.evaluations[report.shown]
    cost, dearer = report.cost(), new.accuracy < old.accuracy
    accuracy = f"accuracy {_moves(old.accuracy, new.accuracy)}"
    paid = "No class loses recall"
    if cost.classes:
        paid = (
            f"It costs {number(cost.classes)} of {of_classes(new.num_scored)} some recall, "
            f"{points(-cost.mean_change, signed=False)} points on average"
        )
        paid += _significantly(cost)
    paid += f", and {accuracy}." if dearer else "."
    if report.worst_fell:
        lines = [Sentence(paid), Sentence(f"The {_worst_moves(report)}.")]
        return lines if dearer else [*lines, Sentence(sentence(accuracy))]
    given = "In return the " if report.worst_rose and (cost.classes or dearer) else "The "
    given += _worst_moves(report)
    given += "." if dearer else f", and {accuracy}."
    return [Sentence(paid), Sentence(given)]


def _worst_moves(report: Report) -> str:
    """What becomes of the worst class, or of the number of classes that have nothing."""
    zeros = report.zeros()
    old, new = report.evaluations[report.baseline or ""], report.evaluations[report.shown or ""]
    if old.lowest_recall or new.lowest_recall:
        return f"recall of the worst class {_moves(old.lowest_recall, new.lowest_recall)}"
    before, after = zeros[report.baseline or ""], zeros[report.shown or ""]
    if before == after:
        return f"number of classes that are never recognised stays at {number(after)}"
    return (
        f"number of classes that are never recognised goes from {number(before)} to {number(after)}"
    )


def _costs(report: Report) -> list[Sentence]:
    lines = []
    cost = report.cost()
    if cost.largest is not None:
        row = cost.largest
        lines.append(
            Sentence(
                f"They lose {points(-cost.mean_change, signed=False)} points on average; the most: "
                f"{{}}, from {percent(row['recall_old'])} to {percent(row['recall_new'])}.",
                (row["class"],),
            )
        )
    if report.worst_fell:
        lines.append(Sentence(f"The {_worst_moves(report)}."))
    lines += _shown_lines(report, cost, "paid", "loss")
    return lines + _group_lines(report, falling=True) + _accuracy_lines(report, falling=True)


def _gains(report: Report) -> list[Sentence]:
    assert report.shown is not None
    gain = report.gain()
    lines = [Sentence("No class gains recall.")]
    if gain.largest is not None:
        row = gain.largest
        lines = [
            Sentence(
                f"{of_classes(gain.classes)} gain{'s' if gain.classes == 1 else ''} recall, "
                f"{points(gain.mean_change, signed=False)} points on average; the most: {{}}, from "
                f"{percent(row['recall_old'])} to {percent(row['recall_new'])}.",
                (row["class"],),
            )
        ]
    lines += _shown_lines(report, gain, "rose", "gain")
    lines += _group_lines(report, falling=False) + _accuracy_lines(report, falling=False)
    old, new = report.evaluations[report.baseline or ""], report.evaluations[report.shown]
    if old.never_predicted or new.never_predicted:
        lines.append(
            Sentence(
                f"Classes never predicted: {number(len(old.never_predicted))} → "
                f"{number(len(new.never_predicted))}."
            )
        )
    return lines


def _significantly(effect: Effect) -> str:
    if effect.shown is None:
        return ""
    if not effect.shown:
        return " (none of them significantly)"
    return f" ({number(effect.shown)} of them significantly)"


def how_tested(comparison: Comparison) -> str:
    """The test of single classes, its level, and for how many of them it was corrected."""
    level = exact_percent(round(1 - comparison.settings["confidence"], 9))
    return f"mid-p McNemar at {level} on the same images, {_corrected(comparison)}"


def _corrected(comparison: Comparison) -> str:
    settings = comparison.settings
    tests = f"{number(settings['tests'])} test{'' if settings['tests'] == 1 else 's'}"
    return {
        "holm": f"with Holm's correction for {tests}",
        "bh": f"with Benjamini and Hochberg's correction for {tests}",
        "none": f"without a correction for {tests}",
    }[settings["correction"]]


def _shown_lines(report: Report, effect: Effect, kind: str, what: str) -> list[Sentence]:
    comparison = report.comparison
    if comparison is None or not effect.classes:
        return []
    found = getattr(comparison, kind)
    if not found:
        return [Sentence(f"For no single class is the {what} significant.")]
    intervals = comparison.interval[found[0]].tolist()
    return [
        Sentence(
            f"For {of_classes(len(found))} the {what} is significant {_corrected(comparison)}; "
            f"{{}} first, {points(float(comparison.difference[found[0]]))} points "
            f"({points_range(intervals)} by itself).",
            (report.names[found[0]],),
        )
    ]


def _group_lines(report: Report, *, falling: bool) -> list[Sentence]:
    lines = []
    for row in number_rows(report):
        if row["key"] not in ("many", "medium", "few"):
            continue
        before = row["cells"][report.baseline or ""]["value"] or 0.0
        after = row["cells"][report.shown or ""]["value"] or 0.0
        if before != after and (after < before) == falling:
            which = "a medium number of" if row["key"] == "medium" else row["key"]
            lines.append(
                Sentence(
                    f"Mean recall of classes with {which} training images {_moves(before, after)}."
                )
            )
    return lines


def _accuracy_lines(report: Report, *, falling: bool) -> list[Sentence]:
    assert report.shown is not None
    old, new = report.evaluations[report.baseline or ""], report.evaluations[report.shown]
    if (new.accuracy < old.accuracy) != falling:
        return []
    return [Sentence(f"Accuracy over all images {_moves(old.accuracy, new.accuracy)}.")]


def _moves(before: float, after: float) -> str:
    if percent(before) == percent(after):
        return f"stays at {percent(after)}"
    verb = "rises" if after > before else "falls"
    return f"{verb} from {percent(before)} to {percent(after)}"


def called(report: Report, name: str | None) -> Sentence:
    """What a classifier is called within a sentence."""
    if report.is_rescue:
        return Sentence(_CALLED[name or "old"])
    return Sentence("{}", (name or "",))


def _plain(text: str) -> str:
    """Text of a verdict, whose braces stand for themselves."""
    return text.replace("{", "{{").replace("}", "}}")
