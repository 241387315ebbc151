"""Checkpoints: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from everyclass.artifacts import save_safetensors
from everyclass.errors import FileFormatError, MissingFileError, OutputError
from everyclass.training import load_checkpoint, save_checkpoint

KEYS = st.integers() | st.text(max_size=8)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = int(np.prod(shape))
    values = draw(st.lists(st.integers(0, 200), min_size=size, max_size=size))
    tensor = torch.tensor(values, dtype=torch.float64).reshape(shape).to(draw(DTYPES))
    return tensor.T if tensor.ndim == 2 and draw(st.booleans()) else tensor


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN | tensors(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(state=st.dictionaries(KEYS, VALUES, max_size=4))
def test_round_trip(state: dict[Any, Any], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, state)
    assert same(state, load_checkpoint(path))


def test_keys_keep_their_type(tmp_path: Path) -> None:
    state = {"state": {0: {"momentum": torch.ones(2)}, 10: {"momentum": torch.zeros(2)}, "0": 1}}
    save_checkpoint(tmp_path / "c", state)
    assert same(state, load_checkpoint(tmp_path / "c"))


@pytest.mark.parametrize("optimizer_type", [torch.optim.SGD, torch.optim.AdamW])
def test_optimisers_go_on_as_if_nothing_had_happened(
    optimizer_type: type[torch.optim.Optimizer], tmp_path: Path
) -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.arange(6.0).reshape(2, 3)).square().sum().backward()
        optimizer.step()

    torch.manual_seed(0)
    options = {"momentum": 0.9} if optimizer_type is torch.optim.SGD else {}
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optimizer_type(model.parameters(), lr=0.01, **options)
    step(model, optimizer)
    save_checkpoint(tmp_path / "c", {"m": model.state_dict(), "o": optimizer.state_dict()})
    step(model, optimizer)

    state = load_checkpoint(tmp_path / "c")
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    other.load_state_dict(state["m"])
    resumed = optimizer_type(other.parameters(), lr=0.5, **options)
    resumed.load_state_dict(state["o"])
    step(other, resumed)
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_is_loaded_is_a_copy(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"w": torch.ones(3)})
    load_checkpoint(tmp_path / "c")["w"].add_(5)
    assert load_checkpoint(tmp_path / "c")["w"].tolist() == [1, 1, 1]


def test_what_cannot_be_written_plainly_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"epoch": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", {"epoch": 2, "model": nn.Linear(1, 1)})
    assert load_checkpoint(tmp_path / "c") == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "c")


def test_into_a_file_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        save_checkpoint(tmp_path, {"epoch": 1})


# --- hostile files --------------------------------------------------------------------------------


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_nothing_pickled_is_ever_loaded(tmp_path: Path) -> None:
    evidence = tmp_path / "executed"
    archive = io.BytesIO()
    torch.save({"model": Bomb(evidence)}, archive)
    for content in (pickle.dumps(Bomb(evidence)), archive.getvalue()):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(FileFormatError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / "c")
    assert not evidence.exists()


def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "c", {"weight": np.ones(3)}, {"made_by": "somebody"})
    with pytest.raises(FileFormatError, match="not a checkpoint of this library"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    "state", ["", "5", "[]", "{}", '{"__dict__": 3}', '{"__dict__": [[[], 1]]}', "no json"]
)
def test_a_state_that_is_none_is_refused(state: str, tmp_path: Path) -> None:
    metadata = {"everyclass_checkpoint": "1", "state": state}
    save_safetensors(tmp_path / "c", {"weight": np.ones(3)}, metadata)
    with pytest.raises(FileFormatError, match="damaged checkpoint"):
        load_checkpoint(tmp_path / "c")


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    state = '{"__dict__": [["model", {"__tensor__": "/model"}]]}'
    metadata = {"everyclass_checkpoint": "1", "state": state}
    save_safetensors(tmp_path / "c", {"weight": np.ones(3)}, metadata)
    with pytest.raises(FileFormatError, match="/model"):
        load_checkpoint(tmp_path / "c")


def test_a_checkpoint_without_shapes_is_still_read(tmp_path: Path) -> None:
    state = '{"__dict__": [["w", {"__tensor__": "/w"}]]}'  # as the first ones were written
    metadata = {"everyclass_checkpoint": "1", "state": state}
    save_safetensors(tmp_path / "c", {"/w": np.ones((2, 3))}, metadata)
    assert load_checkpoint(tmp_path / "c")["w"].shape == (2, 3)


STATE = {"epoch": 3, "model": {"weight": torch.arange(6.0)}, "optimizer": {"state": {0: [1, 2]}}}


@given(data=st.data())
def test_a_truncated_file_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(FileFormatError):
        load_checkpoint(path)


@given(data=st.data())
def test_a_damaged_byte_never_ends_in_another_error(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, STATE)
    damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        state = load_checkpoint(path)
    except FileFormatError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:  # such as a byte of a weight, which nobody can notice
        assert isinstance(state, dict)
