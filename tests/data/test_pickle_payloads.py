"""A CIFAR batch is a pickle, and a pickle is a program: none but the harmless ones are run."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
CRAFTED = {
    "a huge reconstructed array": START + long(1 << 40) + b"\x85" + text("b") + b"\x87R",
    "two huge dimensions": START + long(1 << 33) * 2 + b"\x86" + text("b") + b"\x87R",
    "an array type that is called": NDARRAY + long(1 << 40) + b"\x85\x85R",
    "an array type that is made": NDARRAY + long(1 << 40) + b"\x85\x85\x81",
    "another type reconstructed": name("numpy.core.multiarray", "_reconstruct")
    + DTYPE
    + b"K\x00\x85"
    + text("b")
    + b"\x87R",
    "objects": DTYPE + text("O8") + b"\x85R",
    "text": DTYPE + text("U1000000") + b"\x85R",
    "another byte order, which claims to hold objects": dtype_that_says(
        ">i4", ">", PLAIN + b"K\x01"
    ),
    "fields": DTYPE + text("i4,i4") + b"\x85R",
    "a dtype as a list": DTYPE + b"](" + text("a") + text("i4") + b"\x86e\x85R",
    "a huge shape with no data": array_of(U1, long(1 << 40) + b"\x85", b"abc"),
    "a shape beside its data": array_of(U1, b"K\x05\x85", b"abc"),
    "a negative shape": array_of(U1, b"J\xff\xff\xff\xff\x85", b"abc"),
    "a dunder of an admitted name": name("numpy", "dtype.__class__"),
    "an attribute on an admitted name": DTYPE + b"}" + text("__call__") + b"K\x01sb\x85R",
    "an encoding that runs a codec": name("_codecs", "encode")
    + text("a")
    + text("rot13")
    + b"\x86R",
    "a persistent id": b"Pid\n",
    "an extension": b"\x82\x01",
    "no dict": b"K\x01",
}


@pytest.mark.parametrize("what", CRAFTED)
def test_crafted_pickles_are_refused_before_memory_is_taken(
    what: str, small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    small.write_pickles(tmp_path, python2_dump)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            load(b"\x80\x02" + CRAFTED[what] + b".", small, tmp_path, python2_dump)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_what_a_pickle_says_of_a_dtype_is_not_believed(
    small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    """NumPy itself takes "holds objects" from a pickle and would follow its bytes as addresses."""
    lie = dtype_that_says("u1", ">", b"N(" + text("a") + b"t}" + text("a") + U1 + b"K\x00\x86s")
    lie = lie[:-2] + b"K\x04K\x01K\x01tb"
    before = np.dtype("u1").flags, np.dtype("u1").itemsize, np.dtype("u1").names
    data = array_of(lie, long(3072) + long(1) + b"\x86", bytes(3072))
    batch = b"\x80\x02}(" + text("data") + data + text(small.facts.label_key) + b"](K\x00eu."
    with pytest.raises(FileFormatError):
        load(batch, small, tmp_path, python2_dump)
    assert (np.dtype("u1").flags, np.dtype("u1").itemsize, np.dtype("u1").names) == before


def test_an_honest_batch_of_the_same_parts_is_taken(
    small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    pixels = small.images[: len(small.labels) // len(small.facts.batches)]
    data = array_of(U1, long(len(pixels)) + long(3072) + b"\x86", bytes(pixels.size))
    labels = b"](" + b"".join(b"K" + bytes([c]) for c in small.labels[: len(pixels)]) + b"e"
    load(
        b"\x80\x02}(" + text("data") + data + text(small.facts.label_key) + labels + b"u.",
        small,
        tmp_path,
        python2_dump,
    )


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_changed_bytes(
    place: float, change: int, small: Any, python2_dump: Any, tmp_path_factory: Any
) -> None:
    root = tmp_path_factory.getbasetemp() / f"changed-{small.facts.name}"
    if not root.exists():
        small.write_pickles(root, python2_dump)
        (root / "good").write_bytes(
            (root / small.facts.folder / small.facts.test_batch).read_bytes()
        )
    data = bytearray((root / "good").read_bytes())
    head_and_tail = 400  # between them there are pixels only
    at = int(place * 2 * head_and_tail) - head_and_tail
    data[at] ^= change
    with contextlib.suppress(EveryclassError):  # anything else gets out
        load(bytes(data), small, root, python2_dump)
