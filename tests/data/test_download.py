"""Downloads that break, lie, or are somebody else's archive; nothing outside this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.data import get_dataset
from everyclass.data.cifar import CIFAR10, CIFAR100, load_cifar_lt
from everyclass.data.download import DOWNLOADS, download
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputError,
    OutputExistsError,
    RunFailedError,
)

DATA = np.random.default_rng(0).bytes(900_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """Serves one file from this machine, as well or badly as it is told."""

    data: bytes = DATA
    ranges: bool = True
    length: bool = True
    status: int = 200
    cuts: list[int] = field(default_factory=list)  # how much each of the first answers sends
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.data):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        if start:
            end = len(self.data) - 1
            handler.send_header("Content-Range", f"bytes {start}-{end}/{len(self.data)}")
        if self.length:
            handler.send_header("Content-Length", str(len(self.data) - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(self.data)
        with contextlib.suppress(OSError):
            handler.wfile.write(self.data[start : start + cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    served = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        served.url = f"http://127.0.0.1:{running.server_port}/file.tar.gz"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        running.shutdown()
        thread.join()


class Shown:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int, str, int]] = []
        self.amounts: list[int] = []

    @contextmanager
    def __call__(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Shown]:
        self.opened.append((title, total, unit, done))
        yield self

    def advance(self, amount: int, note: str = "") -> None:
        self.amounts.append(amount)


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    shown = Shown()
    path = tmp_path / "new" / "file.tar.gz"
    assert download(server.url, str(path), SHA256, show=shown) == path
    assert path.read_bytes() == DATA
    assert os.listdir(path.parent) == ["file.tar.gz"]
    assert shown.opened == [("file.tar.gz", len(DATA), "bytes", 0)]
    assert sum(shown.amounts) == len(DATA)
    assert len(shown.amounts) > 2
    assert download(server.url, path, SHA256) == path
    assert server.asked == [None]  # what is there is not fetched again


def test_an_interrupted_transfer_is_resumed(server: Server, tmp_path: Path) -> None:
    shown = Shown()
    server.cuts = [300_000, 200_000]
    path = download(server.url, tmp_path / "f", SHA256, show=shown)
    assert path.read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]
    assert [done for *_, done in shown.opened] == [0, 300_000, 500_000]
    assert sum(shown.amounts) == len(DATA)
    assert os.listdir(tmp_path) == ["f"]


def test_what_an_earlier_process_left_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA[:123_456])
    assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA
    assert server.asked == ["bytes=123456-"]
    assert os.listdir(tmp_path) == ["f"]


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [300_000]
    shown = Shown()
    assert download(server.url, tmp_path / "f", SHA256, show=shown).read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-"]
    assert [done for *_, done in shown.opened] == [0, 0]


def test_a_server_that_resumes_elsewhere_is_not_believed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA[:100])
    real = server.answer

    def from_the_start(handler: http.server.BaseHTTPRequestHandler) -> None:
        del handler.headers["Range"]
        real(handler)

    server.answer = from_the_start  # type: ignore[method-assign]
    assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA


@pytest.mark.parametrize("extra", [b"", b"and more"])
def test_a_part_that_is_complete_or_too_long(extra: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA + extra)
    if not extra:
        assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA
        return
    with pytest.raises(FileFormatError, match="should be"):
        download(server.url, tmp_path / "f", SHA256)
    assert os.listdir(tmp_path) == []


def test_a_server_that_does_not_say_how_long_it_is(server: Server, tmp_path: Path) -> None:
    server.length = False
    shown = Shown()
    assert download(server.url, tmp_path / "f", SHA256, show=shown).read_bytes() == DATA
    assert shown.amounts == []  # of a total that nobody knows


def test_a_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"\0"
    got = hashlib.sha256(server.data).hexdigest()
    with pytest.raises(FileFormatError) as caught:
        download(server.url, tmp_path / "f", SHA256)
    assert f"SHA-256 is {got} and should be {SHA256}" in str(caught.value)
    assert f"put it at {tmp_path / 'f'}" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_another_file_in_its_place_is_not_touched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(FileFormatError, match=r"is not the file expected.*remove it and run this"):
        download(server.url, tmp_path / "f", SHA256)
    assert (tmp_path / "f").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_answer_that_is_no_file(status: int, server: Server, tmp_path: Path) -> None:
    server.status = status
    with pytest.raises(RunFailedError) as caught:
        download(server.url, tmp_path / "f", SHA256)
    message = str(caught.value)
    assert message.startswith(f"{server.url} answered {status} ")
    assert f"download {server.url} by hand and put it at {tmp_path / 'f'}" in message
    assert caught.value.exit_code == 1
    assert len(server.asked) == 1
    assert os.listdir(tmp_path) == []


def test_nobody_is_listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/f"
        with pytest.raises(RunFailedError) as caught:
            download(url, tmp_path / "f", SHA256)
    assert "Connection refused" in str(caught.value)
    assert "by hand and put it at" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("everyclass.data.download.TIMEOUT_SECONDS", 0.2)
    with socket.socket() as silent_server:
        silent_server.bind(("127.0.0.1", 0))
        silent_server.listen()
        url = f"http://127.0.0.1:{silent_server.getsockname()[1]}/f"
        with pytest.raises(RunFailedError, match=r"could not be fetched .*timed out"):
            download(url, tmp_path / "f", SHA256)


def test_a_line_that_breaks_for_good_keeps_what_arrived(server: Server, tmp_path: Path) -> None:
    server.cuts = [200_000, 0]
    with pytest.raises(RunFailedError) as caught:
        download(server.url, tmp_path / "f", SHA256)
    assert "closed after 200,000 of 900,000 bytes" in str(caught.value)
    assert "200,000 bytes are kept" in str(caught.value)
    assert (tmp_path / "f.part").read_bytes() == DATA[:200_000]
    assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA
    assert server.asked[-1] == "bytes=200000-"


def test_a_line_that_always_breaks_ends_some_day(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000] * 50
    with pytest.raises(RunFailedError, match="could not be fetched"):
        download(server.url, tmp_path / "f", SHA256)
    assert len(server.asked) == 5
    assert (tmp_path / "f.part").read_bytes() == DATA[:5000]


def test_ctrl_c_leaves_the_part_and_nothing_else(server: Server, tmp_path: Path) -> None:
    class Impatient(Shown):
        def advance(self, amount: int, note: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(server.url, tmp_path / "f", SHA256, show=Impatient())
    assert os.listdir(tmp_path) == ["f.part"]
    arrived = (tmp_path / "f.part").read_bytes()
    assert 0 < len(arrived) < len(DATA)
    assert arrived == DATA[: len(arrived)]
    assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA
    assert server.asked[-1] == f"bytes={len(arrived)}-"


def test_a_full_disk_keeps_what_fits(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open

    def small_disk(path: Any, mode: str = "r", *rest: Any) -> Any:
        if str(path).endswith(".part") and "a" in mode and os.path.getsize(path) > 200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, mode, *rest)

    monkeypatch.setattr("builtins.open", small_disk)
    with pytest.raises(OutputError, match=r"No space left on device\. What has arrived is kept"):
        download(server.url, tmp_path / "f", SHA256)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    assert (tmp_path / "f.part").stat().st_size > 200_000
    assert download(server.url, tmp_path / "f", SHA256).read_bytes() == DATA


def test_a_file_where_the_folder_should_be(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="Cannot make the folder"):
        download(server.url, tmp_path / "file" / "f", SHA256)
    assert server.asked == []


@pytest.mark.parametrize("url", ["ftp://host/f", "host/f", "", "javascript:1"])
def test_urls_of_other_kinds(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must begin with https://, http:// or file://; got"):
        download(url, tmp_path / "f", SHA256)


def test_urls_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'http://\[x' is no URL: "):
        download("http://[x", tmp_path / "f", SHA256)
    with pytest.raises(RunFailedError, match=r"could not be fetched .*null byte"):
        download("file:///a%00b", tmp_path / "f", SHA256)
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_taken(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingFileError, match="is a folder"):
        download(server.url, tmp_path / "folder", SHA256)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=r"Cannot write .*no permission"):
        download(server.url, tmp_path / "f", SHA256)
    assert (tmp_path / "f.part").read_bytes() == DATA


def test_a_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_bytes(DATA)
    (tmp_path / "f.part").write_bytes(DATA[:10])
    url = (tmp_path / "mirror").as_uri()
    assert download(url, tmp_path / "f", SHA256).read_bytes() == DATA
    with pytest.raises(RunFailedError, match="by hand and put it at"):
        download((tmp_path / "none").as_uri(), tmp_path / "g", SHA256)


# Data sets ---------------------------------------------------------------------------------------


def test_the_published_checksums() -> None:
    # Keras' and many others' constants for the archives of the official page.
    assert {name: facts.sha256 for name, facts in DOWNLOADS.items()} == {
        "cifar10": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "cifar100": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    }
    assert (CIFAR10.archive, CIFAR100.archive) == (
        "cifar-10-python.tar.gz",
        "cifar-100-python.tar.gz",
    )


def tar_of(entries: list[tuple[str, bytes | tarfile.TarInfo]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def good_entries() -> list[tuple[str, bytes | tarfile.TarInfo]]:
    return [(f"{CIFAR10.folder}/{name}", f"this is {name}".encode()) for name in CIFAR10.files]


@pytest.fixture
def offered(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], str]:
    """Offers an archive as CIFAR-10's."""

    def offer(archive: bytes) -> str:
        server.data = archive
        facts = replace(CIFAR10, sha256=hashlib.sha256(archive).hexdigest())
        monkeypatch.setitem(DOWNLOADS, "cifar10", facts)
        return server.url

    return offer


def test_a_data_set_is_fetched_once(
    offered: Callable[[bytes], str], server: Server, tmp_path: Path
) -> None:
    url = offered(tar_of([*good_entries(), (f"{CIFAR10.folder}/readme.html", b"not needed")]))
    shown = Shown()
    folder = get_dataset("cifar10", root=tmp_path, url=url, show=shown)
    assert folder == tmp_path / "cifar-10-batches-py"
    assert sorted(os.listdir(folder)) == sorted(CIFAR10.files)  # the expected files only
    assert (folder / "data_batch_3").read_bytes() == b"this is data_batch_3"
    assert sorted(os.listdir(tmp_path)) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    assert shown.opened[0][0] == "cifar-10-python.tar.gz"
    assert get_dataset("cifar10", root=tmp_path, url="http://127.0.0.1:1/none") == folder
    assert len(server.asked) == 1


def test_two_processes_do_not_fetch_the_same(
    offered: Callable[[bytes], str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = offered(tar_of(good_entries()))
    refusals = []

    def again() -> None:
        with pytest.raises(InputError, match=r"process is fetching cifar10 .*wait") as said:
            get_dataset("cifar10", root=tmp_path, url=url)
        refusals.append(str(said.value))

    class Meanwhile(Shown):
        def advance(self, amount: int, note: str = "") -> None:
            again()

    def copy(source: Any, target: Any) -> None:
        again()
        target.write(source.read())

    monkeypatch.setattr("shutil.copyfileobj", copy)
    folder = get_dataset("cifar10", root=tmp_path, url=url, show=Meanwhile())
    assert len(refusals) > len(CIFAR10.files)  # while it was fetched, and while it was unpacked
    assert str(tmp_path) in refusals[0]
    assert (folder / "test_batch").read_bytes() == b"this is test_batch"
    assert sorted(os.listdir(tmp_path)) == [CIFAR10.folder, CIFAR10.archive]
    assert len(server.asked) == 1


def test_what_another_process_has_fetched_since_is_used(
    offered: Callable[[bytes], str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = offered(tar_of(good_entries()))

    @contextmanager
    def late(*_: Any) -> Iterator[None]:
        monkeypatch.undo()
        monkeypatch.setenv("no_proxy", "*")
        offered(server.data)
        get_dataset("cifar10", root=tmp_path, url=url)
        yield

    monkeypatch.setattr("everyclass.data.download.holding_lock_file", late)
    assert get_dataset("cifar10", root=tmp_path, url=url).is_dir()
    assert len(server.asked) == 1


def test_the_official_url_and_the_cache_are_the_defaults(
    offered: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = offered(tar_of(good_entries()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def instead(official: str, path: Path, sha256: str, *, show: Any) -> Path:
        asked.append(official)
        return download(url, path, sha256, show=show)

    monkeypatch.setattr("everyclass.data.download.download", instead)
    assert get_dataset("cifar10") == tmp_path / "everyclass" / "cifar-10-batches-py"
    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"]


def test_what_was_fetched_is_found(
    small: Any,
    offered: Callable[[bytes], str],
    tmp_path: Path,
    python2_dump: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small.write_pickles(tmp_path / "source", python2_dump)
    facts = small.facts
    source = tmp_path / "source" / facts.folder
    entries = [(f"{facts.folder}/{name}", (source / name).read_bytes()) for name in facts.files]
    url = offered(tar_of(entries))
    sha256 = DOWNLOADS["cifar10"].sha256
    monkeypatch.setitem(DOWNLOADS, facts.name, replace(facts, sha256=sha256))
    get_dataset(facts.name, root=tmp_path / "data", url=url)
    dataset = load_cifar_lt(facts, imbalance_ratio=10.0, root=tmp_path / "data")
    assert dataset.train.index.tolist() == small.published_split(10.0).tolist()


def test_an_archive_put_there_by_hand_is_used(
    offered: Callable[[bytes], str], server: Server, tmp_path: Path
) -> None:
    archive = tar_of(good_entries())
    url = offered(archive)
    (tmp_path / CIFAR10.archive).write_bytes(archive)
    assert get_dataset("cifar10", root=tmp_path, url=url).is_dir()
    assert server.asked == []


def everything_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_archive_that_reaches_outside_unpacks_nothing_there(
    offered: Callable[[bytes], str], tmp_path: Path
) -> None:
    folder = CIFAR10.folder
    outside = tmp_path / "outside"
    outside.mkdir()
    evil: list[tuple[str, bytes | tarfile.TarInfo]] = [
        ("../outside/one", b"evil"),
        (f"{folder}/../../outside/two", b"evil"),
        (f"{outside}/three", b"evil"),
        (f"{folder}/data_batch_1", link("../../outside/four")),  # before the honest one
        (f"{folder}/batches.meta", link(f"{outside}/five", tarfile.LNKTYPE)),
        (f"{folder}/way", link(str(outside))),
        (f"{folder}/way/six", b"evil"),
        (f"{folder}/pipe", link("", tarfile.FIFOTYPE)),
        (f"./{folder}/data_batch_2", b"evil"),
        (f"{folder}//data_batch_2", b"evil"),
    ]
    url = offered(tar_of([*evil, *good_entries()]))
    root = tmp_path / "root"
    got = get_dataset("cifar10", root=root, url=url)
    assert everything_under(outside) == []
    assert everything_under(tmp_path) == sorted(
        ["outside", "root", f"root/{CIFAR10.archive}", f"root/{folder}"]
        + [f"root/{folder}/{name}" for name in CIFAR10.files]
    )
    for name in CIFAR10.files:
        assert not (got / name).is_symlink()
        assert (got / name).read_bytes() == f"this is {name}".encode()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, None])
def test_a_link_or_nothing_in_place_of_a_file(
    kind: bytes | None, offered: Callable[[bytes], str], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    entries = good_entries()
    name = entries[2][0]
    del entries[2]
    if kind is not None:
        entries.append((name, link("../../secret", kind)))
    url = offered(tar_of(entries))
    with pytest.raises(FileFormatError, match=f"has no plain file {re.escape(name)}"):
        get_dataset("cifar10", root=tmp_path / "root", url=url)
    assert os.listdir(tmp_path / "root") == [CIFAR10.archive]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"no archive",
        tar_of(good_entries())[:-60],
        tar_of(good_entries())[:80] + b"\xff" * 40,
        tar_of(good_entries())[:2] + b"\xff" * 100,
    ],
)
def test_an_archive_that_is_none(
    archive: bytes, offered: Callable[[bytes], str], tmp_path: Path
) -> None:
    url = offered(archive)
    with pytest.raises(FileFormatError, match=r"tar\.gz (is not a readable archive|has no plain)"):
        get_dataset("cifar10", root=tmp_path, url=url)
    assert os.listdir(tmp_path) == [CIFAR10.archive]


def test_an_unpacking_that_fails_leaves_nothing_half(
    offered: Callable[[bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    url = offered(tar_of(good_entries()))
    real = shutil.copyfileobj
    for failure, becomes in (
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):
        copied = []

        def copy(source: Any, target: Any, failure: Any = failure, copied: Any = copied) -> None:
            copied.append(target.name)
            real(source, target)
            if len(copied) == 3:
                raise failure

        monkeypatch.setattr(shutil, "copyfileobj", copy)
        with pytest.raises(becomes):
            get_dataset("cifar10", root=tmp_path, url=url)
        assert len(copied) == 3
        assert os.listdir(tmp_path) == [CIFAR10.archive]
    monkeypatch.setattr(shutil, "copyfileobj", real)
    assert sorted(os.listdir(get_dataset("cifar10", root=tmp_path, url=url))) == sorted(
        CIFAR10.files
    )


KILLED = """
import os, shutil, signal, sys
from dataclasses import replace
from everyclass.data import get_dataset
from everyclass.data.download import DOWNLOADS
real, copied = shutil.copyfileobj, []
def copy(source, target):
    copied.append(target)
    target.write(source.read(5))
    if len(copied) == 3:
        target.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
shutil.copyfileobj = copy
DOWNLOADS["cifar10"] = replace(DOWNLOADS["cifar10"], sha256=sys.argv[2])
get_dataset("cifar10", root=sys.argv[1], url="file:///none")
"""


def test_an_unpacking_that_is_killed_is_begun_again(
    offered: Callable[[bytes], str], tmp_path: Path
) -> None:
    archive = tar_of(good_entries())
    url = offered(archive)
    (tmp_path / CIFAR10.archive).write_bytes(archive)
    sha256 = DOWNLOADS["cifar10"].sha256
    run = [sys.executable, "-c", KILLED, str(tmp_path), sha256]
    ended = subprocess.run(run, capture_output=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / CIFAR10.folder).exists()
    assert len(os.listdir(tmp_path)) == 3  # the archive, what was unpacked so far, and the lock
    folder = get_dataset("cifar10", root=tmp_path, url=url)
    assert sorted(os.listdir(tmp_path)) == sorted([CIFAR10.archive, CIFAR10.folder])
    for name in CIFAR10.files:
        assert (folder / name).read_bytes() == f"this is {name}".encode()


def test_a_folder_that_lacks_something_is_left_alone(
    offered: Callable[[bytes], str], server: Server, tmp_path: Path
) -> None:
    url = offered(tar_of(good_entries()))
    (tmp_path / CIFAR10.folder).mkdir()
    for name in CIFAR10.files[:-2]:
        (tmp_path / CIFAR10.folder / name).write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"lacks test_batch, batches\.meta; remove it and"):
        get_dataset("cifar10", root=tmp_path, url=url)
    assert server.asked == []
    assert (tmp_path / CIFAR10.folder / "data_batch_1").read_bytes() == b"mine"


def test_a_data_set_that_is_not_offered() -> None:
    with pytest.raises(InputError, match="no data set 'mnist' to download; there are cifar10, cif"):
        get_dataset("mnist")
