"""A small CIFAR of noise, and every form in which CIFAR is found on disks."""

from __future__ import annotations

import io
import json
import pickle
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from everyclass.data.cifar import CIFAR10, CIFAR100, CIFARFacts


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set of this machine's own is found."""
    monkeypatch.delenv("EVERYCLASS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@dataclass(frozen=True)
class SmallCIFAR:
    """Ten classes of forty images, in a mixed order as the original has them."""

    facts: CIFARFacts
    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    names: tuple[str, ...]

    def published_split(self, ratio: float, profile: str = "exp") -> np.ndarray:
        """Rows by the published procedure: NumPy's global legacy generator, seeded with 0."""
        largest, classes = self.facts.largest, self.facts.num_classes
        state = np.random.get_state()
        np.random.seed(0)
        rows = []
        for c in range(classes):
            kept = int(largest * (1 / ratio) ** (c / (classes - 1.0)))
            if profile == "step":
                kept = largest if c < classes / 2 else int(largest * (1 / ratio))
            of_class = np.where(self.labels == c)[0]
            np.random.shuffle(of_class)
            rows.append(of_class[:kept])
        np.random.set_state(state)
        return np.concatenate(rows)

    def published_order(self) -> np.ndarray:
        """Each image's place in its class's shuffle."""
        order = np.empty(len(self.labels), dtype=np.int64)
        everything = self.published_split(1.0)
        order[everything] = np.tile(np.arange(self.facts.largest), self.facts.num_classes)
        return order

    # The forms ------------------------------------------------------------------------------

    def write_pickles(self, root: Path, dump: Any) -> None:
        facts = self.facts
        folder = root / facts.folder
        folder.mkdir(parents=True)
        parts = np.array_split(np.arange(len(self.labels)), len(facts.batches))
        for name, rows in zip(facts.batches, parts, strict=True):
            self._write_batch(folder / name, self.images[rows], self.labels[rows], dump)
        self._write_batch(folder / facts.test_batch, self.test_images, self.test_labels, dump)
        meta = {facts.names_key: list(self.names), "num_cases_per_batch": 80}
        (folder / facts.names_file).write_bytes(dump(meta))

    def _write_batch(self, path: Path, images: np.ndarray, labels: np.ndarray, dump: Any) -> None:
        batch = {
            "batch_label": f"batch {path.name}",
            self.facts.label_key: labels.tolist(),
            "data": np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(-1, 3072),
            "filenames": [f"image_{i}.png" for i in range(len(labels))],
        }
        path.write_bytes(dump(batch))

    def write_npz(self, root: Path, **changes: Any) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        arrays = {
            "train_images": self.images,
            "train_labels": self.labels,
            "test_images": self.test_images,
            "test_labels": self.test_labels,
            "class_names": np.array(self.names),
        }
        arrays = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
        np.savez(root / f"{self.facts.name}.npz", **arrays)
        return root / f"{self.facts.name}.npz"

    @property
    def label_column(self) -> str:
        return "fine_label" if self.facts.name == "cifar100" else "label"

    def write_parquet(
        self,
        root: Path,
        rows: np.ndarray,
        columns: tuple[str, ...] = ("index", "order"),
        *,
        named: bool = True,
        image_format: str = "PNG",
    ) -> Path:
        folder = root / self.facts.name
        folder.mkdir(parents=True, exist_ok=True)
        extra = {"index": rows, "order": self.published_order()[rows]}
        train = self._table(self.images[rows], self.labels[rows], named, image_format)
        for name in columns:
            train = train.append_column(name, pa.array(extra[name]))
        pq.write_table(train, folder / "train-00000-of-00001.parquet")
        test = self._table(self.test_images, self.test_labels, named, image_format)
        pq.write_table(test, folder / "test-00000-of-00001.parquet")
        return folder

    def _table(
        self, images: np.ndarray, labels: np.ndarray, named: bool, image_format: str
    ) -> pa.Table:
        cells = []
        for image in images:
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, image_format, lossless=True)
            cells.append({"bytes": stream.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"img": pa.array(cells, kind), self.label_column: labels})
        features = {self.label_column: {"names": list(self.names), "_type": "ClassLabel"}}
        described = json.dumps({"info": {"features": features}})
        return table.replace_schema_metadata({"huggingface": described}) if named else table


@pytest.fixture(scope="session", params=["cifar10", "cifar100"])
def small(request: pytest.FixtureRequest) -> SmallCIFAR:
    """A CIFAR of 400 images, in the layout of CIFAR-10 and of CIFAR-100."""
    original = {"cifar10": CIFAR10, "cifar100": CIFAR100}[request.param]
    facts = replace(original, num_classes=10, largest=40)
    generator = np.random.default_rng(3)
    return SmallCIFAR(
        facts=facts,
        images=generator.integers(0, 256, (400, 32, 32, 3), dtype=np.uint8),
        labels=generator.permutation(np.repeat(np.arange(10), 40)),
        test_images=generator.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        test_labels=generator.permutation(np.repeat(np.arange(10), 2)),
        names=tuple(f"name-{c}" for c in range(10)),
    )


def python2_pickle(value: Any) -> bytes:
    """What Python 2's cPickle wrote at protocol 2, the original CIFAR's form: strings are bytes."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        shape = b"".join(_python2(int(n)) for n in value.shape)
        shape = b"(" + shape + b"t" if value.ndim > 2 else shape + b"\x86"
        dtype = b"cnumpy\ndtype\n" + _python2("u1") + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + _python2("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        start += b"K\x00\x85" + _python2("b") + b"\x87R"
        return start + b"(K\x01" + shape + dtype + b"\x89" + _python2(value.tobytes()) + b"tb"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
    data = value.encode("latin1") if isinstance(value, str) else value
    if len(data) < 256:
        return b"U" + bytes([len(data)]) + data
    return b"T" + struct.pack("<I", len(data)) + data


def _in_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {k.encode(): _in_bytes(v) for k, v in value.items()}
    if isinstance(value, list):
        return [v.encode() if isinstance(v, str) else v for v in value]
    return value


PICKLERS = {
    "python 2": python2_pickle,
    "python 3, protocol 2": lambda value: pickle.dumps(value, protocol=2),
    "python 3, protocol 4": lambda value: pickle.dumps(value, protocol=4),
    "python 3, bytes, protocol 2": lambda value: pickle.dumps(_in_bytes(value), protocol=2),
    "python 3, bytes, protocol 4": lambda value: pickle.dumps(_in_bytes(value), protocol=4),
}


@pytest.fixture(params=PICKLERS)
def dump(request: pytest.FixtureRequest) -> Any:
    """Writers of pickles, the original one first."""
    return PICKLERS[request.param]


@pytest.fixture
def python2_dump() -> Any:
    """The original's writer of pickles."""
    return python2_pickle
