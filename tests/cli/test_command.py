"""The command as a whole: fast help, exit codes, pipes, and no traceback for anybody."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

import everyclass.cli
from everyclass import __version__
from everyclass.cli.app import app

Command = Callable[..., Any]
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
HEAVY = ("torch", "sklearn", "scipy", "pyarrow", "altair", "safetensors")
COMMANDS = (
    (),
    ("demo",),
    ("rescue",),
    ("adjust",),
    ("evaluate",),
    ("export",),
    ("compare",),
    ("diagnose",),
    ("report",),
    ("extract",),
    ("plan",),
    ("split",),
    ("pretrain",),
    ("methods",),
    ("methods", "list"),
    ("data",),
    ("data", "get"),
    ("bench",),
    ("bench", "list"),
    ("bench", "show"),
    ("bench", "run"),
    ("methods", "show"),
    ("methods", "copy"),
    ("zoo",),
    ("zoo", "list"),
    ("zoo", "add"),
    ("zoo", "check"),
)

# One process for all: what any of them imported stays in sys.modules.
HELP = """
import sys
from everyclass.cli import main
for command in {commands}:
    try:
        main([*command, "--help"])
    except SystemExit as done:
        assert done.code in (0, None), command
print("heavy:", [name for name in {heavy} if name in sys.modules])
"""


def python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_every_help_imports_nothing_heavy() -> None:
    done = python(HELP.format(commands=COMMANDS, heavy=HEAVY))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert done.stdout.count("Usage: everyclass") == len(COMMANDS)


def test_help_is_tested_for_every_command() -> None:
    names = {command[0] for command in COMMANDS if command}
    registered = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert names == registered


@pytest.mark.parametrize("command", [c for c in COMMANDS if c and c[0] != "methods"])
def test_help_leads_with_what_it_is_for(command: tuple[str, ...], everyclass: Command) -> None:
    done = everyclass(*command, "-h")
    assert done.code == 0
    assert done.err == ""
    assert f"Usage: everyclass {' '.join(command)} " in done.out


@pytest.mark.parametrize("command", ["rescue", "evaluate", "compare", "plan", "split", "pretrain"])
def test_help_gives_an_example(command: str, everyclass: Command) -> None:
    assert f"Example: everyclass {command} " in " ".join(everyclass(command, "--help").out.split())


def test_no_help_is_taken_for_markup() -> None:
    def all_of(command: Any) -> Iterator[Any]:
        yield command
        for other in getattr(command, "commands", {}).values():
            yield from all_of(other)

    helps = [
        getattr(option, "help", None) or ""
        for command in all_of(typer.main.get_command(app))
        for option in command.params
    ]
    assert len(helps) > 100
    assert [text for text in helps if re.search(r"\[[a-z/]", text)] == []


def test_version(everyclass: Command) -> None:
    assert everyclass("--version").out == f"everyclass {__version__}\n"


def test_python_m_everyclass_and_the_installed_command() -> None:
    installed = Path(sys.executable).parent / "everyclass"
    for command in ([sys.executable, "-m", "everyclass"], [str(installed)]):
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"everyclass {__version__}\n")
    done = subprocess.run(
        [str(installed), "evaluate", "nothing.npz"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no predictions file at nothing.npz.\n"


@pytest.mark.parametrize("wrong", [("evaluate",), ("evaluate", "--no"), ("no",), ("demo", "x")])
def test_usage_errors(wrong: tuple[str, ...], everyclass: Command) -> None:
    done = everyclass(*wrong)
    assert done.code == 2
    assert done.out == ""
    assert "Error" in done.err
    assert "Traceback" not in done.err


def test_a_reader_that_leaves_early(tmp_path: Path) -> None:
    """`everyclass evaluate … --all | head -1` on far more than a pipe holds."""
    labels = np.arange(5000)
    np.savez(tmp_path / "p.npz", labels=labels, predicted=labels)
    command = [sys.executable, "-m", "everyclass", "evaluate", "p.npz", "--all"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    assert first.startswith("5,000 images, 5000 of 5000 classes scored;")
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert said == ""


# --- errors of our own ----------------------------------------------------------------------------


def fail_with(error: BaseException) -> Callable[..., None]:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    return failing


def test_debug_shows_the_traceback_and_the_same_sentence(
    everyclass: Command, tmp_path: Path
) -> None:
    plain = everyclass("evaluate", tmp_path / "nothing.npz")
    for arguments in (("--debug", "evaluate"), ("evaluate", "--debug")):
        done = everyclass(*arguments, tmp_path / "nothing.npz")
        assert done.code == 2
        assert done.err.startswith("Traceback (most recent call last)")
        assert done.err.endswith(plain.err)


def test_a_defect_says_that_it_is_one(everyclass: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everyclass.metrics.state_of_files", fail_with(ZeroDivisionError("x")))
    done = everyclass("evaluate", "p.npz")
    assert done.code == 1
    assert done.err == (
        "Error: ZeroDivisionError: x (a defect of everyclass; --debug shows where)\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
    ids=["python", "gpu", "cpu"],
)
def test_no_memory_is_no_defect(
    error: Exception, everyclass: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyclass.metrics.state_of_files", fail_with(error))
    everyclass("evaluate", "p.npz").refused("out of memory", "--batch-size", code=1)


def test_ctrl_c_while_modules_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "everyclass.cli.app", None)
    monkeypatch.setattr("builtins.__import__", importing_is_interrupted(__import__))
    with pytest.raises(SystemExit) as ended:
        everyclass.cli.main(["--version"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted; what was finished is kept.\n"


def importing_is_interrupted(real: Any) -> Any:
    def importing(name: str, *rest: Any, **options: Any) -> Any:
        if name == "everyclass.cli.app":
            raise KeyboardInterrupt
        return real(name, *rest, **options)

    return importing


# --- the smaller commands -------------------------------------------------------------------------


def test_methods_are_listed(everyclass: Command) -> None:
    done = everyclass("methods", "list")
    assert done.code == 0
    lines = done.out.splitlines()
    (ce,) = [line for line in lines if line.startswith("ce ")]
    assert "cross entropy" in ce
    assert "200 epochs" in ce
    (paco,) = [line for line in lines if line.startswith("paco ")]
    assert "400 epochs × 2 views" in paco
    (crt,) = [line for line in lines if line.startswith("crt ")]
    assert "ce + 30 epochs" in crt


def test_a_folder_of_results_that_is_not_there(
    everyclass: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in ((), ("--json",)):
        done = everyclass("methods", "list", "--results", "nowhere", *more)
        done.refused("There is no folder nowhere; --results names the one with results.")
        done = everyclass("methods", "list", *more)
        assert done.code == 0
        assert done.err.startswith("There is no folder benchmarks/results; --results names")
        assert done.err.count("\n") == 1
        assert "cross entropy" in done.out


@pytest.mark.parametrize(
    ("said", "meant"),
    [("3", [0, 1, 2]), ("0", [0]), ("1,2", [1, 2]), ("4-6", [4, 5, 6]), ("3-3", [3])],
)
def test_how_many_seeds_or_which(
    said: str, meant: list[int], everyclass: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(
        "everyclass.bench.run.run_table", lambda *_, seeds, **__: seen.append(seeds) or []
    )
    everyclass("bench", "run", "table8", "--methods", "ce-gml", "--seeds", said)
    assert seen == [meant]


def test_tables_are_listed(everyclass: Command) -> None:
    done = everyclass("bench", "list")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "beyond",
        "cifar10-ir10",
        "cifar10-ir100",
        "cifar10-ir50",
        "cifar100-ir10",
        "cifar100-ir50",
        "figure1",
        "figure2",
        "frontier",
        "precision",
        "table1",
        "table2",
        "table3",
        "table4",
        "table5",
        "table6",
        "table8",
        "table9",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "tabel8"), ("no table 'tabel8'", "did you mean 'table8'?")),
        (("show", "table8", "--format", "yaml"), ("text, markdown, latex or json", "'yaml'")),
        (("show", "figure1", "--format", "latex"), ("figure1 is a figure", "--out")),
        (("show", "table8", "--out", "t.svg"), ("table8 is no figure",)),
        (("show", "figure2", "--out", "f.svg"), ("no results to draw", "everyclass bench run")),
        (("show", "figure2", "--out", "f.gif"), (".svg, .png or .html",)),
        (("run", "table7"), ("no table 'table7'",)),
        (("run", "table8", "--methods", "paco"), ("table8 has no row 'paco'", "ce-gml")),
        (("run", "table8", "--seeds", "a"), ("--seeds is how many", "'a'")),
    ],
)
def test_bench_refuses_in_one_sentence(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    everyclass: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    everyclass("bench", *arguments).refused(*words)
    assert not list(tmp_path.iterdir())


def test_a_figure_is_not_replaced_unasked(
    everyclass: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyclass.bench.save_figure", lambda _, out, __: out.write_text("new"))
    out = tmp_path / "f.svg"
    show = ("bench", "show", "figure2", "--results", tmp_path, "--out", out)
    done = everyclass(*show)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"Figure: {out}"
    out.write_text("old")
    everyclass(*show).refused("f.svg is there already", "--overwrite")
    assert out.read_text() == "old"
    said = json.loads(everyclass(*show, "--overwrite", "--json").out)
    assert (set(said), said["out"], out.read_text()) == ({"rows", "out"}, str(out), "new")


def test_lists_as_json(everyclass: Command, tmp_path: Path) -> None:
    tables = json.loads(everyclass("bench", "list", "--json").out)["tables"]
    lines = everyclass("bench", "list").out.splitlines()
    assert [f"{each['name']:<13} {each['title']}" for each in tables] == lines
    listed = json.loads(everyclass("methods", "list", "--json", "--results", tmp_path).out)
    methods = {each["name"]: each for each in listed["methods"]}
    assert methods["paco"]["cost"] == "400 epochs × 2 views"
    assert methods["ce"]["gave"] is None  # there are no results
    with_results = everyclass("methods", "list", "--json", "--results", RESULTS).out
    gave = {each["name"]: each["gave"] for each in json.loads(with_results)["methods"]}
    assert 0.3 < gave["ce"]["accuracy"] < 0.5
    text = everyclass("methods", "list", "--results", RESULTS).out
    assert f"{gave['ce']['accuracy']:.1%}, {gave['ce']['lowest_recall']:.0%}" in text


def test_a_table_is_shown_as_json_either_way(everyclass: Command, tmp_path: Path) -> None:
    show = ("bench", "show", "table8", "--results", tmp_path)
    assert everyclass(*show, "--json").out == everyclass(*show, "--format", "json").out
    everyclass(*show, "--json", "--format", "latex").refused("two formats; leave one out")


def test_a_table_as_markdown_and_latex(everyclass: Command, tmp_path: Path) -> None:
    markdown = everyclass("bench", "show", "table6", "--format", "markdown", "--results", tmp_path)
    lines = [line for line in markdown.out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| CE | – | – | –<br>paper 21.03 |")
    latex = everyclass("bench", "show", "table6", "--format", "latex", "--results", tmp_path).out
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {13}
    assert r"\begin{tabular}" in latex
    assert "–" not in latex


def test_a_method_is_shown_and_copied(everyclass: Command, tmp_path: Path) -> None:
    shown = everyclass("methods", "show", "ldam-drw").out
    assert "Cao et al. 2019" in shown
    assert '"head": "cosine"' in shown
    assert "max_margin=0.5, scale=30.0" in shown
    other = everyclass("methods", "show", "mislas", "--data", "cifar10-lt").out
    assert "smooth_head=0.3, smooth_tail=0.0" in other
    everyclass("methods", "show", "ce", "--data", "nosuch").refused("no data set 'nosuch'")
    done = everyclass("methods", "copy", "ce", tmp_path / "mine.py")
    assert f"everyclass pretrain {tmp_path / 'mine.py'}" in done.out
    everyclass("methods", "copy", "ce", tmp_path / "mine.py").refused("--overwrite")
    said = json.loads(everyclass("methods", "show", "ldam-drw", "--json").out)
    assert (said["name"], said["recipe"]["head"]) == ("ldam-drw", "cosine")
    assert "Cao et al. 2019" in said["notes"]
    everyclass("methods", "show", "ldam-dwr").refused("did you mean 'ldam-drw'?")


def test_a_method_is_shown_with_the_loss_of_the_data(everyclass: Command) -> None:
    def shown(*arguments: Any) -> str:
        return str(everyclass("methods", "show", "ldam-drw", *arguments).out)

    for data, classes in {"cifar10-lt": 10, "digits-lt": 10, "imagenet-lt": 1000}.items():
        assert f"LDAMLoss(num_classes={classes}," in shown("--data", data)
    for unknown in ("inat2018", "list:train.txt"):
        said = shown("--data", unknown)
        assert '"head": "cosine"' in said
        assert "num_classes" not in said
    everyclass("methods", "show", "ce", "--data", "digits-lt", "--imbalance-ratio", 500).refused(
        "the largest ratio possible is 120"
    )


def test_a_damaged_result_is_named(everyclass: Command, tmp_path: Path) -> None:
    folder = tmp_path / "cifar100-lt-ir100"
    folder.mkdir()
    (folder / "ce-s0.npz").write_text("no result")
    done = everyclass("bench", "show", "table8", "--results", tmp_path)
    done.refused("ce-s0.npz", "not a readable .npz")
