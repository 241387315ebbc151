"""No verb writes over what it reads: every pair of an input and an output, taken from the app."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image
from typer.models import ArgumentInfo

from everyclass.cli.app import app
from everyclass.cli.spared_files import check_spared, data_files
from everyclass.errors import InputError, OutputExistsError
from everyclass.metrics import EvaluationState

Command = Callable[..., Any]

# Parameters that name what is written. Every other one that is a path is read.
WRITTEN = {"out", "junit", "state", "adjustment"}
FOLDERS = {"split", "rescue", "pretrain", "zoo add"}  # whose output is one
# Text that may name files, with the file at {}.
NAMING = {
    ("adjust", "prior"): "{}",
    ("evaluate", "fail_if"): "drop({}) > 1",
    ("extract", "backbone"): "{}",
    ("extract", "data"): "list:train.txt,test={}",
    ("extract", "weights"): "{}",
    ("pretrain", "data"): "list:{}",
    ("pretrain", "method"): "{}",
    ("pretrain", "weights"): "{}",
    ("report", "fail_if"): "drop({}) > 1",
    ("rescue", "val"): "{}",
}
# Inputs that are folders: what is in them must not be replaced.
OF_FOLDERS = {
    ("export", "rescued"),
    ("pretrain", "start"),
    ("report", "images"),
    ("zoo add", "run"),
}
# Verbs that have paths, but not both to read and to write.
WITHOUT = {
    "demo": "it only writes",
    "methods list": "it only reads",
    "methods copy": "it reads what comes with the package",
    "data check": "--bad replaces nothing but an earlier list of bad pictures",
    "bench show": "it draws .svg, .png or .html, and reads none of them",
    "bench run": "its folders are those of its own earlier results, which it goes on with",
    "zoo list": "it only reads",
    "zoo check": "it only reads",
}
NEEDED = {"data": "list:train.txt", "backbone": "resnet50", "method": "ce"}


def verbs() -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in app.registered_commands:
        yield str(command.name), command.callback  # type: ignore[misc]
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:  # type: ignore[union-attr]
            yield f"{group.name} {command.name}", command.callback  # type: ignore[misc]


def paths_of(callback: Callable[..., Any]) -> list[str]:
    """The parameters that are paths, one, several or none; data_root is only looked through."""
    kinds = get_type_hints(callback)
    return [n for n, kind in kinds.items() if holds_paths(kind) and n != "data_root"]


def holds_paths(kind: Any) -> bool:
    return kind is Path or any(map(holds_paths, get_args(kind)))


def read_and_written(verb: str, callback: Callable[..., Any]) -> tuple[list[str], list[str]]:
    known = WRITTEN | ({"folder"} if verb == "zoo add" else set())
    written = [name for name in paths_of(callback) if name in known]
    read = [name for name in paths_of(callback) if name not in known]
    return read + [name for of, name in NAMING if of == verb], written


def a_state(path: Path) -> None:
    state = EvaluationState(class_names=["cat", "dog"])
    state.update(labels=[0, 1, 1], predicted=[0, 1, 0])
    state.save(path)


CASES = [
    (verb, read, written)
    for verb, callback in verbs()
    for read, written in (
        (r, w)
        for reads, writes in [read_and_written(verb, callback)]
        for r in reads
        for w in writes
    )
    if verb not in WITHOUT
]


def test_every_verb_with_paths_is_looked_at() -> None:
    with_paths = {verb for verb, callback in verbs() if paths_of(callback)}
    assert {verb for verb, _, _ in CASES} | set(WITHOUT) == with_paths
    assert len(CASES) > 40
    assert set(NAMING) | OF_FOLDERS <= {(verb, read) for verb, read, _ in CASES}


@pytest.mark.parametrize(("verb", "read", "written"), CASES, ids=["-".join(c) for c in CASES])
def test_what_is_read_is_not_written_over(
    verb: str, read: str, written: str, everyclass: Command, tmp_path: Path
) -> None:
    callback = dict(verbs())[verb]
    place = tmp_path / "in"
    victim = place / "head.safetensors" if verb == "export" else place / "mine.npz"
    other = tmp_path / "other.npz"
    place.mkdir()
    other.write_bytes(b"precious")
    victim.write_bytes(b"precious")
    if written == "state":  # nothing but a state may be replaced by one
        victim.unlink()
        a_state(victim)
    before = victim.read_bytes()
    given = place if (verb, read) in OF_FOLDERS else victim
    values: dict[str, str] = {}
    for name, parameter in inspect.signature(callback).parameters.items():
        if parameter.default is parameter.empty:
            new = tmp_path / ("new.npz" if name in WRITTEN else other.name)
            values[name] = NEEDED.get(name, str(new))
    values[read] = NAMING.get((verb, read), "{}").format(given)
    values[written] = str(place if verb in FOLDERS else victim)
    kinds = get_type_hints(callback, include_extras=True)
    arguments: list[str] = verb.split()
    for name, value in values.items():
        is_argument = any(isinstance(x, ArgumentInfo) for x in kinds[name].__metadata__)
        arguments += [value] if is_argument else [f"--{name.replace('_', '-')}", value]
    arguments += ["--overwrite"] if "overwrite" in kinds else []
    done = everyclass(*arguments)
    # Said by what guards it, not by what would have found the file unreadable afterwards.
    done.refused(str(place if given == place and verb in FOLDERS else victim), "is read", "name a")
    assert (victim.read_bytes(), other.read_bytes()) == (before, b"precious")
    assert sorted(tmp_path.rglob("*")) == [place, victim, other]


# --- what the table of all verbs does not say -----------------------------------------------------


def test_a_state_is_not_written_over_while_it_is_read(everyclass: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", labels=[0, 1, 1], predicted=[0, 1, 0])
    state = tmp_path / "s.npz"
    a_state(state)
    before = state.read_bytes()
    done = everyclass("evaluate", tmp_path / "p.npz", state, "--state", state)
    done.refused(f"{state} is read and would be replaced; name another file to write.")
    assert state.read_bytes() == before
    everyclass(
        "evaluate",
        tmp_path / "p.npz",
        "--state",
        state,
        "--junit",
        state,
        "--fail-if",
        "accuracy<0",
    ).refused(f"{state} would be written twice")


def test_a_run_is_not_rescued_into_itself(everyclass: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    done = everyclass("rescue", tmp_path / "run", "--out", tmp_path / "run", "--overwrite")
    done.refused(f"{tmp_path / 'run'} is read and would be written to; name another folder.")


def test_features_in_chunks_do_not_go_where_they_come_from(
    everyclass: Command, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train.txt").write_text("a.png 0\n")
    common = ("--backbone", "resnet50", "--overwrite", "--out")
    for data, out in ((f"folder:{tmp_path / 'in'}", "in"), (f"list:{tmp_path}/in/train.txt", "in")):
        done = everyclass("extract", "--data", data, *common, tmp_path / out)
        done.refused(str(tmp_path / "in"), "name another folder")
    listed = tmp_path / "in" / "train.bad-images.csv"  # where bad pictures would be listed
    listed.write_text("path,label\na.png,0\n")
    done = everyclass("extract", "--data", f"table:{listed}", *common, tmp_path / "in/train.npz")
    done.refused(f"{listed} is read and would be replaced")
    assert listed.read_text() == "path,label\na.png,0\n"


@pytest.mark.parametrize("name", ["train.npy", "train.NPY", "train.csv"])
def test_features_go_into_a_file_or_a_folder_and_nothing_else(
    name: str, everyclass: Command, tmp_path: Path
) -> None:
    (tmp_path / "train.txt").write_text("a.png 0\n")
    done = everyclass(
        "extract", "--data", f"list:{tmp_path / 'train.txt'}", "--backbone", "resnet50",
        "--out", tmp_path / name,
    )  # fmt: skip
    stem = Path(name).stem
    done.refused(f"a features file, such as {stem}.npz, or a folder", f"such as {stem}/")
    assert not (tmp_path / name).exists()


def test_links_and_other_spellings_are_seen_through(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "x")
    for out in (tmp_path / "link", tmp_path / "a" / ".." / "a" / "x"):
        with pytest.raises(InputError, match="is read and would be replaced"):
            check_spared(tmp_path / "a" / "x", files=[out])
    with pytest.raises(InputError, match=r"lies in .* which is written to"):
        check_spared(tmp_path / "link", folder=tmp_path / "a")


def test_what_is_no_file_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_spared("pretrained", None, "x" * 10_000, folder=Path())
    check_spared(tmp_path / "none.npz", files=[tmp_path / "none.npz", None, Path("x" * 10_000)])
    (tmp_path / "old.npz").write_text("old")
    check_spared(tmp_path, files=[tmp_path / "new.npz"])  # beside what is read
    check_spared(tmp_path / "old.npz", folder=tmp_path / "parts")
    with pytest.raises(InputError, match=r"is part of .* which is read"):
        check_spared(tmp_path, files=[tmp_path / "old.npz"])
    with pytest.raises(OutputExistsError, match="is there already"):
        check_spared(files=[tmp_path / "old.npz"], overwrite=False)


def test_a_page_may_lie_among_the_pictures(everyclass: Command, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    np.savez(tmp_path / "p.npz", labels=[0, 1, 1], predicted=[0, 1, 0], ids=["a.png", "b", "c"])
    command = ("report", tmp_path / "p.npz", "--images", tmp_path, "--out", tmp_path / "r.html")
    for _ in range(2):
        assert everyclass(*command).code == 0


def test_files_that_data_names() -> None:
    assert data_files("cifar100-lt") == []
    assert data_files("imagenet-lt,root=pics,size=64") == [Path("pics")]
    said = "list:a,b.txt,val=v.txt,test=t.txt,names=n.txt,root=pics,size=64"
    named = ["a,b.txt", "v.txt", "t.txt", "n.txt", "pics"]
    assert data_files(said) == [Path(name) for name in named]


def test_a_name_that_no_file_can_have(
    everyclass: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        np.savez(f"{name}.npz", labels=[0, 1, 1], predicted=[0, 1, 0])
    long = "x" * 300
    for command in (
        ("evaluate", "a.npz", "--state", f"{long}.npz"),
        ("report", "a.npz", "--out", f"{long}.html"),
        ("compare", "a.npz", "b.npz", "--out", f"{long}.json"),
        ("diagnose", "a.npz", "--out", f"{long}.json"),
    ):
        everyclass(*command).refused("Cannot write xxx", "the name is too long", code=1)
