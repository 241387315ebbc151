"""One scale and one bias per class: applied to logits, folded into heads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass import Adjustment, Head, Predictions
from everyclass.errors import FileFormatError, InputError, InputTypeError, MissingFileError

LOGITS = np.random.default_rng(0).normal(size=(6, 3))
LABELS = [0, 1, 2, 0, 1, 2]
FOUND = Adjustment([1.0, 2.0, 0.5], [0.0, -1.0, 3.0], "bias", {"penalty": 1.0}, ("a", "b", "c"))


def test_it_is_a_scale_and_a_bias() -> None:
    expected = [[s * z + b for s, z, b in zip(FOUND.scale, row, FOUND.bias)] for row in LOGITS]  # noqa: B905
    np.testing.assert_allclose(FOUND.apply(LOGITS), expected, rtol=1e-15)


@pytest.mark.parametrize(("given_", "wanted"), [("f2", "f4"), ("f4", "f4"), ("f8", "f8")])
def test_precision_stays(given_: str, wanted: str) -> None:
    assert FOUND.apply(LOGITS.astype(given_)).dtype == np.dtype(wanted)


def test_nothing_changes_nothing() -> None:
    assert np.array_equal(Adjustment.nothing(3).apply(LOGITS), LOGITS)


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 9), width=st.integers(1, 9))
def test_a_folded_head_says_what_was_to_be_adjusted(seed: int, classes: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    head = Head(generator.normal(size=(classes, width)), generator.normal(size=classes))
    adjustment = Adjustment(np.exp(generator.normal(size=classes)), generator.normal(size=classes))
    features = generator.normal(size=(7, width))
    expected = adjustment.apply(head.logits(features))
    np.testing.assert_allclose(
        adjustment.fold(head).logits(features), expected, rtol=1e-4, atol=1e-4
    )


def test_a_cosine_head_takes_biases_and_one_scale() -> None:
    head = Head(np.random.default_rng(1).normal(size=(3, 4)), np.ones(3), "cosine", 16.0)
    features = np.random.default_rng(2).normal(size=(5, 4))
    adjustment = Adjustment([0.5] * 3, [0.0, 1.0, 2.0])
    folded = adjustment.fold(head)
    assert folded.kind == "cosine"
    expected = adjustment.apply(head.logits(features))
    np.testing.assert_allclose(folded.logits(features), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"cosine head has one scale .* use one with biases only"):
        FOUND.fold(head)


def test_predictions_keep_everything_else() -> None:
    said = Predictions(LABELS, LOGITS, class_names=("a", "b", "c"), ids=np.arange(6))
    adjusted = FOUND.adjust(said)
    assert np.array_equal(adjusted.logits, FOUND.apply(LOGITS))
    assert adjusted.class_names == said.class_names
    assert np.array_equal(adjusted.ids, said.ids)
    assert np.array_equal(adjusted.labels, said.labels)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (Predictions([0, 1], probs=[[0.5, 0.5], [0.1, 0.9]]), "these are probabilities; give the"),
        (Predictions([0, 1], predicted=[0, 1]), "these are predicted classes; give the"),
        (Predictions([0, 1], logits=[[2.0, 0], [0, 1]]), "logits have 2 classes and .* has 3"),
        (Predictions([0], logits=[[2.0, 0, 0]], class_names=("a", "c", "b")), "Class 1 is 'c' in"),
    ],
)
def test_predictions_that_do_not_go_with_it(said: Predictions, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        FOUND.adjust(said)


@pytest.mark.parametrize(
    ("scale", "bias", "sentence"),
    [
        ([1.0], [0.0, 1.0], "1 scales and 2 biases"),
        ([1.0, 0.0], [0.0, 1.0], r"scale\[1\] is 0; a scale must be positive"),
        ([1.0, -2.0], [0.0, 1.0], r"scale\[1\] is -2"),
        ([1.0, np.nan], [0.0, 1.0], r"scale\[1\] is nan"),
        ([1.0, 1.0], [np.inf, 1.0], r"bias\[0\] is inf"),
        ([[1.0]], [0.0], "scale must have 1 dimensions"),
    ],
)
def test_numbers_of_no_use(scale: list[float], bias: list[float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Adjustment(scale, bias)


def test_a_head_of_another_number_of_classes() -> None:
    with pytest.raises(InputError, match="The head has 2 classes and the adjustment has 3"):
        FOUND.fold(Head(np.eye(2), np.zeros(2)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "no 'scale'"),
        ('{"scale": [1, 1]}', "no 'bias'"),
        ('{"scale": [1, 1], "bias": ["a", "b"]}', "bias must be floating-point"),
        ('{"scale": [1, 1], "bias": [0]}', "2 scales and 1 biases"),
        ('{"scale": null, "bias": null}', "scale must be"),
        ('{"scale": [1], "bias": [0], "notes": [1]}', "notes or class names are of no use"),
        ('{"scale": [1], "bias": [0], "class_names": 5}', "notes or class names are of no use"),
        ("[1]", "a JSON object is needed"),
        ('{"scale": [1', "not a readable adjustment file"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=sentence) as caught:
        Adjustment.load(path)
    assert str(path) in str(caught.value)


def test_an_npz_with_notes_that_are_no_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", scale=np.ones(2), bias=np.ones(2), notes=np.array("{"))
    with pytest.raises(FileFormatError, match="damaged"):
        Adjustment.load(tmp_path / "a.npz")


def test_the_ending_says_the_form_in_capitals_too(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "a.NPZ")
    np.testing.assert_array_equal(np.load(tmp_path / "a.NPZ")["bias"], FOUND.bias)
    assert Adjustment.load(tmp_path / "a.NPZ").bias.tolist() == FOUND.bias.tolist()
    with pytest.raises(InputError, match=r"a\.csv has to end in \.json or \.npz"):
        FOUND.save(tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="adjustment file"):
        Adjustment.load(tmp_path / "none.json")


def test_the_json_is_for_people_too(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "found.json")
    said = json.loads((tmp_path / "found.json").read_text())
    assert said["bias"] == [0.0, -1.0, 3.0]
    assert said["class_names"] == ["a", "b", "c"]
    assert said["notes"] == {"penalty": 1.0}


def test_words_are_no_numbers() -> None:
    with pytest.raises(InputTypeError, match="scale must be floating-point"):
        Adjustment(["a"], [0.0])  # type: ignore[arg-type]
