"""Which columns of a table of predictions hold scores, and what a column's type says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from everyclass.artifacts._tables import Table
from everyclass.artifacts._text import quoted, some
from everyclass.errors import FileFormatError

__all__ = [
    "ids_column",
    "is_list",
    "is_number",
    "is_text",
    "may_be_no_class",
    "named_columns",
    "score_columns",
]

_PREFIXES = {"logits": "logit_", "probs": "prob_"}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE)
# What people keep beside scores, less blanks, "_" and "-"; "" is what pandas calls its index.
_BESIDE = {
    *("", "id", "ids", "idx", "index", "row", "rowid", "rownumber", "level0", "uuid", "key"),
    *("sample", "sampleid", "image", "imageid", "img", "imgid", "file", "fileid", "filename"),
    *("filepath", "path", "url", "name", "text", "sentence"),
    *("score", "scores", "confidence", "conf", "prob", "probability", "probs", "logit", "logits"),
    *("maxprob", "maxscore", "topscore", "margin", "entropy", "loss", "uncertainty", "weight"),
    *("label", "labels", "labelid", "class", "classid", "target", "targets", "truth", "true"),
    *("groundtruth", "gold", "y", "ytrue", "ypred", "pred", "preds", "prediction"),
    *("predictions", "predicted", "predictedclass", "predictedlabel", "correct", "iscorrect"),
    *("fold", "split", "seed", "epoch", "step", "timestamp", "datetime"),
}


def score_columns(
    table: Table, scores: Literal["logits", "probs"] | None
) -> tuple[Literal["logits", "probs"] | None, list[str]]:
    """The columns that say by their names that they hold logits or probabilities."""
    found: dict[Literal["logits", "probs"], list[str]] = {}
    for kind in ("logits", "probs"):
        prefix = _PREFIXES[kind]
        numbered = [c for c in table.types if re.fullmatch(prefix + r"\d+", c)]
        expected = [f"{prefix}{i}" for i in range(len(numbered))]
        missing = sorted(set(expected) - set(numbered))
        if missing:
            raise FileFormatError(f"{table.path} has no column '{missing[0]}' beside the others.")
        if numbered:
            found[kind] = expected
        elif kind in table.types and is_list(table.types[kind]):
            found[kind] = [kind]
    if scores in found:
        return scores, found[scores]
    if not found:
        return None, []
    if len(found) > 1 or scores is not None:
        held = " and ".join(found)
        raise FileFormatError(
            f"{table.path} has columns of {held}"
            + (
                f", and scores (--scores) says {scores}."
                if scores
                else "; choose with scores (--scores)."
            )
        )
    ((kind, columns),) = found.items()
    return kind, columns


def named_columns(
    path: Path, columns: list[str], others: set[str], class_names: Sequence[str] | None
) -> list[str]:
    """The columns that are called as the classes; without names, all but the others."""
    if class_names is None:
        names = [c for c in columns if c not in others]
    else:
        names = [str(name) for name in class_names]
    present = set(columns)
    missing = [name for name in names if name not in present]
    if missing or not names:
        wanted = f"class {quoted(missing[0])}" if missing else "any class"
        raise FileFormatError(f"{path} has no column for {wanted}; it has {some(columns)}.")
    return names


def may_be_no_class(column: str, kind: Any) -> bool:
    """Whether a column is called, or holds, what people keep beside the scores of classes.

    Args:
        column: its name.
        kind: its Arrow type.
    """
    from pyarrow import types as of

    if not (of.is_integer(kind) or of.is_floating(kind) or of.is_null(kind)):
        return True
    name = re.sub(r"[\s_-]+", "", column.casefold())
    return name in _BESIDE or re.fullmatch(r"unnamed:\d+", name) is not None


def ids_column(types: Mapping[str, Any], others: Sequence[str]) -> str | None:
    """The column of ids: ``ids``, else the one that is called ``id`` in upper or lower case.

    Fractions in a column ``id`` are scores: of the class Indonesian, among codes of languages.

    Args:
        types: all columns, with their Arrow types.
        others: those that hold something else.
    """
    from pyarrow import types as of

    free = [column for column in types if column not in others]
    if "ids" in free:
        return "ids"
    called = [c for c in free if c.casefold() == "id" and not of.is_floating(types[c])]
    return called[0] if len(called) == 1 else None


def is_text(kind: Any) -> bool:
    """Whether a column of this Arrow type holds words."""
    from pyarrow import types as of

    if of.is_dictionary(kind):
        kind = kind.value_type
    return of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind)


def is_list(kind: Any) -> bool:
    """Whether a column of this Arrow type holds lists."""
    from pyarrow import types as of

    return of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind)


def is_number(text: str) -> bool:
    """Whether a word reads as a number, a missing one included."""
    return _NUMBER.fullmatch(text) is not None
