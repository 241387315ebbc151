"""The reference has a place for every public name, and the navigation for every page."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import everyclass

DOCS = Path(__file__).parents[2] / "docs"
DIRECTIVES = {
    name
    for page in (DOCS / "reference").glob("*.md")
    for name in re.findall(r"(?m)^::: (\S+)$", page.read_text(encoding="utf-8"))
}
NO_REFERENCE = {"everyclass.cli"}  # documented by --help


def rooms() -> list[str]:
    return [f"everyclass.{module.name}" for module in pkgutil.iter_modules(everyclass.__path__)]


@pytest.mark.parametrize("room", rooms())
def test_every_room_with_public_names_has_its_directive(room):
    if room in NO_REFERENCE or room.rpartition(".")[2].startswith("_"):
        pytest.skip("not for import")
    module = importlib.import_module(room)
    if getattr(module, "__all__", ()):
        assert room in DIRECTIVES, f"put '::: {room}' on a page of docs/reference"


def test_no_directive_names_what_is_not_there():
    for name in DIRECTIVES:
        assert importlib.util.find_spec(name) is not None, f"{name} does not exist"


def test_what_import_everyclass_gives_is_in_rooms_that_are_listed():
    for name, home in everyclass._HOME.items():
        assert f"everyclass.{home}" in DIRECTIVES, f"everyclass.{name} is in everyclass.{home}"
        assert name in importlib.import_module(f"everyclass.{home}").__all__
    assert set(everyclass.__all__) - set(everyclass._HOME) == {"losses", "zoo"}


def test_the_integrations_have_a_directive_each():
    for path in (DOCS.parent / "src" / "everyclass" / "integrations").glob("[!_]*.py"):
        name = f"everyclass.integrations.{path.stem}"
        assert name in DIRECTIVES, f"put '::: {name}' into docs/reference/integrations.md"


def test_the_navigation_has_every_page_once():
    listed = re.findall(r"[\w/-]+\.md", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = [name for name in listed if not name.startswith("docs/")]
    there = {
        str(page.relative_to(DOCS))
        for page in DOCS.rglob("*.md")
        if "integrations" not in page.relative_to(DOCS).parts[:1]
    }
    assert sorted(listed) == sorted(there)
