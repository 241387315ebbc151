"""Where a file is written: through links, with the old permissions, beside other machines' work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from everyclass.artifacts import atomic_write, prepare_folder, replaced_together
from everyclass.errors import OutputError

DAY = 86_400


def write(path: Path, text: str = "new") -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode())


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 240, "x" * 255, "ä" * 127, os.fsdecode(b"caf\xe9" * 60)])
def test_a_name_may_be_as_long_as_the_system_allows(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    write(tmp_path / name, "newer")
    assert (tmp_path / name).read_text() == "newer"
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_too_long_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^Cannot write .*x: the name is too long; choose"):
        write(tmp_path / ("x" * 256))
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_cleaned_up_does_not_hide_why_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", gone)
        patched.setattr(Path, "unlink", gone)
        with pytest.raises(OutputError, match=r"Cannot write .*a\.json: Input/output error"):
            write(tmp_path / "a.json")


# --- links ----------------------------------------------------------------------------------------


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "result.json"
    target.write_text("old")
    (tmp_path / "first.json").symlink_to("there/result.json")
    (tmp_path / "second.json").symlink_to(tmp_path / "first.json")
    write(tmp_path / "second.json")
    assert target.read_text() == "new"
    assert (tmp_path / "first.json").is_symlink()
    assert (tmp_path / "second.json").is_symlink()
    assert os.listdir(tmp_path / "there") == ["result.json"]


def test_a_link_to_nothing_makes_what_it_points_to(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("later/result.json")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "later" / "result.json").read_text() == "new"


def test_links_in_a_circle_are_a_sentence(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a"), ("self", "self")):
        (tmp_path / name).symlink_to(other)
    for path in (tmp_path / "a", tmp_path / "self", tmp_path / "self" / "result.json"):
        with pytest.raises(OutputError, match=r"Cannot write .*: Too many levels of symbolic"):
            write(path)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "self"]
    assert all(path.is_symlink() for path in tmp_path.iterdir())


def test_a_link_to_a_pipe_or_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    out, into = os.pipe()
    try:
        for path in (tmp_path / "link", Path(f"/dev/fd/{into}")):
            if path.exists():
                with pytest.raises(OutputError, match="is a folder or a device; name a file"):
                    write(path)
    finally:
        os.close(out)
        os.close(into)
    assert os.listdir(tmp_path) == ["link"]


# --- permissions ----------------------------------------------------------------------------------


@pytest.fixture
def usual() -> int:
    """Permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444, 0o755])
def test_permissions_of_the_old_file_are_kept(mode: int, usual: int, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write(path, "old")
    assert path.stat().st_mode & 0o777 == usual
    path.chmod(mode)
    with atomic_write(path) as stream:
        (hidden,) = (entry for entry in tmp_path.iterdir() if entry != path)
        assert hidden.stat().st_mode & 0o777 == mode  # before anything is in it
        stream.write(b"new")
    assert path.stat().st_mode & 0o777 == mode


def test_files_that_belong_together_keep_theirs(usual: int, tmp_path: Path) -> None:
    for name in ("seal.json", "a.json"):
        write(tmp_path / name, "old")
        (tmp_path / name).chmod(0o600)
    with replaced_together(tmp_path, seal="seal.json") as new:
        for name in ("seal.json", "a.json", "b.json"):
            write(new / name)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"seal.json": 0o600, "a.json": 0o600, "b.json": usual}


def test_a_file_system_without_permissions_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "a.json").write_text("old")
    monkeypatch.setattr(Path, "chmod", refused)
    write(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "new"


# --- what killed processes left, here and elsewhere -----------------------------------------------

KILLED = """
import os, signal, sys
from everyclass.artifacts import atomic_write, replaced_together
with replaced_together(sys.argv[1], seal="s") as new:
    (new / "a.txt").write_text("half")
    with atomic_write(sys.argv[1] + "/x.json") as stream:
        stream.write(b"half")
        stream.flush()
        print("inside", flush=True)
        if "stay" in sys.argv:
            sys.stdin.read()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def leave(folder: Path, *before: str) -> list[Path]:
    """A hidden file and a hidden folder of a process that was killed."""
    command = [*before, sys.executable, "-c", KILLED, str(folder)]
    subprocess.run(command, capture_output=True, check=False)
    left = sorted(folder.iterdir())
    assert len(left) == 2, left
    assert prepare_folder(folder, overwrite=False) == folder  # they do not count
    return left


def write_both(folder: Path) -> None:
    write(folder / "x.json")
    with replaced_together(folder, seal="s"):
        pass


def make_old(paths: list[Path], seconds: float) -> None:
    for path in paths:
        os.utime(path, (time.time() - seconds,) * 2)


def test_what_a_killed_process_of_this_machine_left_goes_at_once(tmp_path: Path) -> None:
    leave(tmp_path)
    write_both(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_is_being_written_here_stays_however_old(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), "stay"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "inside\n"
        living = sorted(tmp_path.iterdir())
        make_old(living, 30 * DAY)
        write_both(tmp_path)
        assert set(living) < set(tmp_path.iterdir())
        other.kill()
    write_both(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_another_machine_is_writing_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave(tmp_path)  # its number is no process here, as those of other machines mostly are
    monkeypatch.setattr("everyclass.artifacts._leftovers._machine", lambda: "0123abcd")
    make_old(left, DAY - 3600)
    write_both(tmp_path)
    assert set(left) < set(tmp_path.iterdir())
    make_old(left, DAY + 3600)
    write_both(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_earlier_versions_left_says_no_machine(tmp_path: Path) -> None:
    left = [tmp_path / f".x.json.tmp-{2**22 + 1}-{end}" for end in ("0123abcd", "abc")]
    for path in left:
        path.write_text("half")
    write_both(tmp_path)
    assert set(left) < set(tmp_path.iterdir())
    make_old(left, DAY + 3600)
    write_both(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_another_container_is_writing_stays_for_a_day(tmp_path: Path) -> None:
    apart = ["unshare", "--pid", "--fork", "sh", "-c", '"$@"; true', "sh"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no process namespace can be made here")
    left = leave(tmp_path, *apart)  # by process 2 there, and process 2 here is alive
    write_both(tmp_path)
    assert set(left) < set(tmp_path.iterdir())
    make_old(left, DAY + 3600)
    write_both(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_is_of_another_file_or_of_somebody_else_stays(tmp_path: Path) -> None:
    names = [
        ".y.json.tmp-0123abcd-1-0123abcd",
        ".x.json.tmp-kept",
        "x.json.tmp-0123abcd-1-0123abcd",
        ".x.json.tmp-mine-1-of.me",
    ]
    for name in names:
        (tmp_path / name).write_text("mine")
    make_old(list(tmp_path.iterdir()), 30 * DAY)
    write(tmp_path / "x.json")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "x.json"])


def test_what_may_not_be_removed_or_listed_is_in_nobody_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    left = leave(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)  # somebody else's, as in /tmp
        write(tmp_path / "x.json")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", refused)  # a folder that may be written and not read
        write(tmp_path / "x.json", "newer")
    assert (tmp_path / "x.json").read_text() == "newer"
    assert set(left) < set(tmp_path.iterdir())
