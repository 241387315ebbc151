"""The pages of docs/integrations run as they are written, and their paths are short."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "integrations"
NEEDED = {
    "README": (),
    "keras": ("keras",),
    "lightning": ("lightning",),
    "onnx": ("onnxruntime", "onnxscript"),
    "plain-loop": (),
    "scikit-learn": (),
    "skorch": ("skorch",),
    "timm": ("timm",),
    "torchmetrics": ("torchmetrics",),
    "torchvision": ("torchvision", "webdataset"),
    "transformers": ("transformers", "datasets", "accelerate"),
}
MOST_LINES = 10


def blocks(page: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_every_page_is_run() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(NEEDED)


@pytest.mark.parametrize("page", sorted(set(NEEDED) - {"README"}))
def test_the_path_is_short(page: str) -> None:
    for number, path in enumerate(blocks(page)):
        if (page, number) not in {(page, 0), ("transformers", 2)}:  # what the reader has already
            assert len([line for line in path.splitlines() if line.strip()]) <= MOST_LINES


@pytest.mark.integrations
@pytest.mark.parametrize(
    "page",
    [  # a grid search and calibration, many fits each
        pytest.param(page, marks=pytest.mark.slow) if page == "scikit-learn" else page
        for page in sorted(NEEDED)
    ],
)
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    missing = [name for name in NEEDED[page] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks(page))],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
