"""A file that is no comparison, or a malformed one, is refused in one sentence, never believed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Comparison, Predictions, compare
from everyclass.artifacts import write_json
from everyclass.errors import FileFormatError
from everyclass.metrics import compare_all
from everyclass.reporting import comparison_html

LABELS = np.repeat([0, 1, 2, 4], [80, 60, 40, 3])
NAMES = ("cat", "dog", "lynx", "yeti", "bat")  # no yeti was seen
ODD = [None, True, "x", [], {}, [1], -1, 2, 7, 10**30, 10**400, 1e300, np.nan, [[0, 1]], {"a": 1}]


def said(recall: list[float]) -> Predictions:
    right = np.random.default_rng(0).random(len(LABELS)) < np.array(recall)[LABELS]
    predicted = np.where(right, LABELS, (LABELS + 1) % 5)
    return Predictions(LABELS, predicted=predicted, class_names=NAMES)


OLD, NEW = said([0.95, 0.9, 0.1, 0, 0.5]), said([0.7, 0.9, 0.6, 0, 0.5])


def good(folder: Path) -> dict[str, Any]:
    """Five classes: one paid, one rose, two are undecided, one has no images."""
    found = compare(OLD, NEW, names=("old", "new"))
    assert (found.paid, found.rose, found.untestable) == ((0,), (2,), (3,))
    found.save(folder / "c.json")
    values: dict[str, Any] = json.loads((folder / "c.json").read_text())
    return values


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


def test_a_comparison_is_read_from_its_file_and_from_its_values(tmp_path: Path) -> None:
    text = compare(OLD, NEW, names=("old", "new")).table()
    assert Comparison.from_dict(good(tmp_path)).table() == text
    assert Comparison.load(tmp_path / "c.json").table() == text
    values = compare(OLD, NEW, names=("old", "new")).to_dict()
    assert Comparison.from_dict({**values, "of_a_newer_version": 1}).table() == text


def test_whatever_is_changed_it_is_refused_or_can_be_shown(tmp_path: Path) -> None:
    file, values = tmp_path / "bad.json", good(tmp_path)
    tried, sentences = 0, []
    for path in places(values):
        for new in (*ODD, ...):
            file.write_text(json.dumps(changed(values, path, new)))
            tried += 1
            try:
                found = Comparison.load(file)
            except FileFormatError as error:
                sentences.append(str(error))
            else:
                assert found.table()
                assert repr(found)
                assert comparison_html(found)
    assert all("bad.json" in sentence and "\n" not in sentence for sentence in sentences)
    assert len(sentences) > tried / 2


@pytest.mark.parametrize(
    ("path", "new", "sentence"),
    [
        (("rose",), [7], "rose holds class 7, and num_classes is 5"),
        (("paid", 0), -1, "paid must be a whole number, 0 at least, not -1"),
        (("paid",), [2], "rose and paid name a class twice"),
        (("rose",), [3], "rose or paid name a class without test images"),
        (("untestable",), [], "untestable must be the classes whose support is 0"),
        (("class_names",), ["cat", "dog"], "class_names has 2 entries and num_classes is 5"),
        (("support",), [80, 60, 40], "support has 3 entries and num_classes is 5"),
        (("both_right", 0), 81, "more images are right than support has"),
        (("num_samples",), 184, "support does not add up to num_samples and num_scored"),
        (("difference", 0), None, "difference must be null where support is 0, and only there"),
        (("interval", 0), [0.1], r"interval must be \[low, high\]"),
        (("p_value", 0), 1.5, "p_value must lie between 0 and 1, not be 1.5"),
        (("images_needed", 1), -1, "images_needed must not be negative, as -1 is"),
        (("names",), ["old"], "names has 1 entries; A and B have one each"),
        (("numbers", "accuracy", "a"), ..., r"numbers.accuracy has no 'a'"),
        (("settings", "correction"), "sidak", "settings.correction must be holm, bh or none"),
        (("settings", "confidence"), 95, "settings.confidence must lie between 0 and 1"),
        (("settings",), {}, "settings has no 'confidence'"),
        (("num_classes",), ..., "it has no 'num_classes'; is it a comparison, such as"),
    ],
)
def test_the_sentence_says_what_is_wrong(
    path: tuple[Any, ...], new: Any, sentence: str, tmp_path: Path
) -> None:
    values = changed(good(tmp_path), path, new)
    with pytest.raises(FileFormatError, match=sentence) as caught:
        Comparison.from_dict(values, "c.json")
    assert str(caught.value).startswith("c.json is damaged or incomplete: ")


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text('{"accuracy": 0.5}')
    with pytest.raises(FileFormatError, match=r"e\.json .* has no 'names'; is it a comparison"):
        Comparison.load(tmp_path / "e.json")


def test_a_file_of_several_comparisons_says_how_to_read_it(tmp_path: Path) -> None:
    found = compare_all({"old": OLD, "new": NEW, "third": said([0.9, 0.9, 0.3, 0, 0.5])})
    path = tmp_path / "c.json"
    write_json(path, {"format": 1, "comparisons": [each.to_dict() for each in found]})
    with pytest.raises(FileFormatError) as caught:
        Comparison.load(path)
    assert str(caught.value) == (
        f"{path} holds 2 comparisons; give Comparison.from_dict each of those in its 'comparisons'."
    )
    assert not re.search("damaged", str(caught.value))
    read = [Comparison.from_dict(each) for each in json.loads(path.read_text())["comparisons"]]
    assert [each.table() for each in read] == [each.table() for each in found]
