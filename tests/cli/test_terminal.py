"""What came out of files cannot steer the terminal; seen where nothing strips it, in a terminal."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from everyclass import Predictions, cli
from everyclass.cli import main
from everyclass.cli.printing import harmless, print_json, say

RED = "\x1b[31m"
NAMES = (f"cat{RED}", "elk\x9b2J", "a\nb", "قطة")  # ESC, the same in one byte, a line, Arabic


class Terminal(io.StringIO):
    """A stream that says it is a terminal, so that click hands it everything as it is."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command in a terminal: what stands in it afterwards, both streams together."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments: Any, code: int = 0) -> str:
        stream = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        assert (ended.value.code or 0) == code, stream.getvalue()
        return stream.getvalue()

    return run


@pytest.fixture
def folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files whose classes, ids and own names would steer a terminal."""
    monkeypatch.chdir(files)
    generator = np.random.default_rng(0)
    labels = np.arange(4).repeat(10)
    for name in ("old", "new"):
        logits = 2 * np.eye(4)[labels] + generator.normal(size=(40, 4))
        ids = [f"{i}{RED}.png" for i in range(40)]
        np.savez(f"{name}{RED}.npz", labels=labels, logits=logits, class_names=NAMES, ids=ids)
    lines = "".join(f'"{NAMES[c]}",{i}\n' for i, c in enumerate(labels)) + f"rare{RED},40\n"
    Path("s.csv").write_text(f"labels,row\n{lines}", encoding="utf-8")
    for name in ("train", "test"):
        np.savez(f"{name}{RED}.npz", **np.load(f"{name}.npz"), class_names=NAMES)
    return files


OLD, NEW, RESULT = f"old{RED}.npz", f"new{RED}.npz", f"out{RED}"
COMMANDS = {
    "split": ("split", "s.csv", "--out", RESULT),
    "split as JSON": ("split", "s.csv", "--out", RESULT, "--json"),
    "evaluate": ("evaluate", OLD, "--all", "--github", "--fail-if", f"drop({NEW}) > 0.9"),
    "evaluate as JSON": ("evaluate", OLD, "--json"),
    "compare": ("compare", OLD, NEW, "--all"),
    "compare as JSON": ("compare", OLD, NEW, "--json"),
    "diagnose": ("diagnose", OLD),
    "adjust": ("adjust", OLD, NEW, "--out", f"{RESULT}.npz", "-q"),
    "report": ("report", OLD, NEW, "--out", f"{RESULT}.html", "--fail-if", f"drop({NEW}) > 0.9"),
    "methods copy": ("methods", "copy", "ce", f"{RESULT}.py"),
}


def assert_harmless(said: str) -> None:
    lines = said.split("\n")
    assert lines[-1] == ""
    for line in lines:
        assert line.replace("\u2068", "").replace("\u2069", "").isprintable(), line


def test_this_terminal_would_be_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    typer.echo(RED)
    assert stream.getvalue() == f"{RED}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_from_files_reaches_the_terminal_raw(
    command: str, folder: Path, terminal: Callable[..., str]
) -> None:
    said = terminal(*COMMANDS[command])
    assert_harmless(said)
    assert "[31m" in said  # it was there to be said
    if "JSON" in command:
        assert RED in json.dumps(json.loads(said), ensure_ascii=False).replace("\\u001b", "\x1b")


def test_a_rescue_keeps_its_own_colours(folder: Path, terminal: Callable[..., str]) -> None:
    source, test = f"train{RED}.npz", f"test{RED}.npz"
    said = terminal("rescue", source, "--head", "head.npz", "--test", test, "--out", RESULT, "-q")
    assert "\x1b[1m" in said  # the head of the table
    assert RED not in said
    assert_harmless(said.replace("\x1b[1m", "").replace("\x1b[0m", ""))
    assert "Report: out\\x1b[31m/report.html" in said
    assert_harmless(terminal("export", RESULT, f"head{RED}.safetensors", "--which", "old"))


def test_a_line_in_a_name_is_no_line(folder: Path, terminal: Callable[..., str]) -> None:
    said = terminal("split", "s.csv", "--out", "parts", "--test", "0.05")
    assert "a\\nb" in said
    assert f"rare{RED}" not in said
    assert "rare\\x1b[31m" in said


def test_commands_to_go_on_with_can_be_pasted(folder: Path, terminal: Callable[..., str]) -> None:
    said = terminal("methods", "copy", "ce", "my recipe.py")
    assert "everyclass pretrain 'my recipe.py' --data" in said
    out, source = Path("my rescue"), f"train{RED}.npz"
    said = terminal(
        "rescue", source, "--head", "head.npz", "--val", "val.npz", "--test", f"test{RED}.npz",
        "--out", out, "--penalty", "0.01", "-q",
    )  # fmt: skip
    (line,) = (line for line in said.splitlines() if line.startswith("Class by class:"))
    *_, first, second = shlex.split(line)
    assert first == str(out / "old.npz")
    assert Path(second).is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_stdout_that_is_full_is_said(options: tuple[str, ...], folder: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "everyclass", "evaluate", OLD, *options],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "Error: stdout cannot be written (No space left on device); free some space, or send it "
        "elsewhere.\n"
    )


# --- a terminal that knows fewer signs ------------------------------------------------------------


@pytest.fixture
def in_encoding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command with a strict stdout of an encoding, as PYTHONIOENCODING makes one."""

    def run(encoding: str, *arguments: Any) -> str:
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding=encoding, errors="strict")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        stream.flush()
        said = written.getvalue().decode(encoding)
        assert (ended.value.code or 0) == 0, said
        return said

    return run


@pytest.mark.parametrize("encoding", ["cp1252", "iso-8859-1"])
def test_a_sign_that_the_terminal_lacks_is_an_escape(
    encoding: str, tmp_path: Path, in_encoding: Callable[..., str]
) -> None:
    for name in ("old", "new"):
        Predictions([0, 0, 1], predicted=[0, 1, 1]).save(tmp_path / f"{name}.npz")
    said = in_encoding(encoding, "compare", tmp_path / "old.npz", tmp_path / "new.npz")
    assert "B \\u2212 A" in said


def test_so_it_is_in_tables_of_rich(files: Path, in_encoding: Callable[..., str]) -> None:
    said = in_encoding(
        "iso-8859-1", "rescue", files / "train.npz", "--head", files / "head.npz", "--val",
        files / "val.npz", "--test", files / "test.npz", "--out", files / "out",
        "--strategy", "auto", "--penalty", "0.01", "-q",
    )  # fmt: skip
    assert " \\u2190 " in said  # the arrow in rich's table
    assert "classes never predicted" in said


def test_json_is_json_in_every_encoding(tmp_path: Path, in_encoding: Callable[..., str]) -> None:
    names = ("é", "👩\u200d🔬→")
    Predictions([0, 0, 1], predicted=[0, 1, 1], class_names=names).save(tmp_path / "p.npz")
    for encoding in ("ascii", "cp1252", "utf-8"):
        said = json.loads(in_encoding(encoding, "evaluate", tmp_path / "p.npz", "--json"))
        assert tuple(said["class_names"]) == names


def test_say_keeps_lines_and_escapes_what_has_no_glyph(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert harmless("a\nb\x1b[2J\n\u202ec\r\x9b\t\udc80") == (
        "a\nb\\x1b[2J\n\\u202ec\\r\\x9b\\t\\udc80"
    )
    for text in ("± 5 %\n→ قطة \u2068قطة\u2069 👩\u200d🔬", ""):
        assert harmless(text) == text
    say("\x1bx")
    say("\x1by", err=True)
    assert capsys.readouterr() == ("\\x1bx\n", "\\x1by\n")


def test_json_is_harmless_and_the_same_when_read(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a\x9b": ["\x7f", "\u202e", "\U000e0041", "\udc80", "é 👩\u200d🔬", '"\\\x1b']}
    print_json(value)
    said = capsys.readouterr().out
    assert_harmless(said.replace("\u200d", ""))
    assert "é 👩\u200d🔬" in said
    assert json.loads(said) == value


def test_json_that_stdout_has_no_letters_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    stdout = io.TextIOWrapper(stream, encoding="ascii", newline="\n")
    monkeypatch.setattr(sys, "stdout", stdout)
    print_json({"é": "\x7f👩"})
    stdout.flush()
    said = stream.getvalue().decode("ascii")
    assert_harmless(said)
    assert json.loads(said) == {"é": "\x7f👩"}


def test_commands_print_by_say() -> None:
    for file in Path(cli.__file__).parent.glob("*.py"):
        if file.name != "printing.py":
            text = file.read_text(encoding="utf-8")
            assert "echo(" not in text, file
            assert text.count("print(") == {"__init__.py": 2, "rescue.py": 2}.get(file.name, 0), (
                file
            )
