"""What all tests share: hypothesis profiles, and the CIFAR files where they are."""

from __future__ import annotations

import os
import random
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from process_pool import ProcessPool

# --doctest-modules would import every folder's conftest.py under one and the same name.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

# The same examples in every run; HYPOTHESIS_PROFILE=thorough looks for new ones.
_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("quick", max_examples=25, derandomize=True, database=None, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def nobody_else_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a job's processes nor a terminal's colours are those of whoever runs the tests."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(autouse=True)
def randomness_of_its_own(request: pytest.FixtureRequest) -> None:
    """What a test draws without a seed is the same whatever ran before it, and where."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:  # which not every test has to wait for
        sys.modules["torch"].manual_seed(seed)


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    """The folder that EVERYCLASS_DATA names, with ``cifar10/`` and ``cifar100/`` in it."""
    named = os.environ.get("EVERYCLASS_DATA")
    if not named:
        pytest.skip("EVERYCLASS_DATA does not name a folder with cifar10/ and cifar100/")
    root = Path(named)
    for folder in ("cifar10", "cifar100"):
        if not list((root / folder).glob("train-*.parquet")):
            pytest.skip(f"EVERYCLASS_DATA={named} has no {folder}/train-*.parquet")
    return root


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessPool]:
    """Processes that work together by torch.distributed, started when a test first asks."""
    pool = ProcessPool()
    yield pool
    pool.close()
