"""One row a class, and neighbouring classes taken together: what charts and tables show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Evaluation

__all__ = [
    "BINS",
    "GROUPS",
    "BinRow",
    "ClassRow",
    "bin_rows",
    "class_interval",
    "class_names",
    "level_of",
    "recall_rows",
    "right_images",
]

GROUPS = ("many", "medium", "few")
BINS = 60  # neighbouring classes are taken together into about so many

# "class" is a keyword, hence the functional form.
ClassRow = TypedDict(
    "ClassRow",
    {
        "class": str,
        "index": int,
        "group": str,
        "training_count": int | None,
        "support": int | None,
        "recall_old": float | None,
        "recall_new": float | None,
        "change": float | None,
        "interval_old": list[float] | None,
        "interval_new": list[float] | None,
    },
)
ClassRow.__doc__ = """One class: fractions, and None where a class has no test image.

``group`` is empty and ``training_count`` None where training images are not known.
"""


class BinRow(TypedDict):
    """Neighbouring classes of one group, ``start`` to ``stop`` in the order of the rows.

    ``mean`` is over all of them, ``worst`` over the worst tenth; ``lowest`` is one class.
    """

    start: int
    stop: int
    middle: float
    group: str
    most_images: int
    fewest_images: int
    mean_images: float
    mean_old: float | None
    mean_new: float | None
    worst_old: float | None
    worst_new: float | None
    lowest_class: str | None
    lowest_new: float | None


_LONGEST = 120  # characters of a name that a page shows

# Control characters, and those that turn the writing direction of what follows.
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)), " ") | dict.fromkeys(
    (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)


def recall_rows(
    old: Evaluation | None,
    new: Evaluation | None,
    class_counts: ClassCounts | None,
    names: Sequence[str] | None = None,
) -> list[ClassRow]:
    """Every class, most training images first, with its recall before and after.

    Args:
        old, new: on the same test data; None leaves that recall open.
        class_counts: training images per class; without them classes stay in their order.
        names: what classes are called; default those of the counts.
    """
    known = old or new
    number = class_counts.num_classes if class_counts else known.num_classes if known else 0
    if names is None:
        names = class_names(class_counts.names if class_counts else None, number)
    counts = [None] * number if class_counts is None else class_counts.counts.tolist()
    groups = [""] * number if class_counts is None else class_counts.groups("paper").tolist()
    support = [None] * number if known is None else known.support.tolist()
    recalls_old, recalls_new = _recalls(old, number), _recalls(new, number)
    limits_old, limits_new = _limits(old, number), _limits(new, number)
    rows: list[ClassRow] = []
    for c in sorted(range(number), key=lambda c: -(counts[c] or 0)):
        before, after = recalls_old[c], recalls_new[c]
        change = None if before is None or after is None else after - before
        rows.append(
            {
                "class": names[c],
                "index": c,
                "group": groups[c],
                "training_count": counts[c],
                "support": support[c],
                "recall_old": before,
                "recall_new": after,
                "change": change,
                "interval_old": limits_old[c],
                "interval_new": limits_new[c],
            }
        )
    return rows


def class_interval(evaluation: Evaluation | None, index: int) -> list[float] | None:
    """The limits of a class's recall, or None where nothing is known of it."""
    limits = ((evaluation and evaluation.intervals) or {}).get("per_class_recall")
    return None if limits is None else limits[index]


def level_of(evaluation: Evaluation) -> float | None:
    """The confidence of an evaluation's intervals; None where it has none, or does not say."""
    if evaluation.intervals is None:
        return None
    level = (evaluation.interval_settings or {}).get("confidence")
    return None if level is None else float(level)


def right_images(evaluation: Evaluation) -> npt.NDArray[np.int64]:
    """(C,) images of each class that are given to it, of which an evaluation says the share."""
    right = np.nan_to_num(evaluation.per_class_recall) * evaluation.support
    return np.rint(right).astype(np.int64)


def _limits(evaluation: Evaluation | None, number: int) -> Sequence[list[float] | None]:
    limits = ((evaluation and evaluation.intervals) or {}).get("per_class_recall")
    return [None] * number if limits is None else limits


def bin_rows(rows: Sequence[ClassRow], bins: int = BINS) -> list[BinRow]:
    """Take neighbouring classes together, about ``bins`` times and never across groups.

    Args:
        rows: classes, most training images first.
        bins: how many, roughly; a group that has classes always has one. Classes whose training
            images are not known are a group too.
    """
    size = math.ceil(len(rows) / bins)
    found: list[BinRow] = []
    first = 0
    for group in (*GROUPS, ""):
        members = [row for row in rows if row["group"] == group]
        parts = math.ceil(len(members) / size)
        for part in range(parts):  # parts of nearly equal size
            start, stop = part * len(members) // parts, (part + 1) * len(members) // parts
            found.append(_bin(members[start:stop], group, first + start))
        first += len(members)
    return found


def _bin(rows: Sequence[ClassRow], group: str, start: int) -> BinRow:
    images = [row["training_count"] or 0 for row in rows]
    old = [row["recall_old"] for row in rows if row["recall_old"] is not None]
    new = [row["recall_new"] for row in rows if row["recall_new"] is not None]
    lowest = min(
        (row for row in rows if row["recall_new"] is not None),
        key=lambda row: row["recall_new"] or 0,
        default=None,
    )
    return {
        "start": start,
        "stop": start + len(rows),
        "middle": start + len(rows) / 2,
        "group": group,
        "most_images": max(images),
        "fewest_images": min(images),
        "mean_images": float(np.mean(images)),
        "mean_old": float(np.mean(old)) if old else None,
        "mean_new": float(np.mean(new)) if new else None,
        "worst_old": _worst_tenth(old),
        "worst_new": _worst_tenth(new),
        "lowest_class": None if lowest is None else lowest["class"],
        "lowest_new": None if lowest is None else lowest["recall_new"],
    }


def _worst_tenth(recall: Sequence[float]) -> float | None:
    return float(np.mean(sorted(recall)[: math.ceil(len(recall) / 10)])) if recall else None


def _recalls(evaluation: Evaluation | None, number: int) -> list[float | None]:
    if evaluation is None:
        return [None] * number
    return [None if math.isnan(r) else r for r in evaluation.per_class_recall.tolist()]


def class_names(given: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Distinct names in printable characters; ``class 7`` where one is a number or blank."""
    names = [" ".join(name.translate(_UNPRINTABLE).split()) for name in given or [""] * number]
    names = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in names]
    names = [
        f"class {name or c}" if not name.strip("0123456789") else name
        for c, name in enumerate(names)
    ]
    while True:  # a name that is given may look like one that is made here
        often = Counter(names)
        if len(often) == len(names):
            return tuple(names)
        names = [n if often[n] == 1 else f"{n} (index {c})" for c, n in enumerate(names)]
