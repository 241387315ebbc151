"""A malformed file of an evaluation is refused in one sentence, never believed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import ClassCounts, Evaluation, evaluate
from everyclass.errors import EveryclassError, FileFormatError
from everyclass.reporting import named_files, report_of_files, write_as

LABELS = np.arange(60) % 5
ODD = [None, True, "x", [], {}, [1], -1, 2, 10**30, 10**400, 1e300, np.nan, [[0, 1]], {"a": 1}]


def good() -> dict[str, Any]:
    """Five classes with images and one without; with scores and counts."""
    generator = np.random.default_rng(0)
    probs = generator.random((60, 6))
    probs[np.arange(60), LABELS] += 0.5
    said = evaluate(
        labels=LABELS,
        probs=probs / probs.sum(axis=1, keepdims=True),
        class_names=list("abcdef"),
        class_counts=ClassCounts([900, 300, 90, 30, 10, 5]),
    )
    values: dict[str, Any] = json.loads(json.dumps(_plain(said)))
    return values


def _plain(said: Evaluation) -> dict[str, Any]:
    from everyclass.artifacts._files import plain_json

    return dict(plain_json(said.to_dict()))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested values, two of each list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(2, len(value))):
            yield from places(value[i], (*path, i))


def changed(values: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    inner: Any = values
    for key in path[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return values


def test_whatever_is_changed_it_is_refused_or_can_be_reported(tmp_path: Path) -> None:
    file, values = tmp_path / "bad.json", good()
    tried, sentences = 0, []
    for path in places(values):
        for new in (*ODD, ...):
            file.write_text(json.dumps(changed(values, path, new)))
            tried += 1
            try:
                made = report_of_files(named_files([file]))
                write_as(tmp_path / "out.md", made)
                str(made.evaluations["bad"])
            except EveryclassError as error:
                sentences.append(str(error))
    assert all("bad.json" in said and "\n" not in said for said in sentences)
    assert len(sentences) > tried / 2


@pytest.mark.parametrize(
    ("path", "new", "said"),
    [
        (("accuracy",), ..., "accuracy is missing"),
        (("accuracy",), "0.5", "accuracy must be a number, not a text"),
        (("accuracy",), 10**400, "accuracy must be a number, not 1000.*…"),
        (("accuracy",), 2, "accuracy must lie between 0 and 1, not be 2"),
        (("support",), [1], "support has 1 entries and num_classes is 6"),
        (("support", 0), -1, "support must be a whole number, 0 at least, not -1"),
        (("lowest_classes",), [6], "lowest_classes holds class 6, and num_classes is 6"),
        (("per_class_recall", 0), None, "per_class_recall must be null where support is 0"),
        (("num_samples",), 61, "support does not add up to num_samples"),
        (("intervals", "accuracy"), [0.1], r"intervals.accuracy must be \[low, high\]"),
        (("class_names", 0), 7, "class_names must be texts, not 7"),
        (("worst", "5"), ..., "worst has no '5'"),
    ],
)
def test_the_sentence_says_what_is_wrong(path: tuple[Any, ...], new: Any, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        Evaluation.from_dict(changed(good(), path, new))


def test_another_kind_of_file_is_named() -> None:
    with pytest.raises(FileFormatError, match=r"no evaluation, such as `everyclass evaluate"):
        Evaluation.from_dict({"format": 1, "rose": [], "paid": []})
