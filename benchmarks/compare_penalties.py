"""How weak the penalty of a new head may become: held-out recall under each, on several data sets.

    EVERYCLASS_DATA=… python benchmarks/compare_penalties.py [--run RUN] [--out FILE]

Features of networks that know their training images by heart look separable to any cross-fitting,
which then wants no penalty at all. So the weakest penalty that cross-fitting may choose is set
here, on held-out images and texts. Penalties are in units of 1/C, since GML counts a class as one.

The data: digits (the images between training and test part), the texts of banking77, clinc150 and
trec made long-tailed (tf-idf; a quarter of the training part held out), each under a small network
trained until it fits; and the features that compare_retraining.py keeps in a run's folder.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neural_network import MLPClassifier

from everyclass.artifacts import Features, write_json
from everyclass.data import DataConfig, load_dataset
from everyclass.metrics import evaluate
from everyclass.stages import Retraining, retrain

SHARES = (4.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03, 0.01, 0.001)
TEXTS = (("banking77", "category", 50), ("clinc150_full", "intent", 20), ("trec", "coarse", 50))
MOST_TEXTS = 6000
Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


def hidden_features(train: Floats, labels: Integers, rest: Floats) -> tuple[Floats, Floats, float]:
    """What a small network puts in front of its last layer, and its accuracy in training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped when it knows the training part
        network = MLPClassifier((96,), alpha=1e-5, batch_size=64, max_iter=40, random_state=0)
        network.fit(train, labels)
    weight, bias = network.coefs_[0], network.intercepts_[0]
    hidden = [np.maximum(x @ weight + bias, 0).astype(np.float32) for x in (train, rest)]
    return hidden[0], hidden[1], float(network.score(train, labels))


def problems(run: Path | None) -> Iterator[tuple[str, Features, Features, float]]:
    """Name, training features, held-out features, accuracy of the old head in training."""
    digits = load_dataset(DataConfig("digits-lt", 20.0, val="rest"))
    assert digits.val is not None
    pixels = [p.images[..., 0].reshape(len(p), -1) / 255.0 for p in (digits.train, digits.val)]
    inside, outside, known = hidden_features(pixels[0], digits.train.labels, pixels[1])
    yield (
        "digits-lt",
        Features(inside, digits.train.labels),
        Features(outside, digits.val.labels),
        known,
    )
    for name, column, ratio in TEXTS:
        yield (name, *text_problem(name, column, ratio))
    if run is not None:
        train, rest = (Features.load(run / f"features-{part}.npz") for part in ("train", "rest"))
        assert train.head is not None
        right = train.head.logits(train.views[0]).argmax(axis=1) == train.labels
        yield run.name, train, rest, float(right.mean())


def text_problem(name: str, column: str, ratio: float) -> tuple[Features, Features, float]:
    root = Path(os.environ["EVERYCLASS_DATA"])
    table = pq.read_table(root / "text" / f"{name}.parquet").to_pydict()
    part = table.get("split") or table["part"]
    used = [i for i, p in enumerate(part) if p == "train"]
    texts = [table["text"][i] for i in used]
    _, labels = np.unique([str(table[column][i]) for i in used], return_inverse=True)
    generator = np.random.default_rng(0)
    counts = np.bincount(labels)
    inside: list[int] = []
    outside: list[int] = []
    for rank, c in enumerate(np.argsort(-counts, kind="stable")):
        rows = generator.permutation(np.flatnonzero(labels == c))
        held = min(60, max(6, len(rows) // 4))
        kept = max(2, int((len(rows) - held) * ratio ** (-rank / (len(counts) - 1))))
        outside += rows[:held].tolist()
        inside += rows[held : held + kept].tolist()
    inside = generator.permutation(inside)[:MOST_TEXTS].tolist()
    words = TfidfVectorizer(min_df=2, max_features=3000, sublinear_tf=True)
    x = words.fit_transform([texts[i] for i in inside]).toarray()
    z = words.transform([texts[i] for i in outside]).toarray()
    train, rest, known = hidden_features(x, labels[inside], z)
    return Features(train, labels[inside]), Features(rest, labels[outside]), known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run with features-train.npz, features-rest.npz")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    rows = []
    for name, train, rest, known in problems(options.run):
        print(f"{name}: {len(train):,} training samples, {len(rest):,} held out, {known:.1%} known")
        for share in SHARES:
            head = retrain(train, Retraining(penalty=share / train.num_classes))
            held = evaluate(labels=rest.labels, logits=head.logits(rest.views[0]))
            rows.append({"data": name, "known": known, "share": share, **held.summary()})
            print(
                f"  penalty {share:>6g} / C   G {held.geometric_mean:6.2%}  "
                f"H {held.harmonic_mean:6.2%}  lowest {held.lowest_recall:6.2%}",
                flush=True,
            )
    if options.out is not None:
        write_json(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
