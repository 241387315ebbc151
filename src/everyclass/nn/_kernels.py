"""Compiling C kernels where a compiler is found: a second, once per machine."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import cache_folder

__all__ = ["CHANNELS", "call_kernel", "compiled_kernel"]

CHANNELS = (16, 24, 32, 48, 64)  # those of the networks here, for which loops are specialised

_FLAGS = ("-O3", "-march=native", "-fPIC", "-fno-math-errno", "-std=gnu11")


@functools.cache
def compiled_kernel(source: Path) -> ctypes.CDLL | None:
    """Compile a C file for this machine's processor and load it; kept in the user's cache.

    It shares the thread pool of torch: a second OpenMP runtime in the process would fight for the
    same cores.

    Returns:
        None where there is no C compiler, or it does not manage: the caller has another way.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or platform.system() != "Linux":
        return None
    # -march=native means another program on another processor.
    identity = [source.read_text(), compiler, _processor(), torch.__version__, *_FLAGS]
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]
    library = cache_folder() / "kernels" / f"{source.stem}-{digest}.so"
    try:
        if not library.is_file():
            _compile(compiler, source, library)
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError):
        return None


def call_kernel(source: Path, name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a function of a kernel, which returns 0, or something else where memory is missing."""
    kernel = compiled_kernel(source)
    assert kernel is not None
    if getattr(kernel, name)(*map(_in_c, arguments)) != 0:
        raise MemoryError(name)


def _in_c(argument: Tensor | int | float | None) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return argument if argument is None else ctypes.c_double(argument)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    kept = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join(sorted(set(kept)))


def _compile(compiler: str, source: Path, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    runtimes = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    openmp = [str(runtimes[0])] if runtimes else ["-fopenmp"]
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        part, whole = Path(folder, "part.o"), Path(folder, "whole.so")
        for command in (
            [compiler, *_FLAGS, "-fopenmp", "-c", str(source), "-o", str(part)],
            [compiler, "-shared", str(part), *openmp, "-lm", "-o", str(whole)],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        os.replace(whole, library)
