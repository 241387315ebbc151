"""What mkdocs asks of this manual: pages that come with the integrations, and nothing left out."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src" / "everyclass"
SECTION = "With your framework"
ROLE = r":(?:func|class|meth|mod):"  # before a name in backticks
NUMBERS = {
    "accuracy": "accuracy",
    "geometric_mean": "G",
    "harmonic_mean": "H",
    "lowest_recall": "lowest",
}
# Not for import: commands are documented by --help.
NO_REFERENCE = ("cli",)


def on_config(config: Any) -> Any:
    """Put a page per integration into the navigation, whichever there are."""
    found = sorted((DOCS / "integrations").glob("*.md"))
    for entry in list(config.nav):
        if SECTION in entry:
            entry[SECTION] = [f"integrations/{page.name}" for page in found]
            if not found:
                config.nav.remove(entry)
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put in what a page asks for by a comment: the paper's tables, the names of the package."""
    for comment, made in (("paper's tables", paper_tables), ("public names", names_of_package)):
        if (mark := f"<!-- {comment} -->") in markdown:
            markdown = markdown.replace(mark, "\n".join(made()))
    values = [
        f"::: everyclass.{room}.{name}\n    options: {{ show_if_no_docstring: true }}"
        for room in re.findall(r"(?m)^::: everyclass\.(\w+)$", markdown)
        for name in values_of(room)
    ]
    return "\n\n".join([markdown, *values])


def names_of_package() -> Iterator[str]:
    """A table of what `import everyclass as ec` gives, each with its first sentence and a link."""
    yield from ("| name | what it is |", "|---|---|")
    home = _assigned(SOURCE / "__init__.py", "_HOME")
    for name in _all_of(SOURCE / "__init__.py"):
        if name not in home:  # a module
            yield f"| [`ec.{name}`][everyclass.{name}] | its own page |"
            continue
        summary = next(_summaries(SOURCE.joinpath(*home[name].split(".")), name), "").replace(
            "|", "\\|"
        )
        yield f"| [`ec.{name}`][everyclass.{home[name]}.{name}] | {summary} |"


def _summaries(room: Path, name: str) -> Iterator[str]:
    """First lines of the docstrings of what is called so in a room."""
    paths = sorted(room.rglob("*.py")) if room.is_dir() else [room.with_suffix(".py")]
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                yield re.sub(ROLE, "", (ast.get_docstring(node) or "").partition("\n")[0])


def paper_tables() -> Iterator[str]:
    """The paper's numbers as the definitions of the bench have them, in percent."""
    for path in sorted((SOURCE / "bench" / "definitions").glob("table*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in table["rows"] if row.get("paper")]
        keys = [key for key in NUMBERS if any(key in row["paper"] for row in rows)]
        lines = [
            f"## {table['title']}",
            "",
            f"`everyclass bench show {path.stem}`",
            "",
            "| | " + " | ".join(NUMBERS[key] for key in keys) + " |",
            "|---|" + "---|" * len(keys),
        ]
        for row in rows:
            values = [row["paper"].get(key) for key in keys]
            cells = ["–" if value is None else f"{100 * value:.2f}" for value in values]
            lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
        yield "\n".join([*lines, ""])


def values_of(room: str) -> Iterator[str]:
    """Public names of a room that are values or types and have no docstring of their own."""
    path = SOURCE / room / "__init__.py"
    path = path if path.is_file() else SOURCE / f"{room}.py"
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    plain = {name for file in files for name in _undocumented(file)}
    yield from (name for name in _all_of(path) if name in plain)


def _undocumented(path: Path) -> Iterator[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node, after in itertools.zip_longest(body, body[1:]):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(target, ast.Name) and not explained:
                yield target.id


def on_post_build(config: Any) -> None:
    """Refuse a site whose reference lacks a public name."""
    listed = set(_inventory(Path(config.site_dir) / "objects.inv"))
    missing = [name for name in public_names() if name not in listed]
    if missing:
        raise PluginError(
            f"{len(missing)} public names are in no page of docs/reference: {', '.join(missing)}"
        )


def public_names() -> Iterator[str]:
    """Every name in an ``__all__`` of a room, or of a module that is imported by its own name."""
    rooms = [path for path in SOURCE.glob("*/__init__.py") if path.parent.name not in NO_REFERENCE]
    single = [SOURCE / "data" / "augmentation" / "__init__.py"]
    single += [SOURCE / name for name in ("errors.py", "progress.py", "zoo.py")]
    single += [*(SOURCE / "integrations").glob("[!_]*.py")]
    for path in sorted([*rooms, *single]):
        module = path.parent if path.name == "__init__.py" else path.with_suffix("")
        dotted = ".".join(module.relative_to(SOURCE.parent).parts)
        for name in _all_of(path):
            yield f"{dotted}.{name}"


def _all_of(path: Path) -> list[str]:
    return list(_assigned(path, "__all__") or ())


def _assigned(path: Path, name: str) -> Any:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return None


def _inventory(path: Path) -> Iterator[str]:
    """Names in a Sphinx inventory: four lines of text, then zlib."""
    packed = path.read_bytes().split(b"\n", 4)[4]
    for line in zlib.decompress(packed).decode().splitlines():
        if match := re.match(r"(\S+)\s+py:", line):
            yield match.group(1)
