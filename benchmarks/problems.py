"""Imbalanced problems with features, made in seconds, that several comparisons share.

Each has a training part, a held-out part (validation) and a test part, and the last layer of the
network that the features came from. Data are looked for in the folder that EVERYCLASS_DATA names.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neural_network import MLPClassifier

from everyclass.artifacts import Features, Head
from everyclass.data import DataConfig, load_dataset

LONG_TAILED_TEXTS = (
    ("banking77", "category", 50),
    ("clinc150_full", "intent", 20),
    ("trec", "coarse", 50),
)
MOST_TEXTS = 6000
SIDE = 48
CELLS = 6
ANGLES = 9
Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Parts = tuple[Floats, Floats, Floats]
Labels = tuple[Integers, Integers, Integers]


@dataclass(frozen=True, eq=False)
class Problem:
    """Features of three parts with the old head, and the accuracy of that head in training."""

    name: str
    train: Features
    val: Features
    test: Features
    known: float


def under_a_small_network(name: str, inputs: Parts, labels: Labels) -> Problem:
    """What a small network, trained until it fits, puts in front of its last layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped when it knows the training part
        network = MLPClassifier((96,), alpha=1e-5, batch_size=64, max_iter=40, random_state=0)
        network.fit(inputs[0], labels[0])
    weight, bias = network.coefs_[0], network.intercepts_[0]
    head = Head(network.coefs_[1].T, network.intercepts_[1])
    train, val, test = (
        Features(np.maximum(x @ weight + bias, 0).astype(np.float32), y, head)
        for x, y in zip(inputs, labels, strict=True)
    )
    return Problem(name, train, val, test, float(network.score(inputs[0], labels[0])))


def digits_problem() -> Problem:
    """Handwritten digits, 20 : 1; the images between training and test part are held out."""
    digits = load_dataset(DataConfig("digits-lt", 20.0, val="rest"))
    assert digits.val is not None
    parts = (digits.train, digits.val, digits.test)
    pixels = tuple(p.images[..., 0].reshape(len(p), -1) / 255.0 for p in parts)
    return under_a_small_network("digits-lt", pixels, tuple(p.labels for p in parts))  # type: ignore[arg-type]


def long_tailed_text(name: str, column: str, ratio: float) -> Problem:
    """Texts made long-tailed (tf-idf); a quarter of the training part is held out before."""
    texts, labels, (used, test) = _texts(name, column, ("train", "test"))
    counts = np.bincount(labels[used])
    generator = np.random.default_rng(0)
    inside: list[int] = []
    outside: list[int] = []
    for rank, c in enumerate(np.argsort(-counts, kind="stable")):
        rows = used[generator.permutation(np.flatnonzero(labels[used] == c))]
        held = min(60, max(6, len(rows) // 4))
        kept = max(2, int((len(rows) - held) * ratio ** (-rank / (len(counts) - 1))))
        outside += rows[:held].tolist()
        inside += rows[held : held + kept].tolist()
    inside = generator.permutation(inside)[:MOST_TEXTS].tolist()
    return _text_problem(name, texts, labels, (np.array(inside), np.array(outside), test))


def natural_text() -> Problem:
    """GoEmotions with one label: 28 classes, as imbalanced as they were found."""
    texts, labels, (train, val, test) = _texts(
        "goemotions_single", "emotion", ("train", "dev", "test")
    )
    train = np.random.default_rng(0).permutation(train)[:MOST_TEXTS]
    return _text_problem("goemotions", texts, labels, (train, val, test))


def natural_images() -> Problem:
    """Caltech-101 without its background: 11 to 780 images a class; a quarter is held out.

    Features: histograms of gradient directions (Dalal and Triggs 2005) under a small network.
    """
    parts = [_caltech(part) for part in ("train", "test")]
    (images, labels), (test_images, test_labels) = parts
    generator = np.random.default_rng(0)
    held_out = np.zeros(len(labels), dtype=bool)
    for c in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == c))
        held_out[rows[: max(3, len(rows) // 4)]] = True
    return under_a_small_network(
        "caltech101",
        (images[~held_out], images[held_out], test_images),
        (labels[~held_out], labels[held_out], test_labels),
    )


def balanced_text() -> Problem:
    """CLINC150 with 40 texts of each intent, and its own validation part: nothing is imbalanced."""
    texts, labels, rows = _texts("clinc150_full", "intent", ("train", "val", "test"), "part")
    of_class = [rows[0][labels[rows[0]] == c] for c in range(labels.max() + 1)]
    per_class = MOST_TEXTS // len(of_class)
    rows[0] = np.random.default_rng(0).permutation(
        np.concatenate([r[:per_class] for r in of_class])
    )
    return _text_problem("clinc150-balanced", texts, labels, rows)


def one_bad_class(bad: int = 8, share: float = 0.7) -> Problem:
    """Balanced digits; most training images of one class bear the labels of other classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    rows = [np.array([], dtype=np.int64)] * 3
    for c in range(10):
        of_class = generator.permutation(np.flatnonzero(labels == c))[:170]
        rows = [np.append(r, p) for r, p in zip(rows, np.split(of_class, [80, 110]), strict=True)]
    parts = [labels[r].copy() for r in rows]
    wrong = np.flatnonzero(parts[0] == bad)[: int(80 * share)]
    parts[0][wrong] = (bad + 1 + generator.integers(9, size=len(wrong))) % 10
    pixels = tuple(images[r] / 16.0 for r in rows)
    return under_a_small_network("one-bad-class", pixels, tuple(parts))  # type: ignore[arg-type]


def of_a_run(run: Path) -> Problem:
    """The features that compare_retraining.py keeps in a run's folder."""
    train, val, test = (
        Features.load(run / f"features-{part}.npz") for part in ("train", "rest", "test")
    )
    assert train.head is not None
    right = train.head.logits(train.views[0]).argmax(axis=1) == train.labels
    return Problem(run.name, train, val, test, float(right.mean()))


def long_tailed_problems() -> dict[str, Callable[[], Problem]]:
    """The digits and the texts that were made long-tailed, by name."""
    texts = {text[0]: functools.partial(long_tailed_text, *text) for text in LONG_TAILED_TEXTS}
    return {"digits-lt": digits_problem, **texts}


def _texts(
    name: str, column: str, wanted: tuple[str, ...], key: str = ""
) -> tuple[list[str], Integers, list[Integers]]:
    """All texts, their labels, and the rows of each part."""
    root = Path(os.environ["EVERYCLASS_DATA"])
    table = pq.read_table(root / "text" / f"{name}.parquet").to_pydict()
    part = np.array(table.get(key) or table.get("split") or table["part"])
    rows: list[Integers] = [np.flatnonzero(part == p) for p in wanted]
    names = np.unique(np.array(table[column])[rows[0]].astype(str))
    index = {name: i for i, name in enumerate(names.tolist())}
    labels = np.array([index.get(str(value), -1) for value in table[column]])
    return table["text"], labels, rows


def _text_problem(
    name: str, texts: list[str], labels: Integers, rows: list[Integers] | Labels
) -> Problem:
    words = TfidfVectorizer(min_df=2, max_features=3000, sublinear_tf=True)
    parts = [[texts[i] for i in part] for part in rows]
    inputs = [words.fit_transform(parts[0]), *map(words.transform, parts[1:])]
    return under_a_small_network(
        name,
        tuple(x.toarray() for x in inputs),  # type: ignore[arg-type]
        tuple(labels[part] for part in rows),  # type: ignore[arg-type]
    )


def _caltech(part: str) -> tuple[Floats, Integers]:
    root = Path(os.environ["EVERYCLASS_DATA"])
    table = pq.read_table(root / "caltech101" / f"{part}-00000-of-00001.parquet")
    labels = table["label"].to_numpy()
    encoded = table["img"].combine_chunks().field("bytes").to_pylist()
    used = np.flatnonzero(labels < 101)
    grey = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(encoded[i])).convert("L").resize((SIDE, SIDE)))
            for i in used
        ]
    )
    return _gradient_histograms(grey / 255.0), labels[used]


def _gradient_histograms(images: Floats) -> Floats:
    """(n, h, w) → (n, cells² · angles): gradient strength by direction, cell by cell."""
    across, down = np.gradient(images, axis=2), np.gradient(images, axis=1)
    strength = np.hypot(across, down)
    angle = np.minimum((np.arctan2(down, across) % np.pi) / np.pi * ANGLES, ANGLES - 1).astype(int)
    size = images.shape[1] // CELLS
    histograms = np.stack([np.where(angle == a, strength, 0.0) for a in range(ANGLES)], axis=-1)
    cells = histograms.reshape(len(images), CELLS, size, CELLS, size, ANGLES).sum(axis=(2, 4))
    lengths = np.linalg.norm(cells, axis=-1, keepdims=True)
    flat = np.sqrt(cells / (lengths + 0.1)).reshape(len(images), -1)
    return np.asarray(flat, dtype=np.float32)
