"""Compiling kernels, keeping them, and what is said where that does not work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from everyclass.artifacts import cache_folder
from everyclass.errors import InputTypeError
from everyclass.nn import _kernels
from everyclass.nn._kernels import compiled_kernel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of kernels of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    compiled_kernel.cache_clear()
    return tmp_path / "everyclass" / "kernels"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    written = tmp_path / "one.c"
    written.write_text("int one(void) { return 1; }\n")
    return written


def gives_one(source: Path) -> bool:
    kernel = compiled_kernel(source)
    return kernel is not None and kernel.one() == 1


@pytest.mark.parametrize("command", ["cc", "cc -pipe", "env cc", "  env 'cc' -pipe "])
def test_the_compiler_may_come_with_options_or_behind_another_program(
    command: str, cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", command)
    assert gives_one(source)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("command", ["no-such-compiler", "no-such-compiler -pipe", "", "'cc"])
def test_without_a_compiler_there_is_no_kernel_and_nothing_to_say(
    command: str, cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", command)
    assert compiled_kernel(source) is None
    assert not cache.exists()


def test_a_compiler_that_fails_means_no_kernel_and_a_word_once(cache: Path, source: Path) -> None:
    source.write_text("this is no C\n")
    with pytest.warns(UserWarning, match=r"kernel one\.c is not used.*one\.c:1.*error"):
        assert compiled_kernel(source) is None
    assert compiled_kernel(source) is None
    assert not list(cache.parent.rglob("*.so"))


def test_a_kernel_is_compiled_once_for_all_processes(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gives_one(source)
    compiled_kernel.cache_clear()  # as in another process
    monkeypatch.setattr("everyclass.nn._kernels._compile", lambda *_: pytest.fail("once more"))
    assert gives_one(source)


@pytest.mark.parametrize("left", [0.0, 0.1, 0.5, 0.9])
def test_a_kernel_of_which_only_a_part_is_left_is_compiled_anew(
    left: float, cache: Path, source: Path
) -> None:
    assert gives_one(source)
    (library,) = cache.iterdir()
    whole = library.read_bytes()
    library.unlink()  # the loaded one stays as it is
    library.write_bytes(whole[: round(left * len(whole))])
    compiled_kernel.cache_clear()
    assert gives_one(source)
    assert [file.read_bytes() for file in cache.iterdir()] == [whole]


def test_a_cache_that_cannot_be_written_means_no_kernel_and_a_word(
    cache: Path, source: Path
) -> None:
    cache.parent.write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME"):
        assert compiled_kernel(source) is None


def test_without_a_home_kernels_are_kept_for_this_process(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    compiled_kernel.cache_clear()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert gives_one(source)
    assert cache_folder().is_relative_to(tempfile.gettempdir())


def test_a_library_is_on_disk_before_it_takes_its_name(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("flush"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), replace(*paths)))
    assert gives_one(source)
    assert done == ["flush", "name"]


def junk_beside(library: Path, junk: bytes) -> Path:
    """A library of the same name that is whole and cannot be loaded."""
    made = _kernels._place(library.stem.rpartition("-")[0], junk)
    made.write_bytes(junk)
    return made


def test_a_kept_kernel_that_cannot_be_loaded_is_compiled_once_more(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gives_one(source)
    (library,) = cache.iterdir()
    junk = junk_beside(library, b"whole, and no library")
    library.unlink()
    compiled_kernel.cache_clear()
    assert gives_one(source)
    assert {*cache.iterdir()} == {library, junk}
    monkeypatch.setattr(_kernels, "_compile", lambda *_: pytest.fail("once more"))
    compiled_kernel.cache_clear()
    assert gives_one(source)
    library.unlink()
    junk_beside(library, b"nor is this one")
    compiled_kernel.cache_clear()
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME another place to keep it"):
        assert compiled_kernel(source) is None


def test_in_a_cache_that_programs_may_not_run_from_nothing_is_compiled_again(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gives_one(source)
    (library,) = cache.iterdir()
    junk = junk_beside(library, b"whole, and no library")
    library.unlink()
    monkeypatch.setattr(_kernels, "_compile", lambda *_: pytest.fail("once more"))
    noexec = type("Said", (), {"f_flag": os.ST_NOEXEC})
    monkeypatch.setattr(os, "statvfs", lambda _: noexec)
    compiled_kernel.cache_clear()
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME another place to keep it"):
        assert compiled_kernel(source) is None
    assert [*cache.iterdir()] == [junk]


def test_a_kernel_is_kept_for_the_c_library_that_it_is_linked_to(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gives_one(source)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.17"))
    compiled_kernel.cache_clear()
    assert gives_one(source)
    assert len({file.stem.rpartition("-")[0] for file in cache.iterdir()}) == 2


def test_a_kernel_is_kept_for_the_openmp_runtime_that_it_is_linked_to(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gives_one(source)
    monkeypatch.setattr(_kernels, "_openmp", lambda: "-fopenmp")  # as of another torch
    compiled_kernel.cache_clear()
    assert gives_one(source)
    assert len({file.stem.rpartition("-")[0] for file in cache.iterdir()}) == 2


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
def test_a_tensor_without_memory_is_given_to_no_kernel() -> None:
    with FakeTensorMode():
        fake = torch.zeros(2, 3)
    with pytest.raises(InputTypeError, match=r"a FakeTensor of shape \(2, 3\) without memory"):
        _kernels._in_c(fake)
    _kernels._in_c(torch.zeros(0, 3))  # of which there is nothing to read
