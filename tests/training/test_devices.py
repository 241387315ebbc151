"""Devices and precisions that are there, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from everyclass import Run
from everyclass.errors import InputError
from everyclass.training import autocast, choose_device, choose_precision, inference_precision

CPU = torch.device("cpu")


def test_auto_takes_a_device_that_works() -> None:
    assert torch.ones(2, device=choose_device("auto")).sum().item() == 2


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu0", "", "cuda:99", "xla"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' cannot be used here .*auto"):
        choose_device(name)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_taken(precision: str) -> None:
    assert choose_precision(precision, CPU) == precision  # type: ignore[arg-type]


def test_auto_precision_asks_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bf16"), (False, "fp32")):
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, question, lambda has=has: has, raising=False)
        assert choose_precision("auto", CPU) == expected


def test_a_trained_network_is_not_run_in_an_emulated_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has, expected in ((True, "bf16"), (False, "fp32")):
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, question, lambda has=has: has, raising=False)
        assert inference_precision("bf16", CPU) == expected
        assert inference_precision("fp32", CPU) == "fp32"


def test_an_unknown_precision_lists_the_known() -> None:
    with pytest.raises(InputError, match="must be auto, fp32 or bf16; got 'fp16'"):
        choose_precision("fp16", CPU)  # type: ignore[arg-type]


def test_autocast_computes_in_its_precision() -> None:
    a = torch.full((2, 2), 1.001)
    with autocast(CPU, "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong", [{"device": "gpu0"}, {"precision": "fp16"}, {"epochs": 0}, {"imbalance_ratio": 0.5}]
)
def test_what_cannot_be_trained_leaves_no_folder(
    wrong: dict[str, object], train_digits: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        train_digits(**wrong)
    assert not list(tmp_path.iterdir())
