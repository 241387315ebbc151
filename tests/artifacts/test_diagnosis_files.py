"""A diagnosis survives its file, and reads as text whatever its classes are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everyclass import Diagnosis
from everyclass.artifacts import (
    Calibration,
    ClassDiagnosis,
    ErrorExample,
    Reachable,
    Suspect,
)
from everyclass.errors import FileFormatError, MissingFileError

LYNX = ClassDiagnosis(
    index=1,
    support=40,
    right=10,
    recall=0.25,
    interval=(0.142, 0.402),
    cause="suspect_labels",
    reason="24 of its 30 errors look like errors of the labels.",
    training_count=120,
    taken_by=((0, 24), (2, 6)),
    takes_from=((2, 3),),
    nearest=((0, 1.5), (2, 4.25)),
    calibration=Calibration(true_class=0.3, confidence=0.8),
    reachable=Reachable(120, 0.2, 0.3, (0.2, 0.4), 0.01, shown=0.5, shown_images=120),
    suspect=(Suspect("test", 7, 1, 0, 0.98), Suspect("train", 3, 0, 1, 0.9)),
    examples=(ErrorExample(7, 0, 0.98), ErrorExample(9, 2, 0.5)),
)
BARE = ClassDiagnosis(
    index=0,
    support=3,
    right=2,
    recall=2 / 3,
    interval=(0.21, 0.94),
    cause="too_few_test_images",
    reason="3 images say little.",
    examples=(ErrorExample(1, 2, None),),
)
WHOLE = Diagnosis(
    classes=(LYNX, BARE),
    num_samples=143,
    num_classes=4,
    num_scored=3,
    mean_recall=0.7,
    untestable=(3,),
    unknown=("features: give them for more.",),
    held_out="validation data",
    settings={"confidence": 0.95},
    class_names=("cat", "lynx", "dog", "yeti"),
)


def test_it_survives_its_file(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "diagnosis.json")
    assert Diagnosis.load(tmp_path / "diagnosis.json") == WHOLE


def test_what_a_newer_version_adds_is_passed_over() -> None:
    values = json.loads(json.dumps(WHOLE.to_dict()))
    values["new"] = values["classes"][0]["new"] = values["classes"][0]["suspect"][0]["new"] = 1
    values["classes"][0]["reachable"]["new"] = 1
    assert Diagnosis.from_dict(values) == WHOLE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("classes",), None),
        (("classes",), [5]),
        (("classes", 0, "cause"), "bad luck"),
        (("classes", 0, "interval"), None),
        (("classes", 0, "taken_by"), [[1]]),
        (("classes", 0, "examples"), [{}]),
        (("classes", 0, "reachable"), {"images": 3}),
        (("classes", 0, "index"), 7),
        (("classes", 0, "taken_by"), [[9, 1]]),
        (("classes", 0, "suspect"), [{"part": "val", "row": 1, "label": 1, "looks_like": 0}]),
        (("num_samples",), "many"),
        (("mean_recall",), 2),
        (("class_names",), ["cat"]),
        (("unknown",), [5]),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    values = json.loads(json.dumps(WHOLE.to_dict()))
    at = values
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    file = tmp_path / "d.json"
    file.write_text(json.dumps(values))
    with pytest.raises(FileFormatError, match=r"d\.json is damaged or incomplete"):
        Diagnosis.load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no diagnosis at"):
        Diagnosis.load(tmp_path / "none.json")


def test_the_text_names_classes_and_says_what_is_known() -> None:
    text = str(WHOLE)
    assert text.index("lynx: suspect labels") < text.index("cat: too few test images to say")
    for said in (
        "no test images: yeti",
        "not known: features",
        "25.0% [14.2–40.2], 10 of 40 images, trained on 120",
        "taken by    cat 24, dog 6",
        "takes from  dog 3",
        "nearest     cat (1.5), dog (4.2)",
        "20.0% → 30.0% [20.0–40.0] of 120 held-out images; 50.0% of what it was shown",
        "2 images: test row 7 (cat), train row 3 (lynx)",
        "row 7 as cat 98%",
        "row 1 as dog",
    ):
        assert said in text


def test_names_cannot_steer_a_terminal() -> None:
    names = ("\x1b[31mred", "\u202eright", "x" * 10_000, "new\nline")
    text = str(Diagnosis((LYNX,), 40, 4, 3, 0.7, untestable=(3,), class_names=names))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "new\nline" not in text
    assert max(map(len, text.splitlines())) < 300
