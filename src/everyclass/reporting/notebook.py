"""What a notebook shows: small tables of an evaluation, a comparison, a rescue.

No script, no style sheet, no outside address: plain tables that take the notebook's own looks.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from everyclass.artifacts import Comparison, Evaluation
from everyclass.reporting.formats import percent, percent_range, points, points_range
from everyclass.reporting.numbers import SUMMARY

if TYPE_CHECKING:
    import jinja2

    from everyclass.stages import RescueResult

__all__ = ["comparison_html", "evaluation_html", "rescue_html"]

MOST_CLASSES = 10
TEMPLATE = """\
<div class="everyclass">
<p><strong>{{ title }}</strong></p>
{% for table in tables %}
<table>
<thead><tr>{% for name in table.head %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr><th scope="row"><bdi>{{ row[0] }}</bdi></th>
{%- for cell in row[1:] %}<td style="text-align: right">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
{% for note in notes %}
<p>{{ note }}</p>
{% endfor %}
</div>
"""
Rows = list[list[str]]


def evaluation_html(evaluation: Evaluation) -> str:
    """Headline numbers and the worst classes, as HTML.

    Args:
        evaluation: of any number of classes; the ten worst are shown.
    """
    intervals = evaluation.intervals or {}
    numbers = [
        [_words(name), percent(getattr(evaluation, name)), percent_range(intervals.get(name))]
        for name in SUMMARY
    ]
    order = evaluation.worst_first()
    limits = intervals.get("per_class_recall")
    classes = [
        [
            evaluation.class_label(int(c)),
            percent(evaluation.per_class_recall[c]),
            percent_range(limits[c] if limits else None),
            f"{evaluation.support[c]:,}",
            f"{evaluation.predicted_count[c]:,}",
        ]
        for c in order[:MOST_CLASSES]
    ]
    notes = []
    if len(order) > MOST_CLASSES:
        notes.append(f"… and {len(order) - MOST_CLASSES:,} classes with higher recall.")
    if evaluation.never_predicted:
        notes.append(f"{len(evaluation.never_predicted):,} classes are never predicted.")
    if evaluation.untestable:
        notes.append(f"{len(evaluation.untestable):,} classes have no test images; not scored.")
    if evaluation.zeros_replaced:
        floor, count = f"{evaluation.zero_floor:g}", evaluation.zeros_replaced
        recalls, counted = ("recall", "counts") if count == 1 else ("recalls", "count")
        notes.append(
            f"{count:,} {recalls} below {floor} {counted} as {floor} in harmonic and geometric "
            "mean."
        )
    title = (
        f"{evaluation.num_samples:,} images, {evaluation.num_scored:,} of "
        f"{evaluation.num_classes:,} classes scored"
    )
    return _page(
        title,
        (["number", "value", "interval"], numbers),
        (["worst classes", "recall", "interval", "images", "given"], classes),
        notes=notes,
    )


def comparison_html(comparison: Comparison) -> str:
    """What changed in sum, and the classes that certainly paid or rose, as HTML.

    Args:
        comparison: of any number of classes; the largest changes are shown, payers first.
    """
    a, b = comparison.names
    numbers = [
        [
            _words(name),
            percent(value["a"]),
            percent(value["b"]),
            points(value["difference"]),
            points_range(value["interval"]),
        ]
        for name, value in comparison.numbers.items()
    ]
    paid = comparison.paid[: MOST_CLASSES // 2]
    rose = comparison.rose[: MOST_CLASSES - len(paid)]
    classes = [
        [
            comparison.class_label(c),
            verb,
            points(comparison.difference[c]),
            points_range(comparison.interval[c]),
            f"{comparison.support[c]:,}",
        ]
        for verb, some in (("paid", paid), ("rose", rose))
        for c in some
    ]
    notes = [
        f"{len(comparison.paid):,} classes paid, {len(comparison.rose):,} rose, "
        f"{len(comparison.undecided):,} undecided."
    ]
    return _page(
        f"{b} (B) against {a} (A) on {comparison.num_samples:,} images",
        (["number", "A", "B", "B − A", "interval"], numbers),
        (["class", "", "B − A", "interval", "images"], classes),
        notes=notes,
    )


def rescue_html(result: RescueResult) -> str:
    """The verdict, what was compared, what it costs, and test numbers if there are any, as HTML.

    Args:
        result: of :func:`everyclass.rescue`.
    """
    candidates = [
        [
            str(each["name"]).replace("_", " "),
            percent(each["harmonic_mean"]),
            percent(each["lowest_recall"]),
            percent(each["accuracy"]),
        ]
        for each in result.candidates
    ]
    tested = [
        [_words(name), *(percent(getattr(e, name)) for e in result.evaluations.values())]
        for name in SUMMARY
        if result.evaluations
    ]
    notes = [] if result.cost is None else [result.cost.sentence(result.class_counts)]
    return _page(
        str(result.verdict),
        (["compared", "harmonic mean", "lowest recall", "accuracy"], candidates),
        (["test set", *result.evaluations], tested),
        notes=notes,
    )


def _page(title: str, *tables: tuple[list[str], Rows], notes: Sequence[str] = ()) -> str:
    shown = [{"head": head, "rows": rows} for head, rows in tables if rows]
    return _template().render(title=title, tables=shown, notes=notes)


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE)


def _words(name: str) -> str:
    return name.replace("_", " ") + (" %" if name.startswith("worst") else "")
