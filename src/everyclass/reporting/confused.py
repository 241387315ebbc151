"""The pairs of classes that are confused most: a list, not a C × C matrix."""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

from everyclass.reporting.data import Report

__all__ = ["PairRow", "pair_rows"]


class PairRow(TypedDict):
    """Images of one class that are given to another, by classifier; ``share`` of the class's."""

    true: str
    predicted: str
    images: dict[str, int]
    share: dict[str, float]


def pair_rows(report: Report, most: int = 12) -> list[PairRow]:
    """The pairs with most images under the classifier that is looked at, or under the first.

    Args:
        report: of classifiers whose single images are known.
        most: how many pairs.
    """
    names = [name for name in report.classifiers if name in report.pairs]
    if report.judged not in names:
        return []
    shown = [name for name in names if name in (report.baseline, report.shown)]
    most_often: Counter[tuple[int, int]] = Counter()
    for name in shown:
        for true, predicted, images in report.pairs[name][:most]:
            pair = (true, predicted)
            most_often[pair] = max(most_often[pair], images)
    listed = sorted(most_often.items(), key=lambda i: (-i[1], i[0]))[:most]
    wanted = {pair for pair, _ in listed}
    counts = {n: {p[:2]: p[2] for p in report.pairs[n] if p[:2] in wanted} for n in shown}
    support = report.evaluations[report.judged].support
    return [
        {
            "true": report.names[true],
            "predicted": report.names[predicted],
            "images": {n: counts[n].get((true, predicted), 0) for n in shown},
            "share": {n: counts[n].get((true, predicted), 0) / int(support[true]) for n in shown},
        }
        for (true, predicted), _ in listed
    ]
