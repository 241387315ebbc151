"""Which device and which precision a network is run in."""

from __future__ import annotations

import contextlib
from typing import Literal, get_args

import torch

from everyclass.errors import InputError, first_line

__all__ = ["Precision", "autocast", "choose_device", "choose_precision", "inference_precision"]

Precision = Literal["auto", "fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; "auto" takes an accelerator where there is one, else the CPU.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"The device {name!r} cannot be used here ({first_line(error)}); name another, or auto."
        ) from error
    return device


def choose_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolve "auto": bfloat16 where the hardware computes in it, float32 elsewhere.

    Raises:
        InputError: the precision has another name.
    """
    if precision not in get_args(Precision):
        raise InputError(f"The precision must be auto, fp32 or bf16; got {precision!r}.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if _cpu_has_bf16() else "fp32"
    return "fp32"


def inference_precision(
    trained: Literal["fp32", "bf16"], device: torch.device
) -> Literal["fp32", "bf16"]:
    """What to run a trained network in: its own precision, or float32 where that is emulated.

    Weights are float32 in either case. Emulated bfloat16 is tens of times slower.
    """
    return "bf16" if trained == "bf16" == choose_precision("auto", device) else "fp32"


def _cpu_has_bf16() -> bool:
    # torch has no public question for this; these exist in all versions that we support.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def autocast(
    device: torch.device, precision: Literal["fp32", "bf16"]
) -> contextlib.AbstractContextManager[object]:
    """The autocast region of a precision."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
