"""`everyclass evaluate` on every format, on files in parts, with gates, and on hostile files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from scipy.special import softmax

from everyclass import ClassCounts, EvaluationState, evaluate
from everyclass.artifacts import save_safetensors

Command = Callable[..., Any]
LABELS = np.repeat([0, 1, 2], [8, 5, 3])
LOGITS = np.random.default_rng(0).normal(size=(16, 3)) + 2 * np.eye(3)[LABELS]
PROBS = softmax(LOGITS, axis=1)
PREDICTED = LOGITS.argmax(axis=1)
NAMES = ("cat", "dog", "lynx")
WANTED = evaluate(labels=LABELS, logits=LOGITS, class_names=NAMES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same predictions in every form, in the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    np.save("logits.npy", LOGITS)
    np.save("predicted.npy", PREDICTED)
    np.save("labels.npy", LABELS)
    np.savez("p.npz", labels=LABELS, logits=LOGITS)
    np.savez("unlabelled.npz", logits=LOGITS)
    save_safetensors("p.safetensors", {"labels": LABELS, "probs": PROBS}, {})
    words = pa.table({"labels": np.array(NAMES)[LABELS], "predicted": np.array(NAMES)[PREDICTED]})
    pa.csv.write_csv(words, "words.csv")
    lists = pa.array(LOGITS.tolist(), pa.list_(pa.float64()))
    pa.parquet.write_table(pa.table({"labels": LABELS, "logits": lists}), "lists.parquet")
    Path("names.txt").write_text("cat\r\ndog\r\nlynx\r\n")
    Path("names.json").write_text(json.dumps({"1": "dog", "0": "cat", "2": "lynx"}))
    Path("counts.json").write_text('{"lynx": 5, "cat": 500, "dog": 50}')
    Path("counts.csv").write_text("class,count\n0,500\n1,50\n2,5\n")
    np.savez("counts.npz", class_counts=[500, 50, 5])
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("logits.npy", "--scores", "logits", "--labels", "labels.npy"),
        ("predicted.npy", "--labels", "labels.npy"),
        ("unlabelled.npz", "--labels", "labels.npy"),
        ("p.safetensors",),
        ("words.csv",),
        ("lists.parquet",),
    ],
)
@pytest.mark.parametrize("names", ["names.txt", "names.json"])
def test_every_format(
    arguments: tuple[str, ...], names: str, folder: Path, everyclass: Command
) -> None:
    done = everyclass("evaluate", *arguments, "--class-names", names, "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert said["class_names"] == list(NAMES)
    assert said["per_class_recall"] == WANTED.per_class_recall.tolist()
    if "predicted" not in arguments[0] and "words" not in arguments[0]:
        assert said["brier_score"] == pytest.approx(WANTED.brier_score, rel=1e-9)


@pytest.mark.parametrize("counts", ["counts.csv", "counts.json", "counts.npz"])
def test_counts_in_every_format(counts: str, folder: Path, everyclass: Command) -> None:
    arguments = ("p.npz", "--class-names", "names.txt", "--counts", counts, "--json")
    if counts == "counts.csv":
        ClassCounts([500, 50, 5], NAMES).save("counts.csv")
    done = everyclass("evaluate", *arguments)
    assert done.code == 0, done.err
    assert json.loads(done.out)["class_counts"] == [500, 50, 5]


def assert_close(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, float):
            value = pytest.approx(value, rel=1e-12)
        assert got[name] == value, name


def test_parts_of_one_set_and_states_of_others(folder: Path, everyclass: Command) -> None:
    for part, rows in enumerate((slice(0, 8), slice(8, 16))):  # the first knows one class only
        np.savez(f"part-{part}.npz", labels=LABELS[rows], logits=LOGITS[rows])
    wanted = json.loads(everyclass("evaluate", "p.npz", "--json").out)
    both = everyclass("evaluate", "part-0.npz", "part-1.npz", "--json")
    assert_close(json.loads(both.out), wanted)
    assert everyclass("evaluate", "part-0.npz", "--state", "state.npz").code == 0
    assert EvaluationState.load("state.npz").num_samples == 8
    again = everyclass("evaluate", "part-1.npz", "state.npz", "--json")
    assert_close(json.loads(again.out), wanted)


def test_predictions_are_not_replaced_by_a_state(folder: Path, everyclass: Command) -> None:
    for path in ("p.npz", "names.txt"):
        before = Path(path).read_bytes()
        done = everyclass("evaluate", "p.npz", "--state", path)
        done.refused(f"{path} is there and is no saved evaluation state, so it is not replaced")
        assert Path(path).read_bytes() == before
    for _ in range(2):  # a state may take the place of a state
        assert everyclass("evaluate", "p.npz", "--state", "s.npz").code == 0


def test_large_files_show_progress(
    folder: Path, everyclass: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyclass.metrics.files._LARGE", 1)
    done = everyclass("evaluate", "p.npz")
    assert done.err.startswith("judging p.npz: 16/16 rows, ")
    assert everyclass("evaluate", "words.csv").code == 0
    assert everyclass("evaluate", "p.npz", "--quiet").err == ""


# --- gates ----------------------------------------------------------------------------------------

GOOD = "lowest_recall < 0.01"
BAD = "recall['cat'] < 0.99"
NAMED = ("p.npz", "--class-names", "names.txt")


def test_gates_are_all_printed_and_the_exit_code_is_one(folder: Path, everyclass: Command) -> None:
    done = everyclass("evaluate", *NAMED, "--fail-if", GOOD, "--fail-if", BAD)
    assert done.code == 1
    assert done.out.startswith(WANTED.table(most=20)[:40])
    lines = done.out.splitlines()
    start = lines.index("gates (fail if)")
    assert [line[:4] for line in lines[start + 1 :]] == ["pass", "FAIL"]
    assert done.err.startswith("Error: 1 of 2 gates failed: recall['cat'] < 0.99 is ")
    assert len(done.err.splitlines()) == 1
    done = everyclass("evaluate", *NAMED, "--fail-if", GOOD)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("pass  lowest_recall < 0.01  ")


def test_gates_in_json(folder: Path, everyclass: Command) -> None:
    done = everyclass("evaluate", *NAMED, "--json", "--fail-if", GOOD, "--fail-if", BAD, "--github")
    assert done.code == 1
    said = json.loads(done.out)
    assert [g["failed"] for g in said["gates"]] == [False, True]
    assert said["gates"][1]["fail_if"] == BAD
    assert said["gates"][1]["value"] == WANTED.per_class_recall[0]
    assert "::error title=everyclass gate failed::recall" in done.err
    assert "gates" not in json.loads(everyclass("evaluate", *NAMED, "--json").out)


def test_junit_and_github(folder: Path, everyclass: Command) -> None:
    arguments = ("--junit", "out/gates.xml", "--github", "--fail-if", GOOD, "--fail-if", BAD)
    done = everyclass("evaluate", *NAMED, *arguments)
    assert done.code == 1
    assert done.out.splitlines()[-2].startswith("::error title=everyclass gate failed::")
    assert done.out.splitlines()[-1] == "::notice title=everyclass::1 gate passed"
    suite = ElementTree.parse("out/gates.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_only_a_junit_report_is_replaced_by_one(folder: Path, everyclass: Command) -> None:
    Path("notes.xml").write_text("<notes/>")
    gates = ("--fail-if", GOOD, "--junit", "notes.xml")
    everyclass("evaluate", *NAMED, *gates).refused("notes.xml is there and is no JUnit")
    assert Path("notes.xml").read_text() == "<notes/>"


def test_what_cannot_be_judged_is_an_error_in_junit_and_on_github(
    folder: Path, everyclass: Command
) -> None:
    arguments = ("--junit", "x.xml", "--github", "--fail-if", GOOD)
    assert everyclass("evaluate", *NAMED, *arguments).code == 0
    Path("broken.csv").write_text("labels,predicted\ncat\n")
    done = everyclass("evaluate", "broken.csv", *arguments)
    assert done.code == 2
    assert done.out.startswith("::error title=everyclass cannot judge this::broken.csv")
    suite = ElementTree.parse("x.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    assert "broken.csv" in str(suite[0][0].get("message"))
    done = everyclass("evaluate", "p.npz", "--class-names", "gone.txt", *arguments)
    assert done.out.startswith("::error title=everyclass cannot judge this::There is no")
    suite = ElementTree.parse("x.xml").getroot()[0]
    assert "gone.txt" in str(suite[0][0].get("message"))
    done = everyclass("evaluate", "broken.csv", *arguments, "--json")
    assert done.code == 2
    assert done.out == ""


@pytest.mark.parametrize("gate", ["acuracy < 0.1", "drop(gone.npz) > 0.1"])
def test_a_gate_that_cannot_be_read_leaves_no_earlier_verdict(
    gate: str, folder: Path, everyclass: Command
) -> None:
    arguments = ("evaluate", "p.npz", "--junit", "x.xml", "--fail-if", GOOD)
    assert everyclass(*arguments).code == 0
    everyclass(*arguments, "--fail-if", gate).refused()
    suite = ElementTree.parse("x.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


def test_a_refusal_replaces_nothing_that_is_read(folder: Path, everyclass: Command) -> None:
    before = Path("words.csv").read_bytes()
    for fail_if in ("drop(words.csv) > 0.1", "acuracy < 0.1"), ("drop(words.csv) > 0.1",):
        gates = [option for text in fail_if for option in ("--fail-if", text)]
        done = everyclass("evaluate", "p.npz", *gates, "--junit", "words.csv")
        done.refused("words.csv is read and would be replaced")
    assert Path("words.csv").read_bytes() == before


def test_a_baseline_is_read_as_the_file_itself(folder: Path, everyclass: Command) -> None:
    better = np.eye(3)[LABELS]
    pa.csv.write_csv(pa.table({"y": LABELS, **dict(zip(NAMES, better.T, strict=True))}), "b.csv")
    pa.csv.write_csv(pa.table({"y": LABELS, **dict(zip(NAMES, PROBS.T, strict=True))}), "a.csv")
    options = ("--scores", "probs", "--labels-column", "y", "--class-names", "names.txt")
    done = everyclass("evaluate", "a.csv", *options, "--fail-if", "drop(b.csv) > 0.01")
    assert done.code == 1
    loss = 1 - WANTED.lowest_recall
    assert f"1 of 1 gate failed: drop(b.csv) > 0.01 is {loss:.4g} (" in done.err
    done = everyclass("evaluate", "b.csv", *options, "--fail-if", "drop(a.csv, accuracy) > 0")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fail-if", "lowest_recal < 0.1"), ("did you mean 'lowest_recall'?",)),
        (("--fail-if", "recall['linx'] < 0.1"), ("no class 'linx'; did you mean 'lynx'?",)),
        (("--fail-if", "drop(nothing.npz) > 0.1"), ("There is no baseline at nothing.npz",)),
        (("--fail-if", "drop(words.csv) > 0.1", "--class-names", "counts.json"), ("counts.json",)),
        (("--fail-if", "lower(f1[0]) < 0.1"), ("this evaluation has none",)),
        (("--fail-if", "__import__('os') < 0.1"), ("'__import__'", "is no number")),
        (("--junit", "x.xml"), ("--junit and --github report gates", "--fail-if")),
        (("--github",), ("give at least one --fail-if",)),
    ],
)
def test_gates_that_cannot_be_judged_are_bad_input(
    arguments: tuple[str, ...], words: tuple[str, ...], folder: Path, everyclass: Command
) -> None:
    everyclass("evaluate", *NAMED, *arguments).refused(*words)
    assert not Path("x.xml").exists()


def test_gates_are_read_before_the_files(folder: Path, everyclass: Command) -> None:
    everyclass("evaluate", "nothing.npz", "--fail-if", "lowest < 1").refused("is no number")


def test_junit_where_nothing_can_be_written(folder: Path, everyclass: Command) -> None:
    done = everyclass("evaluate", *NAMED, "--fail-if", GOOD, "--junit", "names.txt/x.xml")
    assert done.code == 1
    assert "Cannot write names.txt/x.xml" in done.err
    assert "gates (fail if)" in done.out  # what was judged is not lost


def test_judging_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom everyclass.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as done:\n    print(done.code, [m for m in ('torch', 'altair', "
        "'sklearn') if m in sys.modules])"
    )
    arguments = (*NAMED, "--fail-if", GOOD, "--junit", "x.xml", "--github", "--state", "s.npz")
    command = [sys.executable, "-c", code, "evaluate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


# --- bad input ------------------------------------------------------------------------------------


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was-run"),)


def bomb(path: str) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("labels.npy", "predicted.npy"):
            text = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
            text += b" " * (-(len(text) + 11) % 64) + b"\n"
            magic = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
            archive.writestr(name, magic + text + bytes(1 << 16))
    return path


def write(path: str, text: str | bytes) -> str:
    Path(path).write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def saved(path: str, *arguments: Any, **arrays: Any) -> str:
    if path.endswith(".npy"):
        np.save(path, arguments[0], allow_pickle=True)
    else:
        np.savez(path, **{"labels": LABELS, **arrays})
    return path


OBJECTS = np.array([Payload()] * 16, dtype=object)
Make = Callable[[], tuple[Any, ...]]
HOSTILE: dict[str, tuple[Make, tuple[str, ...]]] = {
    "columns are missing": (
        lambda: (write("b.csv", "a,b\n1,2\n"),),
        ("b.csv has no column 'labels'; it has a, b.", "--labels-column"),
    ),
    "NaN in a csv": (
        lambda: (write("b.csv", "labels,logit_0,logit_1\n0,1,2\n1,nan,2\n"),),
        ("b.csv: logits[1, 0] is nan",),
    ),
    "words for numbers": (
        lambda: (write("b.csv", "labels,logit_0,logit_1\n0,1,2\n1,high,2\n"),),
        ("b.csv: column 'logit_0' holds text where numbers are needed: row 1 is 'high'",),
    ),
    "mixed labels": (
        lambda: (write("b.csv", "labels,predicted\ncat,cat\ndog,1\n"),),
        ("b.csv: row 1 of 'predicted' is '1' and other rows hold names", "--class-names"),
    ),
    "an image twice": (
        lambda: (write("b.csv", "ids,labels,predicted\nx,0,0\ny,1,1\nx,1,1\n"),),
        ("b.csv: the id 'x' stands in rows 0 and 2",),
    ),
    "an image twice in an npz": (
        lambda: (saved("b.npz", predicted=PREDICTED, ids=np.arange(16) % 15),),
        ("b.npz: the id '0' stands in rows 0 and 15",),
    ),
    "a class that is none": (
        lambda: (
            write("b.csv", "labels,predicted\ncat,cat\ndog,<b>\n"),
            "--class-names",
            "names.txt",
        ),
        ("row 1 of 'predicted' is '<b>', which is no class; the classes are cat, dog, lynx",),
    ),
    "a bomb": (lambda: (bomb("b.npz"),), ("b.npz is damaged: 'labels.npy' claims 8,000,000,",)),
    "pickles in an npy": (
        lambda: (saved("b.npy", OBJECTS), "--labels", "labels.npy"),
        ("b.npy holds pickled Python objects in the array; they are never loaded",),
    ),
    "pickled labels": (
        lambda: ("predicted.npy", "--labels", saved("b.npy", OBJECTS)),
        ("b.npy holds pickled Python objects",),
    ),
    "pickles in an npz": (
        lambda: (saved("b.npz", predicted=PREDICTED, class_names=OBJECTS),),
        ("b.npz holds pickled Python objects in 'class_names.npy'",),
    ),
    "a safetensors header that lies": (
        lambda: (write("b.safetensors", (1 << 60).to_bytes(8, "little") + b"{}"),),
        ("b.safetensors is not a readable predictions file",),
    ),
    "a truncated parquet": (
        lambda: (write("b.parquet", Path("lists.parquet").read_bytes()[:-9]),),
        ("b.parquet is not a readable parquet file",),
    ),
    "an npy without --scores": (
        lambda: ("logits.npy", "--labels", "labels.npy"),
        ("logits.npy holds an array of shape (16, 3); say with scores (--scores) whether",),
    ),
    "an npy without labels": (
        lambda: ("logits.npy", "--scores", "logits"),
        ("logits.npy has no array 'labels'", "--labels"),
    ),
    "labels for two files": (
        lambda: ("predicted.npy", "logits.npy", "--labels", "labels.npy"),
        ("labels (--labels) goes with one file of predictions; got 2",),
    ),
    "parts of different things": (
        lambda: ("p.npz", "words.csv"),
        ("words.csv: These images come with predicted classes and those before with scores",),
    ),
    "parts with other names": (
        lambda: ("words.csv", write("b.csv", "labels,predicted\nowl,owl\nelk,owl\ncow,cow\n")),
        ("b.csv: These predictions call class 0 'cow' and those before 'cat'", "class_names"),
    ),
    "a million million classes": (
        lambda: (write("b.csv", "labels,predicted\n0,0\n1000000000000,0\n"),),
        ("b.csv: labels[1] is 1000000000000, outside 0..9999999",),
    ),
    "a damaged state": (
        lambda: (saved("b.npz", evaluation_state=np.array(1)),),
        ("b.npz is a damaged saved evaluation state",),
    ),
    "another kind of file": (
        lambda: (write("b.pkl", b"cos\nsystem\n(S'touch was-run'\ntR."),),
        ("b.pkl ends in '.pkl'; predictions are read from .npz, .npy, .safetensors, .csv, .parq",),
    ),
    "names twice": (
        lambda: ("p.npz", "--class-names", write("b.txt", "cat\ndog\ncat\n")),
        ("b.txt: The class name 'cat' stands twice",),
    ),
    "too few names": (
        lambda: ("p.npz", "--class-names", write("b.txt", "cat\ndog\n")),
        ("p.npz: ", "2 class names and 3 classes"),
    ),
    "an empty name": (
        lambda: ("p.npz", "--class-names", write("b.txt", "cat\n\ndog\n")),
        ("b.txt: the name of class 1 is empty",),
    ),
    "names of another encoding": (
        lambda: ("p.npz", "--class-names", write("b.txt", "käse\nbrot\n".encode("latin1"))),
        ("b.txt is no UTF-8 text",),
    ),
    "a name that is no text": (
        lambda: ("p.npz", "--class-names", write("b.json", '["cat", "\\ud83d", "dog"]')),
        ("b.json: The class name '\\ud83d' is no text",),
    ),
    "names that are numbers": (
        lambda: ("p.npz", "--class-names", write("b.json", "[1, 2, 3]")),
        ("b.json must hold a list of names",),
    ),
    "names with a gap": (
        lambda: ("p.npz", "--class-names", write("b.json", '{"0": "a", "2": "b"}')),
        ("b.json has no name of class 1; it has 0, 2",),
    ),
    "counts twice": (
        lambda: ("p.npz", "--counts", write("b.json", '{"0": 5, "1": 5, "0": 7}')),
        ("b.json names a class twice",),
    ),
    "counts that are none": (
        lambda: ("p.npz", "--counts", write("b.json", '{"0": 5, "1": "many", "2": 3}')),
        ("b.json: the count of class '1' is '\"many\"'; it must be a whole number",),
    ),
    "counts that are true": (
        lambda: ("p.npz", "--counts", write("b.json", "[5, true, 3]")),
        ("b.json: the count of class 1 is 'true'",),
    ),
    "counts that are infinite": (
        lambda: ("p.npz", "--counts", write("b.json", "[5, 1e999, 3]")),
        ("b.json: class_counts must be whole numbers",),
    ),
    "counts too deep": (
        lambda: ("p.npz", "--counts", write("b.json", "[" * 100_000)),
        ("b.json is not a readable class-counts file",),
    ),
    "counts without an array": (
        lambda: ("p.npz", "--counts", "p.npz"),
        ("p.npz has no array 'class_counts'; it has labels, logits",),
    ),
    "counts whose names stand twice": (
        lambda: ("p.npz", "--counts", saved("c.npz", counts=[5, 5, 3], class_names=[*"aab"])),
        ("c.npz has 3 class names, 2 of them different", "one name and one count"),
    ),
    "counts with too few names": (
        lambda: ("p.npz", "--counts", saved("c.npz", counts=[5, 5, 3], class_names=[*"ab"])),
        ("c.npz has 2 class names",),
    ),
    "a single count": (
        lambda: ("p.npz", "--counts", saved("c.npz", counts=5, class_names=["a"])),
        ("counts of shape ()",),
    ),
    "a name that steers the terminal": (
        lambda: (write("b.csv", "labels,predicted\n0,0\n1,\x1b[2J\n"),),
        ("b.csv: labels are numbers and predicted classes are names",),
    ),
    "a file name that does": (lambda: ("\x1b[2J.npz",), ("at \\x1b[2J.npz.",)),
    "a column of 10,000 signs": (
        lambda: (write("b.csv", "x" * 10_000 + "\n1\n"),),
        ("it has xxx", "…. Name the column"),
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(
    case: str, folder: Path, everyclass: Command
) -> None:
    make, words = HOSTILE[case]
    arguments = make()
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = everyclass("evaluate", *arguments, "--state", "out.npz")
    done.refused(*words)
    assert len(done.err) < 700
    assert "\x1b" not in done.err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before  # nothing run, nothing lost


NAMES_FROM_HELL = ("<img src=x onerror=alert(1)>", "قطة", "👩\u200d🔬", "x" * 10_000, "a\x1b[2J\nb",
                   "\u202eabc")  # fmt: skip


def test_class_names_from_anybody(folder: Path, everyclass: Command) -> None:
    labels = np.arange(6).repeat(2)
    columns = {"labels": np.array(NAMES_FROM_HELL)[labels], "predicted": [NAMES_FROM_HELL[0]] * 12}
    pa.parquet.write_table(pa.table(columns), "p.parquet")
    done = everyclass(
        "evaluate", "p.parquet", "--all", "--fail-if", "recall['<img onerror=alert(1)>'] < 1"
    )
    done.refused("no class '<img onerror=alert(1)>'; did you mean '<img src=x onerror=alert(1)>'?")
    done = everyclass("evaluate", "p.parquet", "--all")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert max(map(len, done.out.splitlines())) < 400
    assert len(done.out.splitlines()) == 9 + 6
    said = json.loads(everyclass("evaluate", "p.parquet", "--json").out)
    assert said["class_names"] == sorted(NAMES_FROM_HELL)  # whole and as they are, for machines


def test_columns_beside_the_classes_are_no_classes(folder: Path, everyclass: Command) -> None:
    scores = dict(zip(NAMES, LOGITS.T, strict=True))
    said = {"id": np.arange(16) * 1000, "labels": np.array(NAMES)[LABELS], **scores}
    pa.csv.write_csv(pa.table(said), "ids.csv")
    done = everyclass("evaluate", "ids.csv", "--scores", "logits", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["accuracy"] == WANTED.accuracy
    pa.csv.write_csv(pa.table({**said, "confidence": PROBS.max(axis=1)}), "more.csv")
    done = everyclass("evaluate", "more.csv", "--scores", "logits")
    done.refused("more.csv: the column 'confidence' is no class", "(--class-names)")
    done = everyclass(
        "evaluate", "more.csv", "--scores", "logits", "--class-names", "names.txt", "--json"
    )
    assert json.loads(done.out)["accuracy"] == WANTED.accuracy
