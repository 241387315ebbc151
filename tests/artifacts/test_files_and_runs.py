"""Writes are whole or not at all; a run's folder is only ever gone on with as it was begun."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    Features,
    Head,
    Predictions,
    Run,
    _memory,
    atomic_write,
    birth_certificate,
    free_memory,
    holding_lock_file,
    json_text,
    prepare_folder,
    read_json,
    read_npz,
    replaced_together,
    write_json,
    write_npz,
)
from everyclass.errors import (
    EveryclassError,
    FileFormatError,
    InputError,
    MissingFileError,
    OutputError,
    OutputExistsError,
)
from everyclass.metrics import evaluate

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MissingFileError])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path) as stream:
            stream.write(b"new, but only ha")
            stream.flush()
            assert path.read_bytes() == b"old"
            raise error("stop")

    with pytest.raises(error) as caught:
        write()
    assert type(caught.value) is error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.bin"]


def test_what_is_complete_takes_the_name_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "result.bin"
    with atomic_write(path) as stream:
        stream.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert os.listdir(path.parent) == ["result.bin"]


def test_a_folder_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    before = os.stat("/dev/null")
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(OutputError, match="is a folder or a device; name a file"):
            write_json(place, {})
    assert os.stat("/dev/null").st_rdev == before.st_rdev
    assert os.listdir(tmp_path) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"Cannot write .*below\.json"):
        write_json(tmp_path / "file" / "below.json", {})
    assert (tmp_path / "file").read_text() == "mine"


SAVERS: dict[str, Callable[[Path], None]] = {
    "features.npz": Features(np.ones((900, 40)), np.arange(900) % 9).save,
    "head.npz": Head(np.ones((900, 40)), np.zeros(900)).save,
    "head.safetensors": Head(np.ones((900, 40)), np.zeros(900)).save,
    "predictions.npz": Predictions(np.arange(900) % 9, logits=np.ones((900, 40))).save,
    "evaluation.json": evaluate(labels=np.arange(9000), predicted=np.zeros(9000, int)).save,
    "counts.csv": ClassCounts(np.full(9000, 10**8)).save,
}


def assert_earlier_file_survives_a_full_disk(save: Callable[[Path], None], path: Path) -> None:
    path.write_bytes(b"earlier")
    with pytest.raises(OutputError, match="the disk is full; free some space") as caught:
        save(path)
    assert isinstance(caught.value, OSError)
    assert caught.value.exit_code == 1
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"earlier"
    assert os.listdir(path.parent) == [path.name]


@pytest.fixture(scope="module")
def tiny_disk() -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = Path(tempfile.mkdtemp(prefix="everyclass-tiny-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = IS_ROOT and subprocess.run(mount, capture_output=True, check=False)
        if not mounted or mounted.returncode:
            pytest.skip("cannot mount a tmpfs here; /dev/full stands in for it in another test")
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", SAVERS)
def test_a_full_disk(name: str, tiny_disk: Path) -> None:
    folder = tiny_disk / name.replace(".", "-")
    folder.mkdir()
    try:
        assert_earlier_file_survives_a_full_disk(SAVERS[name], folder / name)
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", SAVERS)
def test_no_space_left_on_the_device(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_full_device(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "xb":
            Path(path).touch()
            return open("/dev/full", "wb")
        return open(path, mode, **options)

    monkeypatch.setattr("everyclass.artifacts._files.open", on_full_device, raising=False)
    assert_earlier_file_survives_a_full_disk(SAVERS[name], tmp_path / name)


def test_what_the_disk_loses_at_the_end_is_lost_for_the_new_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quota(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", quota)
    assert_earlier_file_survives_a_full_disk(SAVERS["head.npz"], tmp_path / "head.npz")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EROFS, "no permission to write there; name another folder"),
        (errno.EACCES, "no permission to write there; name another folder"),
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "your quota is used up; free some space"),
        (errno.ENAMETOOLONG, "the name is too long; choose a shorter one"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
@pytest.mark.parametrize("refuses", ["mkdir", "stat", "open", "fsync", "replace"])
def test_whatever_the_system_refuses_is_a_sentence(
    refuses: str, number: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system to be read only refuses the removal of the temporary file too."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "new" / "a.json"
    with monkeypatch.context() as patch:
        if refuses == "open":
            patch.setattr("everyclass.artifacts._files.open", refuse, raising=False)
        elif refuses == "mkdir":
            patch.setattr(Path, "mkdir", refuse)
        else:
            patch.setattr(os, refuses, refuse)
        if refuses != "stat":
            patch.setattr(Path, "unlink", refuse)
        with pytest.raises(OutputError, match=rf"Cannot write .*a\.json: .*{message}"):
            write_json(path, {})
    assert not path.exists()


@contextlib.contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of root's, as somebody else than root."""
    folder = Path(tempfile.mkdtemp(prefix="everyclass-theirs-"))
    folder.chmod(0o755 if IS_ROOT else 0o555)
    if IS_ROOT:
        os.setresuid(65534, 65534, 0)
    try:
        yield folder
    finally:
        if IS_ROOT:
            os.setresuid(0, 0, 0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written() -> None:
    with ordinary_user() as folder:
        for write in (
            lambda: write_json(folder / "a.json", {}),
            lambda: write_json(folder / "new" / "a.json", {}),
            lambda: prepare_folder(folder, overwrite=True),
            lambda: prepare_folder(folder / "new", overwrite=False),
        ):
            with pytest.raises(OutputError, match="no permission to write there"):
                write()
        assert os.listdir(folder) == []


def test_a_file_that_may_not_be_read() -> None:
    with ordinary_user() as folder:
        if IS_ROOT:
            os.setresuid(0, 0, 0)
        folder.chmod(0o755)
        (folder / "a.json").write_text("{}")
        (folder / "a.json").chmod(0)
        (folder / "closed").mkdir(mode=0)
        if IS_ROOT:
            os.setresuid(65534, 65534, 0)
        for load in (read_json, read_npz, Evaluation.load, ClassCounts.load, Predictions.load):
            with pytest.raises(EveryclassError, match="no permission to read"):
                load(folder / "a.json")
            with pytest.raises(MissingFileError):
                load(folder / "closed" / "a.json")
        with pytest.raises(OutputError, match="no permission"):
            prepare_folder(folder / "closed" / "new", overwrite=False)


# Folders -----------------------------------------------------------------------------------------


def test_an_output_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("earlier")
    with pytest.raises(OutputExistsError, match=r"is not empty; take another\."):
        prepare_folder(tmp_path, overwrite=False, way_out="take another")
    with pytest.raises(FileExistsError, match="pass overwrite"):
        prepare_folder(tmp_path, overwrite=False)
    with pytest.raises(OutputExistsError, match="is a file, not a folder"):
        prepare_folder(tmp_path / "result.json", overwrite=True)
    assert prepare_folder(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / "result.json").read_text() == "earlier"
    assert prepare_folder(tmp_path / "a" / "b", overwrite=False).is_dir()
    assert os.listdir(tmp_path / "a" / "b") == []


def test_what_a_killed_write_left_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".config.json.tmp-abc123").write_text("{")
    assert prepare_folder(tmp_path, overwrite=False) == tmp_path
    assert Run.start(tmp_path, {"seed": 0}).config["seed"] == 0


# Plain files -------------------------------------------------------------------------------------


def test_json_of_whatever_a_result_holds(tmp_path: Path) -> None:
    value = {
        "array": np.array([[1, 2]]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "nan": float("nan"),
        "infinite": [np.inf, -np.inf],
        "path": Path("a") / "b",
        "tuple": ("ä", None),
        3: {"nested": np.array([np.nan])},
    }
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == {
        "array": [[1, 2]],
        "scalar": 0.5,
        "flag": True,
        "nan": None,
        "infinite": [None, None],
        "path": "a/b",
        "tuple": ["ä", None],
        "3": {"nested": [None]},
    }
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8")


NO_UTF8 = os.fsdecode(b"caf\xe9.npz")  # what Python makes of such a file name


def test_json_of_names_that_are_no_utf8(tmp_path: Path) -> None:
    value = {"names": [NO_UTF8, "\ud83d"], NO_UTF8: "é 👩\u200d🔬", "steering": "\x1b[31m\u202e"}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "caf\\udce9.npz" in text
    assert "é 👩\u200d🔬" in text
    assert read_json(tmp_path / "a.json") == json.loads(text) == value
    assert json_text(value) + "\n" == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_json_in_what_windows_writes(encoding: str, tmp_path: Path) -> None:
    said = evaluate(labels=[0, 1, 1], predicted=[0, 0, 1], class_names=("käse", "b"))
    text = json_text(said.to_dict()).replace("\n", "\r\n")
    (tmp_path / "e.json").write_bytes(text.encode(encoding))
    assert Evaluation.load(tmp_path / "e.json").class_names == ("käse", "b")


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 40, b"\xff\xfe{", b"\xef\xbb\xbf", '{"a": "é"}'.encode("latin1"), b'{"a": 1'],
)
def test_json_that_is_damaged_is_a_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_bytes(data)
    with pytest.raises(FileFormatError, match=r"^.*e\.json is not a readable evaluation: .*\.$"):
        Evaluation.load(tmp_path / "e.json")


def test_an_npz_holds_its_arrays_and_no_more(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3), "words": np.array(["x", "yz"]), "empty": np.empty((0, 2))}
    write_npz(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        assert sorted(stored.files) == ["a", "empty", "words"]
    got = read_npz(tmp_path / "a.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array, strict=True)


# Runs --------------------------------------------------------------------------------------------


CONFIG = {
    "method": "ce",
    "seed": 0,
    "recipe": {"milestones": (160, 180), "rate": np.float64(0.1), "decay": float("nan")},
    "data": {"root": Path("/data"), "ratio": 100},
}


def test_a_run_is_started_opened_and_come_back_to(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    run = Run.start(folder, CONFIG)
    assert run.result is None
    again, opened = Run.start(folder, CONFIG), Run.open(folder)
    assert run.config == again.config == opened.config
    assert run.config["format"] == 1
    assert run.config["recipe"]["milestones"] == [160, 180]
    assert run.checkpoint.parent == folder
    assert os.listdir(folder) == ["config.json"]
    run.finish({"test": {"accuracy": np.float32(0.5)}})
    assert Run.start(folder, CONFIG).result == {"test": {"accuracy": 0.5}}


HOLDER = """
import sys
from everyclass import Run
with Run.open(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", {"seed": 0})
    with run.held(), pytest.raises(InputError, match="working in"), Run.open(run.folder).held():
        pytest.fail("held twice")
    with run.held():
        pass  # free again
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="--out"), run.held():
            pytest.fail("held twice")
        other.kill()
    with run.held():
        pass  # a process that was killed holds nothing


def test_a_lock_file_is_there_only_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / ".lock"
    with holding_lock_file(path, "wait"):
        assert path.is_file()
        with pytest.raises(InputError, match=r"^wait$"), holding_lock_file(path, "wait"):
            pytest.fail("held twice")
        assert path.is_file()
    assert os.listdir(path.parent) == []
    path.touch()  # of a process that was killed
    with pytest.raises(KeyError), holding_lock_file(path, "wait"):
        raise KeyError
    assert os.listdir(path.parent) == []
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="Cannot write"),
        holding_lock_file(tmp_path / "file" / ".lock", "wait"),
    ):
        pytest.fail("held in a file")

    lock, calls = fcntl.flock, 0

    def late(file: Any, kind: int) -> None:  # after who held it until now has removed it
        nonlocal calls
        calls += 1
        if calls == 1:
            path.unlink()
        lock(file, kind)

    monkeypatch.setattr("fcntl.flock", late)
    with holding_lock_file(path, "wait"):
        assert calls == 2
        assert path.is_file()


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EBADF"])
def test_a_file_system_without_locks_goes_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: Any) -> None:
        raise OSError(getattr(errno, name), "No locks available")

    monkeypatch.setattr("fcntl.flock", without)
    entered = 0
    with Run.start(tmp_path / "run", {}).held():
        entered += 1
    with holding_lock_file(tmp_path / ".lock", "wait"):
        entered += 1
    assert entered == 2


def test_a_file_system_that_locks_only_what_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def of_nfs(file: Any, kind: int) -> None:  # Linux makes byte-range locks of them there
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(file, kind)

    monkeypatch.setattr("fcntl.flock", of_nfs)
    run = Run.start(tmp_path / "run", {"seed": 0})
    before = (run.folder / "config.json").read_bytes()
    with run.held(), pytest.raises(InputError, match="working in"), Run.open(run.folder).held():
        pytest.fail("held twice")
    assert (run.folder / "config.json").read_bytes() == before

    entered = 0
    with ordinary_user() as folder:
        if IS_ROOT:
            os.setresuid(0, 0, 0)
        folder.chmod(0o755)
        Run.start(folder, {"seed": 0})
        (folder / "config.json").chmod(0o444)
        if IS_ROOT:
            os.setresuid(65534, 65534, 0)
        with Run.open(folder).held():  # may be read only, so that nothing can be locked
            entered += 1
        monkeypatch.setattr("fcntl.flock", lock)
        with (
            Run.open(folder).held(),
            pytest.raises(InputError, match="working in"),
            Run.open(folder).held(),
        ):
            pytest.fail("held twice")
    assert entered == 1


WITHOUT_POSIX = """
import os, sys
sys.modules["fcntl"] = sys.modules["resource"] = None  # as on Windows

import numpy as np
import everyclass as ec
from everyclass.artifacts import birth_certificate, holding_lock_file
from everyclass.artifacts._leftovers import temporary_prefix

with holding_lock_file(None, "wait") as nothing:
    assert nothing is None
with ec.Run.start(sys.argv[1], {"seed": 0}).held() as nothing:
    assert nothing is None
said = ec.evaluate(labels=np.array([0, 1, 1]), predicted=np.array([0, 1, 0]), class_counts=[5, 2])
said.save(sys.argv[1] + "/evaluation.json")
assert birth_certificate()["peak_memory_bytes"] is None

# There a signal of 0 is Ctrl-C, so nobody is asked whether they live, and leftovers stay.
sys.platform = "win32"
os.kill = lambda *_: sys.exit("a signal was sent")
left = os.path.join(sys.argv[1], temporary_prefix("evaluation.json") + "abc")
open(left, "x").close()
said.save(sys.argv[1] + "/evaluation.json")
assert os.path.exists(left)
print(said.lowest_recall)
"""


def test_a_system_without_posix(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0.5\n", "")


def test_a_run_of_which_nothing_was_done_becomes_what_is_asked_for(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", CONFIG)
    assert Run.start(tmp_path / "run", {**CONFIG, "seed": 1}).config["seed"] == 1
    with Run.open(tmp_path / "run").held(), pytest.raises(InputError, match="Another process"):
        Run.start(tmp_path / "run", CONFIG)
    assert Run.open(tmp_path / "run").config["seed"] == 1


@pytest.mark.parametrize(
    ("changed", "differences"),
    [
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"data": {"root": "/data", "ratio": 50}}, "data.ratio: 100 there, 50 asked"),
        ({"recipe": {**CONFIG["recipe"], "milestones": (60,)}}, "recipe.milestones: [160, 180] th"),
        ({"extra": 3}, "extra: None there, 3 asked"),
        ({"method": "gml", "seed": 2}, "method: ce there, gml asked; seed: 0 there, 2 asked"),
    ],
)
def test_another_configuration_is_refused_with_the_differences(
    changed: dict[str, Any], differences: str, tmp_path: Path
) -> None:
    Run.start(tmp_path / "run", CONFIG).log({"epoch": 1})
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(InputError) as caught:
        Run.start(tmp_path / "run", {**CONFIG, **changed})
    assert differences in str(caught.value)
    assert "name another folder with out (--out; of bench run --runs)" in str(caught.value)
    named = str(caught.value).split("(")[1]
    assert named.count(" asked") == len(changed)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputExistsError, match="not empty and not a run; name another with out"):
        Run.start(tmp_path, CONFIG)
    with pytest.raises(MissingFileError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_damaged_configuration(tmp_path: Path) -> None:
    Run.start(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text('{"method": "ce", ')
    for come_back in (lambda: Run.open(tmp_path), lambda: Run.start(tmp_path, CONFIG)):
        with pytest.raises(FileFormatError, match="not a readable run configuration"):
            come_back()


def epochs(run: Run) -> list[int]:
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def test_epochs_that_are_run_again_replace_their_lines(tmp_path: Path) -> None:
    run = Run.start(tmp_path, {})
    for epoch in (1, 2, 3, 4):
        run.log({"epoch": epoch, "loss": 1.0})
    run.log({"epoch": 3, "loss": np.float32(2.0), "rate": float("nan")})
    assert epochs(run) == [1, 2, 3]
    last = (tmp_path / "log.jsonl").read_text().splitlines()[-1]
    assert json.loads(last, parse_constant=pytest.fail) == {"epoch": 3, "loss": 2.0, "rate": None}


@pytest.mark.parametrize(
    "torn",
    [
        b'{"epoch": 3, "lo',
        b"\0" * 40,
        b"\xff\xfe{",
        b"12",
        b"[]",
        b'{"loss": 1}',
        b"\n\n",
        b'{"epoch": null}',
        b"[" * 100_000,
    ],
)
def test_a_torn_last_line_is_survived(torn: bytes, tmp_path: Path) -> None:
    run = Run.start(tmp_path, {})
    run.log({"epoch": 1, "seconds": 2.0})
    run.log({"epoch": 2, "seconds": float("nan")})
    with open(tmp_path / "log.jsonl", "ab") as log:
        log.write(torn)
    run = Run.open(tmp_path)
    assert run.seconds == 2.0
    run.log({"epoch": 3, "seconds": 1.5})
    assert epochs(run) == [1, 2, 3]
    assert run.seconds == 3.5


def test_a_log_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.start(tmp_path, {})
    run.log({"epoch": 1})
    before = (tmp_path / "log.jsonl").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run.log({"epoch": 2})
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_a_birth_certificate_says_what_made_a_number(tmp_path: Path) -> None:
    said = birth_certificate(1.5)
    assert said["versions"]["numpy"] == np.__version__
    assert said["seconds"] == 1.5
    assert said["peak_memory_bytes"] > 1 << 20
    assert "seconds" not in birth_certificate()
    write_json(tmp_path / "c.json", said)
    assert read_json(tmp_path / "c.json") == said


def test_files_that_belong_together_take_their_places_together(tmp_path: Path) -> None:
    for name in ("a.txt", "old.txt"):
        (tmp_path / name).write_text("old")
    with (
        contextlib.suppress(KeyError),
        replaced_together(tmp_path, seal="s", stale=["old.txt"]) as new,
    ):
        (new / "a.txt").write_text("new")
        raise KeyError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.txt": "old",
        "old.txt": "old",
    }
    stale = ["old.txt", "never-there.txt"]
    with replaced_together(tmp_path, seal="s", stale=stale) as new:
        (new / "a.txt").write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "new"}


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_files_of_two_results_never_stand_under_one_seal(
    survived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> None:
        with replaced_together(tmp_path, seal="b.json") as new:
            for name in ("a.txt", "b.json", "c.txt"):
                (new / name).write_text(text)

    write("old")
    moved = 0
    move = os.replace

    def killed(*names: Any) -> None:
        nonlocal moved
        if moved == survived:
            raise KeyboardInterrupt  # no file moves after a kill
        moved += 1
        move(*names)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write("new")
    assert not (tmp_path / "b.json").exists()
    write("newer")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"newer"}


def test_the_seal_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("seal", "a", "b", "c", "d")
    for name in names:
        (tmp_path / name).write_text("old")
    removed: list[str] = []
    unlink = Path.unlink

    def seen(path: Path, missing_ok: bool = False) -> None:
        removed.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", seen)
    with replaced_together(tmp_path, seal="seal", stale=names[1:]) as new:
        (new / "seal").write_text("new")
    assert [name for name in removed if name in names] == list(names)


def test_a_file_that_cannot_take_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with (
        pytest.raises(OutputError, match=r"Cannot write .*a\.txt: "),
        replaced_together(tmp_path, seal="s") as new,
    ):
        (new / "a.txt").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("limit", "used", "cache", "free"),
    [("1000", "300", "inactive_file 100", 800), ("100", "300", "", 0), ("max", "300", "", None)],
)
def test_free_memory_is_that_of_the_container_too(
    limit: str,
    used: str,
    cache: str,
    free: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_machine = free_memory()
    for name, content in (("max", limit), ("current", used), ("stat", f"anon 5\n{cache}\n")):
        (tmp_path / f"memory.{name}").write_text(content)
    monkeypatch.setattr(_memory, "_CGROUPS", tmp_path)
    if free is None:
        assert free_memory() > of_machine / 2
    else:
        assert free_memory() == free
