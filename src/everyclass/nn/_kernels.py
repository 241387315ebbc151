"""Compiling C kernels where a compiler is found: a second, once per machine."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from everyclass.artifacts import atomic_write, cache_folder
from everyclass.errors import InputTypeError, first_line

__all__ = [
    "CHANNELS",
    "call_kernel",
    "channels_last",
    "compiled_kernel",
    "kernels_apply",
    "new_float32",
]

CHANNELS = (16, 24, 32, 48, 64)  # those of the networks here, for which loops are specialised

_FLAGS = ("-O3", "-march=native", "-fPIC", "-fno-math-errno", "-std=gnu11")


@functools.cache
def compiled_kernel(source: Path) -> ctypes.CDLL | None:
    """Compile a C file for this machine's processor and load it; kept in the user's cache.

    The compiler is what ``CC`` says, with its options ("ccache gcc"), else ``cc``. The kernel
    shares the thread pool of torch: a second OpenMP runtime in the process would fight for the same
    cores.

    Returns:
        None where there is no C compiler, or, with a warning, where it does not manage: the caller
        has another way.
    """
    compiler = _compiler()
    if compiler is None or platform.system() != "Linux":
        return None
    # -march=native means another program on another processor, and the library is linked to the
    # OpenMP runtime in the place where this torch lies, and to the system's C library.
    linked = [_openmp(), *platform.libc_ver()]
    identity = [source.read_text(), *compiler, _processor(), torch.__version__, *_FLAGS, *linked]
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]
    name = f"{source.stem}-{digest}"
    try:
        return _loaded(_kept(name)) or ctypes.CDLL(str(_compile(compiler, source, name)))
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"The kernel {source.name} is not used, and training on the CPU is slower for it: "
            f"{shlex.join(compiler)} was found and does not make it ({_reason(error)}). "
            "CC names another compiler, XDG_CACHE_HOME another place to keep it.",
            stacklevel=2,
        )
        return None


def kernels_apply(x: Tensor, *others: Tensor | None) -> bool:
    """Whether a kernel may see these tensors' memory: nothing traces, transforms or imitates them.

    Args:
        x: the images, (n, C, h, w).
        others: what else the kernel is given, such as weights.
    """
    return (
        # Other types may say that they are on the CPU and have nothing there.
        all(each is None or type(each) in (Tensor, nn.Parameter) for each in (x, *others))
        and x.device.type == "cpu"
        and x.dim() == 4
        and torch._C._len_torch_dispatch_stack() == 0  # a mode such as FakeTensorMode
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    )


def channels_last(x: Tensor) -> Tensor:
    """The images with their channels last in memory, as the kernels read them."""
    return x.contiguous(memory_format=torch.channels_last)


def new_float32(*shape: int) -> Tensor:
    """Memory for a kernel to write, whatever type and device the user has made torch's default."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def call_kernel(source: Path, name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a function of a kernel, which returns 0, or something else where memory is missing."""
    kernel = compiled_kernel(source)
    assert kernel is not None
    if getattr(kernel, name)(*map(_in_c, arguments)) != 0:
        raise MemoryError(name)


def _in_c(argument: Tensor | int | float | None) -> Any:
    if isinstance(argument, Tensor):
        address = argument.data_ptr()
        if address == 0 and argument.numel():
            raise InputTypeError(
                f"A kernel was given a {type(argument).__name__} of shape {tuple(argument.shape)} "
                "without memory; run forward and backward both inside FakeTensorMode, or both "
                "outside it."
            )
        return ctypes.c_void_p(address)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return argument if argument is None else ctypes.c_double(argument)


def _compiler() -> list[str] | None:
    """The command that compiles, its program as a whole path; None where it is not found."""
    try:
        program, *options = shlex.split(os.environ.get("CC", "cc"))
    except ValueError:  # nothing in it, or a quotation mark without its other
        return None
    found = shutil.which(program)
    return None if found is None else [found, *options]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    kept = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join(sorted(set(kept)))


def _place(name: str, library: bytes) -> Path:
    # Loading half a library ends the process, so its name says what is in it.
    return cache_folder() / "kernels" / f"{name}-{hashlib.sha256(library).hexdigest()[:16]}.so"


def _kept(name: str) -> list[Path]:
    """The libraries of that name in the cache that are whole; one, where all goes well."""
    found = sorted((cache_folder() / "kernels").glob(f"{name}-*.so"))
    return [library for library in found if library == _place(name, library.read_bytes())]


def _loaded(libraries: list[Path]) -> ctypes.CDLL | None:
    """The first library of the cache that can be loaded; None where a new one may be.

    Raises:
        OSError: none can, and a new one could not either.
    """
    refusal = None
    for library in libraries:
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            refusal = error
    # A new one is compiled once and kept beside it, not at every start; and not for a file system
    # from which none can be loaded.
    if refusal is not None and (len(libraries) > 1 or _is_noexec(libraries[0].parent)):
        raise refusal
    return None


def _is_noexec(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)


def _openmp() -> str:
    """What links a library to torch's own OpenMP runtime; to the compiler's where it has none."""
    runtimes = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return str(runtimes[0]) if runtimes else "-fopenmp"


def _compile(compiler: list[str], source: Path, name: str) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        part, whole = Path(folder, "part.o"), Path(folder, "whole.so")
        for command in (
            [*compiler, *_FLAGS, "-fopenmp", "-c", str(source), "-o", str(part)],
            [*compiler, "-shared", str(part), _openmp(), "-lm", "-o", str(whole)],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        made = whole.read_bytes()
    library = _place(name, made)
    with atomic_write(library) as stream:
        stream.write(made)
    return library


def _reason(error: Exception) -> str:
    """The first line that speaks of an error, of what a compiler says."""
    said = getattr(error, "stderr", None) or b""
    lines = [line for line in said.decode(errors="replace").splitlines() if "error" in line]
    return lines[0].strip() if lines else first_line(error)
