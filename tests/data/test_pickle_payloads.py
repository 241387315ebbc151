"""A CIFAR batch is a pickle, and a pickle is a program: none but the harmless ones are run."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.data.cifar import load_cifar_lt
from everyclass.errors import EveryclassError, FileFormatError


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


LIVE: dict[str, Callable[[Path], Any]] = {
    "os.system": lambda marker: Call(os.system, f"touch '{marker}'"),
    "builtins.eval": lambda marker: Call(eval, f"open({str(marker)!r}, 'w').close()"),
    "builtins.exec": lambda marker: Call(exec, f"open({str(marker)!r}, 'w').close()"),
    "subprocess.call": lambda marker: Call(subprocess.call, ["touch", str(marker)]),
    "pathlib": lambda marker: Call(Path.touch, marker),
    "inside an object array": lambda marker: np.array(
        [Call(os.system, f"touch '{marker}'")], dtype=object
    ),
    "inside a dict": lambda marker: {"data": [Call(os.system, f"touch '{marker}'")]},
}


def load(data: bytes, small: Any, root: Path, dump: Any) -> None:
    if not (root / small.facts.folder).exists():
        small.write_pickles(root, dump)
    (root / small.facts.folder / small.facts.batches[0]).write_bytes(data)
    load_cifar_lt(small.facts, imbalance_ratio=20.0, root=root)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("payload", LIVE)
def test_code_is_refused_and_not_run(
    payload: str, protocol: int, small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    marker = tmp_path / "was-run"
    data = pickle.dumps(LIVE[payload](marker), protocol)
    pickle.loads(data)  # the payload is live
    assert marker.exists()
    marker.unlink()
    with pytest.raises(FileFormatError, match="is refused: it holds"):
        load(data, small, tmp_path, python2_dump)
    assert not marker.exists()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def long(value: int) -> bytes:
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


NDARRAY, DTYPE = name("numpy", "ndarray"), name("numpy", "dtype")
START = name("numpy.core.multiarray", "_reconstruct") + NDARRAY
EMPTY = START + b"K\x00\x85" + text("b") + b"\x87R"
U1 = DTYPE + text("u1") + b"\x85R"


def dtype_that_says(code: str, order: str, rest: bytes) -> bytes:
    return DTYPE + text(code) + b"\x85R(K\x03" + text(order) + rest + b"tb"


def array_of(dtype: bytes, shape: bytes, data: bytes) -> bytes:
    return (
        EMPTY
        + b"(K\x01"
        + shape
        + dtype
        + b"\x89T"
        + len(data).to_bytes(4, "little")
        + data
        + b"tb"
    )


PLAIN = b"NNN" + b"J\xff\xff\xff\xff" * 2
UNUSUAL = "is refused: it holds an array of unusual construction"
CRAFTED = {
    "a huge array": (START + long(1 << 40) + b"\x85" + text("b") + b"\x87R", UNUSUAL),
    "two huge dimensions": (START + long(1 << 33) * 2 + b"\x86" + text("b") + b"\x87R", UNUSUAL),
    "another type": (START[: -len(NDARRAY)] + DTYPE + b"K\x00\x85" + text("b") + b"\x87R", UNUSUAL),
    "an array type that is called": (NDARRAY + long(1 << 40) + b"\x85\x85R", "not callable"),
    "an array type that is made": (NDARRAY + long(1 << 40) + b"\x85\x85\x81", "not a readable"),
    "objects": (DTYPE + text("O8") + b"\x85R", "holds an array of dtype 'O8' instead of uint8"),
    "text": (DTYPE + text("U1000000") + b"\x85R", "holds an array of dtype 'U1000000'"),
    "another byte order": (dtype_that_says(">i4", ">", PLAIN + b"K\x01"), "array of dtype '>i4'"),
    "fields": (DTYPE + text("i4,i4") + b"\x85R", "holds an array of dtype 'i4,i4'"),
    "a dtype as a list": (DTYPE + b"](" + text("a") * 2 + b"\x86e\x85R", "an array of dtype"),
    "a huge shape with no data": (array_of(U1, long(1 << 40) + b"\x85", b"abc"), "not a readable"),
    "a shape beside its data": (array_of(U1, b"K\x05\x85", b"abc"), "not a readable"),
    "a negative shape": (array_of(U1, b"J\xff\xff\xff\xff\x85", b"abc"), "not a readable"),
    "a dunder": (name("numpy", "dtype.__class__"), "holds the name numpy.dtype.__class__"),
    "a module's module": (name("os", "path.os.system"), "holds the name os.path.os.system"),
    "a codec": (
        name("_codecs", "encode") + text("a") + text("rot13") + b"\x86R",
        "holds an unusual string encoding",
    ),
    "a persistent id": (b"Pid\n", "not a readable"),
    "an extension": (b"\x82\x01", "not a readable"),
    "no dict": (b"K\x01", "holds a int; a dict is needed"),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_crafted_pickles_are_refused_before_memory_is_taken(
    what: str, small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    data, message = CRAFTED[what]
    small.write_pickles(tmp_path, python2_dump)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=message):
            load(b"\x80\x02" + data + b".", small, tmp_path, python2_dump)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def batch_of(small: Any, dtype: bytes) -> bytes:
    """A first batch like the real one, but for the words about its dtype."""
    count = len(small.labels) // len(small.facts.batches)
    pixels = small.images[:count].transpose(0, 3, 1, 2).tobytes()
    data = array_of(dtype, long(count) + long(3072) + b"\x86", pixels)
    labels = b"](" + b"".join(b"K" + bytes([c]) for c in small.labels[:count]) + b"e"
    return b"\x80\x02}(" + text("data") + data + text(small.facts.label_key) + labels + b"u."


LIES = {
    "the truth": PLAIN + b"K\x00",
    "that it holds objects": PLAIN + b"K\x01",
    "that it has fields": b"N"
    + text("a")
    + b"\x85}"
    + text("a")
    + U1
    + b"K\x00\x86s"
    + PLAIN[3:]
    + b"K\x00",
    "that its items are long": b"NNNJ\x00\x00\x10\x00K\x01K\x00",
    "nonsense": b"NNN",
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_pickle_says_of_a_dtype_is_not_believed(
    lie: str, small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    """NumPy itself takes "it holds objects" from a pickle, and follows the bytes as addresses."""
    data = batch_of(small, dtype_that_says("u1", "|", LIES[lie]))
    load(data, small, tmp_path, python2_dump)
    dataset = load_cifar_lt(small.facts, imbalance_ratio=1.0, root=tmp_path)
    np.testing.assert_array_equal(dataset.train.images, small.images[dataset.train.index])
    assert dataset.train.images.dtype.flags == np.dtype("u1").flags == 0


def test_changed_bytes(small: Any, python2_dump: Any, tmp_path: Path) -> None:
    """Each of many bytes in turn: what comes is refused, or a data set; nothing else gets out."""
    small.write_pickles(tmp_path, python2_dump)
    batch = tmp_path / small.facts.folder / small.facts.batches[0]
    good = batch.read_bytes()
    load(good, small, tmp_path, python2_dump)
    head_and_tail = 400  # between them there are pixels only
    refused = 0
    draw = random.Random(0)
    for at in draw.sample(range(-head_and_tail, head_and_tail), 120):
        data = bytearray(good)
        data[at] ^= draw.randrange(1, 256)
        try:
            load(bytes(data), small, tmp_path, python2_dump)
        except EveryclassError:
            refused += 1
    assert 0 < refused < 120
