"""What made a number: code, libraries, hardware, time and memory."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["birth_certificate", "version_of"]

_PACKAGES = ("everyclass", "torch", "numpy", "scipy", "scikit-learn")
_CODE = (".py", ".c", ".toml")


def birth_certificate(seconds: float | None = None) -> dict[str, Any]:
    """Versions, a fingerprint of this library's code, hardware, date and peak memory where known.

    Args:
        seconds: how long it took, if that is known.
    """
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in _PACKAGES},
        },
        "code": _code_fingerprint(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "processor": _processor(),
            **_gpu(),
        },
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "peak_memory_bytes": _peak_memory(),
        **({} if seconds is None else {"seconds": seconds}),
    }


def _peak_memory() -> int | None:
    """The most bytes that this process has taken, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def version_of(package: str) -> str | None:
    """The installed version, or None: a training machine may have less, and run a source tree."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _code_fingerprint() -> str:
    """The same for the same sources, wherever they are installed."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in _CODE):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _gpu() -> dict[str, Any]:
    """The GPU that this process has used, and its peak memory; nothing where it has not."""
    torch = sys.modules.get("torch")  # not imported for this alone
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu_peak_memory_bytes": torch.cuda.max_memory_allocated(),
    }
