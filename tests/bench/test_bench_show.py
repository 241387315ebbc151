"""Ours beside the paper's: every number from stored labels and predicted labels, without torch."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from stored_results import RESULTS, a_run, certificate_of, labels_of

from everyclass import ClassCounts
from everyclass.bench import (
    Result,
    figure_chart,
    figure_text,
    filling_commands,
    load_results,
    load_table,
    save_figure,
    table_names,
    table_rows,
    table_text,
)
from everyclass.bench.fitting import DECIDED_ON, USUAL_DATA, USUAL_RETRAINING
from everyclass.bench.recipes import config_differences, config_of
from everyclass.bench.results import result_path
from everyclass.bench.tables import data_name
from everyclass.data import DataConfig, load_dataset
from everyclass.errors import FileFormatError, InputError

NUMBERS = ("accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")


def store(results: Path, table: str, result: str, seed: int, **changes: Any) -> Result:
    """Write a run of a row, as ``bench run`` does; some of it changed."""
    chosen = load_table(table)
    labels = labels_of(chosen.data["name"])
    classes = int(labels.max()) + 1
    generator = np.random.default_rng([seed, len(result)])
    predicted = np.where(generator.random(len(labels)) < 0.6, labels, (labels + 1) % classes)
    if changes.pop("zero", False):  # class 0 is never right
        predicted[labels == 0] = 1
    rows = [row for row in chosen.rows if row.result == result]
    certificate = certificate_of(chosen, rows[0], seed) if rows else {"result": result}
    for part in ("config", "rescue"):
        changed = changes.pop(part, {})
        if changed:
            said = certificate["run"] if part == "config" else certificate
            said[part] = {**said[part], **changed}
    certificate |= changes.pop("certificate", {})
    counts = np.geomspace(500, 5, classes).astype(int)
    values = {"labels": labels, "predicted": predicted, "class_counts": ClassCounts(counts)}
    made = Result(**{**values, "certificate": certificate, **changes})
    made.save(result_path(results, chosen.data, result, seed))
    return made


def slow_numbers(result: Result) -> dict[str, float]:
    """The four numbers of one run, from their definitions (eqs. 4 to 6)."""
    recall = []
    for c in sorted(set(result.labels.tolist())):
        rows = result.labels == c
        recall.append(float((result.predicted[rows] == c).sum()) / float(rows.sum()))
    floored = [max(r, 1e-3) for r in recall]
    return {
        "accuracy": float((result.labels == result.predicted).mean()),
        "geometric_mean": float(np.exp(np.mean(np.log(floored)))),
        "harmonic_mean": len(recall) / sum(1 / r for r in floored),
        "lowest_recall": min(recall),
    }


# --- the tables themselves ------------------------------------------------------------------------


def test_table_8_is_the_papers() -> None:
    table = load_table("table8")
    of_paper = {row.method: row.paper for row in table.rows if row.paper}
    assert of_paper["CE + GML"] == {
        "accuracy": 0.4106,
        "geometric_mean": 0.3659,
        "harmonic_mean": 0.3126,
        "lowest_recall": 0.06,
    }
    methods = [row.method for row in table.rows]
    for method in (
        "CE + GML",
        "CE + GML (w/o re-weighting)",
        "CE + GML (w/o re-weighting, re-sampling)",
    ):
        assert methods.count(method) == 1
    assert table.data == {"name": "cifar100-lt", "imbalance_ratio": 100.0}


@pytest.mark.parametrize("name", table_names())
def test_every_table_is_sound(name: str) -> None:
    from everyclass import DataConfig, get_method
    from everyclass.data import DATASETS, PUBLISHED
    from everyclass.stages import Retraining

    table = load_table(name)
    assert table.name == name
    assert len({row.method for row in table.rows}) == len(table.rows)
    assert len({row.result for row in table.rows}) == len(table.rows)
    if table.statistics:  # its rows are data sets
        assert {row.result for row in table.rows} <= {*DATASETS, *PUBLISHED} | {
            "cifar10",
            "cifar100",
        }
        return
    assert DataConfig(**table.data).name in {*DATASETS, *PUBLISHED}
    for row in table.rows:
        if row.pretraining is None:  # a strong backbone without a recipe yet
            assert row.result.split("-")[0] in {"dive", "ride", "paco"}
            continue
        get_method(row.pretraining)
        assert set(row.paper) <= set(NUMBERS)
        assert all(0 <= value <= 1 for value in row.paper.values())
        if row.retraining is not None:
            Retraining(**row.retraining)
        else:
            assert not row.ensemble


def test_an_unknown_table_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no table 'tabel8'; .*did you mean 'table8'\?"):
        load_table("tabel8")


# --- rows -----------------------------------------------------------------------------------------


def test_means_are_those_of_the_stored_predictions(tmp_path: Path) -> None:
    stored = [store(tmp_path, "table8", "ce-gml", seed) for seed in (0, 1, 7)]
    store(tmp_path, "table8", "ce", 0, zero=True)
    rows = {row["method"]: row for row in table_rows(load_table("table8"), tmp_path)}
    ours = rows["CE + GML"]
    assert ours["n"] == 3
    for name in NUMBERS:
        expected = np.mean([slow_numbers(result)[name] for result in stored])
        assert ours[name] == pytest.approx(expected, rel=1e-12)
        assert type(ours[name]) is float
    assert rows["CE"]["lowest_recall"] == 0.0  # and not the floor
    assert rows["CE"]["zeros_replaced"] == 1
    assert rows["CE"]["paper"]["harmonic_mean"] == 0.0205


def test_rows_of_similar_names_are_not_mixed(tmp_path: Path) -> None:
    """``ce`` begins ``ce-gml`` and ``ce-s0`` another; a seed may have more than one digit."""
    store(tmp_path, "table8", "ce-gml", 0)
    store(tmp_path, "table8", "ce-s0ftmax", 0)
    store(tmp_path, "table8", "ce-gml", 10)
    store(tmp_path, "table8", "ce-gml-no-reweighting", 0)
    counts = {row["method"]: row["n"] for row in table_rows(load_table("table8"), tmp_path)}
    assert counts["CE"] == 0
    assert counts["CE + GML"] == 2
    assert counts["CE + GML (w/o re-weighting)"] == 1


@pytest.mark.parametrize("name", [n for n in table_names() if not load_table(n).statistics])
def test_without_results_every_row_is_there_and_empty(name: str, tmp_path: Path) -> None:
    table = load_table(name)
    for folder in (tmp_path, tmp_path / "missing"):
        rows = table_rows(table, folder)
        assert [row["method"] for row in rows] == [row.method for row in table.rows]
        for row in rows:
            assert row["n"] == 0
            assert [row[number] for number in NUMBERS] == [None] * 4
            assert set(row["paper"]) == set(NUMBERS)
        if table.figure:
            assert "No results yet" in figure_text(table, rows, folder)
        else:
            assert "–" in table_text(table, rows)
    assert not (tmp_path / "missing").exists()


def test_lines_are_as_long_as_there_is_room(tmp_path: Path) -> None:
    store(tmp_path, "table3", "ce", 0)
    table = load_table("table3")
    rows = table_rows(table, tmp_path)
    whole = table_text(table, rows)
    assert max(map(len, whole.splitlines())) > 100
    for width, tables in ((400, 1), (100, 2), (79, 4), (20, 4)):
        text = table_text(table, rows, width=width)
        assert text.count("CE + GML ") == tables
        if width >= 79:  # less is as narrow as a number with its method can be
            assert max(map(len, text.splitlines())) <= width
        assert {*text.replace("─", "").split()} == {*whole.replace("─", "").split()}  # nothing lost


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_where_the_paper_has_none_of_the_rows_ours_stand_alone(
    style: Literal["text", "markdown", "latex"], tmp_path: Path
) -> None:
    store(tmp_path, "table3", "lade-gml", 0)
    table = load_table("table3")
    rows = table_rows(table, tmp_path)
    ours = [row for row in rows if row["method"] in ("LADE + GML", "LADE + GML (Ensemble)")]
    alone = table_text(table, ours, style, empty=True)
    beside = table_text(table, rows, style)
    assert ("paper" in alone, "paper" in beside) == (False, True)
    if style != "text":
        between = " | " if style == "markdown" else " & "
        counts = [len(line.split(between)) for line in alone.splitlines() if "LADE + GML" in line]
        assert counts == [6, 6]
    (row,) = (row for row in ours if row["n"])
    for text in (alone, beside):
        (line,) = (line for line in text.splitlines() if re.match(r"\|? ?LADE \+ GML +\D*1 ", line))
        assert all(f"{100 * row[name]:.2f}" in line for name in NUMBERS)


def test_in_markdown_the_paper_stands_under_ours(tmp_path: Path) -> None:
    store(tmp_path, "table3", "ce", 0)
    table = load_table("table3")
    rows = table_rows(table, tmp_path)
    text = table_text(table, rows, "markdown")
    assert "|  | n | accuracy | G-mean | H-mean | lowest |" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| CE |"))
    name, runs, *cells = line.strip("| ").split(" | ")
    assert (name, runs) == ("CE", "1")
    for cell, number in zip(cells, NUMBERS, strict=True):
        ours, paper = (100 * row[number] for row in (rows[0], rows[0]["paper"]))
        assert cell.startswith(f"{ours:.2f}")
        assert cell.endswith(f"]<br>paper {paper:.2f} ({ours - paper:+.2f})")
    (line,) = (line for line in text.splitlines() if line.startswith("| PaCo |"))
    assert line.startswith("| PaCo | – | –<br>paper 51.24 | ")


def test_own_rows_without_results_are_counted_and_shown_when_asked(tmp_path: Path) -> None:
    store(tmp_path, "table3", "lade-gml", 0)
    table = load_table("table3")
    rows = table_rows(table, tmp_path)
    short, whole = table_text(table, rows), table_text(table, rows, empty=True)
    assert "LADE + GML " in short
    assert "PaCo " in short  # one of the paper's
    assert "BSCE + GML " not in short
    assert "BSCE + GML " in whole
    left_out = sum(row.extra for row in table.rows) - 1
    assert f"{left_out} more rows of ours have no results yet (--all)" in short
    assert "--all" not in whole
    some, every = filling_commands(table, rows), filling_commands(table, rows, empty=True)
    assert "everyclass bench run table3 --methods paco,paco-gml,paco-gml-ensemble" in some
    assert "everyclass bench run table3 --methods ride-6,ride-6-gml,ride-6-gml-ensemble" in set(
        every
    ) - set(some)


def test_what_is_shown_empty_has_a_command(tmp_path: Path) -> None:
    for name in table_names():
        table = load_table(name)
        if table.figure or table.statistics:
            continue
        rows = table_rows(table, tmp_path)
        named = {c for line in filling_commands(table, rows) for c in line.split()[-1].split(",")}
        text = table_text(table, rows)
        for row in table.rows:
            if row.paper:
                assert f"{row.method} " in text
            if f" {row.method}  " in text and row.pretraining is not None:
                assert row.result in named


@pytest.mark.parametrize("name", [n for n in table_names() if not load_table(n).statistics])
def test_folders_are_called_as_those_of_runs(name: str) -> None:
    for data in (load_table(name).data, {**load_table(name).data, "profile": "step"}):
        if "imbalance_ratio" in data or "profile" not in data:
            assert data_name(data) == DataConfig(**data).folder_name


def test_text_says_what_was_replaced(tmp_path: Path) -> None:
    store(tmp_path, "table8", "ce-gml", 0)
    table = load_table("table8")
    assert "*" not in table_text(table, table_rows(table, tmp_path))
    store(tmp_path, "table8", "ce", 0, zero=True)
    rows = table_rows(table, tmp_path)
    lines = {line.strip().split("  ")[0]: line for line in table_text(table, rows).splitlines()}
    ce = rows[0]
    assert f"{100 * ce['harmonic_mean']:.2f}*" in lines["CE"]
    assert f"{100 * ce['accuracy']:.2f} " in lines["CE"]
    assert "2.05" in lines["CE"]  # the paper's harmonic mean
    assert "*" not in lines["CE + GML"]
    assert "* recalls below 0.001 count as 0.001" in table_text(table, rows)


# --- what is refused ------------------------------------------------------------------------------


AGAIN = "; move it away and make it again: everyclass bench run table. --methods [a-z-]+"


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ({"data": {"name": "cifar100-lt", "imbalance_ratio": 10.0}}, "is of other data"),
        ({"data": {"name": "digits-lt", "imbalance_ratio": 100.0}}, "is of other data"),
        ({"data": None}, "is of other data"),
        ({"result": "ce"}, "says it is 'ce'"),
        ({"split_fingerprint": "0" * 64}, "is of another split"),
        ({"split_fingerprint": None}, "is of another split"),
        ({"definition": {"pretraining": "bsce"}}, "was made otherwise"),
        ({"definition": None}, "was made otherwise"),
        ({"seed": "one"}, "is of seed one, and not of 1"),
        ({"seed": 0}, "is of seed 0, and not of 1"),
        ({"run": None}, "does not say how its network was trained"),
    ],
)
def test_a_result_of_something_else_is_refused(
    certificate: dict[str, Any], said: str, tmp_path: Path
) -> None:
    store(tmp_path, "table8", "ce-gml", 0)
    store(tmp_path, "table8", "ce-gml", 1, certificate=certificate)
    with pytest.raises(InputError, match=f"ce-gml-s1.npz {said}.*{AGAIN} --seeds 1-1$"):
        table_rows(load_table("table8"), tmp_path)


CE = config_of("ce", "cifar100-lt-ir100") or {}
RECIPE = CE["recipe"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"seed": 7}, "is of seed 7, and not of 1"),
        ({"data": {"name": "cifar100-lt", "imbalance_ratio": 10.0}}, "a network that was trained"),
        ({"data": {**load_table("table8").data, "val": "rest"}}, "a network that was trained"),
        ({"data": {**load_table("table8").data, "bad_images": "skip"}}, "network that was trained"),
        ({"data": None}, "a network that was trained"),
        ({"method": "bsce"}, "method bsce, and not ce"),
        ({"method": None}, "method None, and not ce"),
        ({"backbone": "resnet32-wide"}, "backbone resnet32-wide, and not resnet32"),
        ({"recipe": {**RECIPE, "weight_decay": 9.0}}, "weight_decay: 9.0 there, 0.0002 in the"),
        ({"recipe": {**RECIPE, "loss": "FocalLoss()"}}, "loss: FocalLoss"),
        ({"recipe": {**RECIPE, "more": 1}}, "more: 1 there, None"),
        ({"recipe": None}, "does not say by which recipe"),
        ({"start": CE}, "it rests on 1 runs, and not on 0"),
    ],
)
def test_a_network_trained_otherwise_is_refused(
    config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    store(tmp_path, "table8", "ce-gml", 1, config=config)
    with pytest.raises(InputError, match=f"{said}.*{AGAIN}"):
        table_rows(load_table("table8"), tmp_path)


def test_a_network_in_another_precision_is_refused(tmp_path: Path) -> None:
    table = load_table("precision")
    store(tmp_path, "precision", "ce-fp32", 0, config={"precision": "fp32"})
    assert table_rows(table, tmp_path)[1]["n"] == 1
    store(tmp_path, "precision", "ce-fp32", 0)
    with pytest.raises(InputError, match="a network trained in bf16, and not in fp32"):
        table_rows(table, tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 7}, "seed 7, and not 0"),
        ({"method": "bsce"}, "method bsce, and not "),
        ({"backbone": "resnet50"}, "backbone resnet50, and not resnet32"),
        ({"data": {"name": "digits-lt"}}, "data {'name': 'digits-lt'}, and not"),
        ({"recipe": None}, "it does not say by which recipe"),
        (None, "it does not say how it was trained"),
    ],
)
@pytest.mark.parametrize(
    ("result", "beneath"),
    [
        ("mislas", ["start"]),
        ("distilled", ["teachers", 2]),
        ("distilled", ["teachers", 2, "start"]),
    ],
)
def test_what_a_network_rests_on_is_that_of_its_row(
    result: str, beneath: list[Any], changed: dict[str, Any] | None, said: str, tmp_path: Path
) -> None:
    table = load_table("frontier")
    (row,) = [row for row in table.rows if row.result == result]
    config = certificate_of(table, row)["run"]["config"]
    place = config
    for step in beneath[:-1]:
        place = place[step]
    name = place[beneath[-1]]["method"]
    place[beneath[-1]] = changed and {**place[beneath[-1]], **changed}
    store(tmp_path, "frontier", result, 0)
    assert table_rows(table, tmp_path)
    store(tmp_path, "frontier", result, 0, config=config)
    lost = changed is None and beneath[-1] == "start"
    expected = "it rests on 0 runs, and not on 1" if lost else f"{name} beneath it: {said}"
    with pytest.raises(InputError, match=f"{result}-s0.npz has another network.*{expected}"):
        table_rows(table, tmp_path)


@pytest.mark.parametrize(
    ("rescue", "said"),
    [
        ({"retraining": None}, "does not say how its head was retrained"),
        ({"strategy": "auto"}, "strategy: auto there, gml asked for"),
        ({"decided_on": DECIDED_ON["rest"]}, "decided_on: validation data there"),
        ({"seed": 2}, "seed: 2 there, 1 asked for"),
        ({"retraining": {"objective": "balanced_softmax"}}, "objective: balanced_softmax there"),
        ({"retraining": {"objective": "gml", "reweight": False}}, "reweight: False there, True"),
        ({"retraining": {"objective": "gml", "resample": True}}, "resample: True there, False"),
        ({"retraining": {"objective": "gml", "solver": "running"}}, "solver: running there, exact"),
    ],
)
def test_a_head_retrained_otherwise_is_refused(
    rescue: dict[str, Any], said: str, tmp_path: Path
) -> None:
    store(tmp_path, "table8", "ce-gml", 1, rescue=rescue)
    with pytest.raises(InputError, match=f"ce-gml-s1.npz .*{said}.*{AGAIN}"):
        table_rows(load_table("table8"), tmp_path)


def test_a_row_has_a_rescue_where_it_is_retrained(tmp_path: Path) -> None:
    table = load_table("table8")
    store(tmp_path, "table8", "ce-gml", 1, certificate={"rescue": None})
    with pytest.raises(InputError, match="does not say how its head was retrained"):
        table_rows(table, tmp_path)
    store(tmp_path, "table8", "ce", 1, certificate={"rescue": {"strategy": "gml"}})
    with pytest.raises(InputError, match=r"ce-s1\.npz has a retrained head"):
        table_rows(table, tmp_path)


def test_a_penalty_that_is_set_and_a_methods_own_settings_hold(tmp_path: Path) -> None:
    table = load_table("table8")
    rows = tuple(
        replace(row, retraining={"objective": "gml", "penalty": 0.02})
        for row in table.rows
        if row.result == "ce-gml"
    )
    made = store(tmp_path, "table8", "ce-gml", 0)
    certificate = {**made.certificate, "definition": rows[0].definition}
    store(tmp_path, "table8", "ce-gml", 0, certificate=certificate)
    with pytest.raises(InputError, match=r"penalty: 0\.01 there, 0\.02 asked for"):
        table_rows(replace(table, rows=rows), tmp_path)

    other = tmp_path / "other"
    settings = {"objective": "gml_and_smoothing", "gml_weight": 10.0, "penalty": 0.01}
    for smoothing in ([0.4, 0.1], [0.3, 0.0]):
        told = {"retraining": {**settings, "smoothing": smoothing}}
        store(other, "table6", "mislas-gml", 0, rescue=told)
        if smoothing == [0.4, 0.1]:
            assert table_rows(load_table("table6"), other)
    with pytest.raises(InputError, match=r"smoothing: \[0\.3, 0\.0\] there, \[0\.4, 0\.1\]"):
        table_rows(load_table("table6"), other)


def test_what_goes_without_saying_is_what_is_done() -> None:
    from everyclass.stages import Retraining
    from everyclass.stages.choosing.strategies import ON_FOLDS, ON_VALIDATION

    usual = DataConfig("cifar100-lt")
    assert {key: getattr(usual, key) for key in USUAL_DATA} == USUAL_DATA
    assert Retraining().to_dict().items() >= USUAL_RETRAINING.items()
    assert DECIDED_ON == {"none": ON_FOLDS, "rest": ON_VALIDATION}


@pytest.mark.parametrize("name", [n for n in table_names() if not load_table(n).statistics])
def test_every_stored_result_fits(name: str) -> None:
    table = load_table(name)
    stored = RESULTS / data_name(table.data)
    files = {
        path
        for row in table.rows
        for path in stored.glob(f"{row.result}-s*.npz")
        if path.stem.removeprefix(f"{row.result}-s").isdecimal()
    }
    assert sum(map(len, load_results(RESULTS, table).values())) == len(files)


@pytest.mark.cifar
@pytest.mark.parametrize("name", ["cifar10-lt", "cifar100-lt"])
def test_tables_know_the_test_images(name: str, cifar_root: Path) -> None:
    labels = load_dataset(DataConfig(name), root=cifar_root).test.labels
    expected = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    tables = [load_table(each) for each in table_names()]
    assert {table.test for table in tables if table.data.get("name") == name} == {expected}


def test_some_of_the_test_images_are_refused_though_nothing_else_is_there(tmp_path: Path) -> None:
    made = store(tmp_path, "table8", "ce-gml", 0)
    some = np.concatenate([np.flatnonzero(made.labels == c)[:5] for c in range(100)])
    cut = {"labels": made.labels[some], "predicted": made.predicted[some]}
    store(tmp_path, "table8", "ce-gml", 0, **cut)
    with pytest.raises(
        InputError, match=f"was judged on other test images; .* 500 labels.*{AGAIN}"
    ):
        table_rows(load_table("table8"), tmp_path)


def test_a_copy_is_no_further_seed(tmp_path: Path) -> None:
    table = load_table("table8")
    store(tmp_path, "table8", "ce-gml", 1)
    path = result_path(tmp_path, table.data, "ce-gml", 1)
    path.with_name("ce-gml-s2.npz").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="is of seed 1, and not of 2, as it is named"):
        table_rows(table, tmp_path)


def test_recipes_of_before_loss_and_learner_were_told_still_fit() -> None:
    run = a_run(CE, {}, 0)
    earlier = {k: v for k, v in RECIPE.items() if k not in ("loss", "learner")}
    assert config_differences({**run, "recipe": earlier}, "ce", "cifar100-lt-ir100") == []
    assert config_differences(run, "ce", "cifar100-lt-ir100") == []
    assert config_differences({}, "ce", "a set without tables") == []


def test_of_what_fits_a_head_what_both_tell_is_compared() -> None:
    run = a_run(config_of("distilled", "cifar100-lt-ir100") or {}, {}, 0)
    recipe = run["teachers"][0]["recipe"]
    fit = recipe["fit"]
    recipe["fit"] = fit.replace("momentum=0.9, ", "momentum=0.9, running=False, seed=0, ")
    assert recipe["fit"] != fit
    assert config_differences(run, "distilled", "cifar100-lt-ir100") == []
    for change in (("gml_weight=10.0", "gml_weight=1.0"), ("(0.4", "(0.3"), ("retrained", "fit")):
        recipe["fit"] = fit.replace(*change)
        (said,) = config_differences(run, "distilled", "cifar100-lt-ir100")
        assert "beneath it: fit: " in said


def damaged(content: bytes, arrays: dict[str, Any], how: str, path: Path) -> None:
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "text":
        path.write_text("method,accuracy\n")
    elif how == "pickle":
        np.savez(path, **arrays, extra=np.array([{}], dtype=object))
    elif how == "certificate":
        np.savez(path, **{**arrays, "certificate": np.array("[1, 2]")})
    elif how == "json":
        np.savez(path, **{**arrays, "certificate": np.array("{no json")})
    elif how == "nested":
        np.savez(path, **{**arrays, "certificate": np.array("[" * 100_000)})
    elif how == "other counts":
        said = json.loads(str(arrays["certificate"]))
        said["run"]["class_counts"] = arrays["class_counts"][::-1].tolist()
        np.savez(path, **{**arrays, "certificate": np.array(json.dumps(said))})
    elif how == "lengths":
        np.savez(path, **{**arrays, "predicted": arrays["predicted"][:-1]})
    elif how == "classes":
        np.savez(path, **{**arrays, "class_counts": arrays["class_counts"][:-1]})
    elif how == "floats":
        np.savez(path, **{**arrays, "labels": arrays["labels"].astype(float)})
    else:
        np.savez(path, **{k: v for k, v in arrays.items() if k != how})


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "text",
        "pickle",
        "certificate",
        "json",
        "nested",
        "other counts",
        "lengths",
        "classes",
        "floats",
        "labels",
        "predicted",
        "class_counts",
    ],
)
def test_a_damaged_file_is_refused_by_name(how: str, tmp_path: Path) -> None:
    table = load_table("table8")
    store(tmp_path, "table8", "ce-gml", 0)
    path = result_path(tmp_path, table.data, "ce-gml", 0)
    content, arrays = path.read_bytes(), dict(np.load(path))
    damaged(content, arrays, how, path)
    with pytest.raises(FileFormatError) as caught:
        table_rows(table, tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert re.search(f"{AGAIN} --seeds 0-0$", str(caught.value))


@pytest.mark.parametrize("how", ["half of the test images", "counts in another order"])
def test_results_that_were_judged_otherwise_than_others_are_refused(
    how: str, tmp_path: Path
) -> None:
    table = replace(load_table("table8"), test=None)  # as of a set whose labels are not known
    store(tmp_path, "table8", "ce", 0)
    changed = store(tmp_path, "table8", "ce-gml", 0)
    some = slice(0, 5000) if how.startswith("half") else slice(None)
    counts = changed.class_counts.counts[:: 1 if how.startswith("half") else -1]
    odd = Result(
        changed.labels[some], changed.predicted[some], ClassCounts(counts), changed.certificate
    )
    odd.save(result_path(tmp_path, table.data, "ce-gml", 0))
    with pytest.raises(InputError, match=f"ce-gml-s0.npz has other .* than .*ce-s0.npz.*{AGAIN}"):
        table_rows(table, tmp_path)


def test_a_result_survives_the_way_through_its_file(tmp_path: Path) -> None:
    table = load_table("figure2")
    names = tuple("abcdefghij")
    counts = ClassCounts(np.arange(10, 0, -1), names)
    made = store(tmp_path, "figure2", "ce", 3, class_counts=counts)
    (loaded,) = load_results(tmp_path, table)[table.rows[0].method]
    assert np.array_equal(loaded.labels, made.labels)
    assert np.array_equal(loaded.predicted, made.predicted)
    assert loaded.class_counts.names == names
    assert loaded.certificate == made.certificate
    assert loaded.evaluation.class_names == names
    path = result_path(tmp_path, table.data, "ce", 3)
    assert path.stat().st_size < 30_000  # with its recipe small enough to keep in the repository


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    labels = np.arange(1000).repeat(2)
    made = Result(labels, labels[::-1].copy(), ClassCounts(np.ones(1000, dtype=int)), {"seed": 0})
    made.save(tmp_path / "r.npz")
    assert np.array_equal(Result.load(tmp_path / "r.npz").predicted, labels[::-1])


# --- figures --------------------------------------------------------------------------------------


def test_the_figure_lists_every_class_most_images_first(tmp_path: Path) -> None:
    table = load_table("figure2")
    stored = [store(tmp_path, "figure2", "ce", seed) for seed in (0, 1)]
    store(tmp_path, "figure2", "ce-gml", 0)
    rows = table_rows(table, tmp_path)
    recall = np.mean([r.evaluation.per_class_recall for r in stored], axis=0)
    np.testing.assert_allclose(rows[0]["per_class_recall"], recall)
    assert rows[2]["per_class_recall"] is None
    lines = figure_text(table, rows, tmp_path).splitlines()[3:]
    assert [line.split()[:2] for line in lines] == [
        [str(c), str(n)] for c, n in enumerate(stored[0].class_counts.counts)
    ]
    assert [float(line.split()[2]) for line in lines] == pytest.approx(100 * recall, abs=0.006)
    assert all(line.endswith("–") for line in lines)  # the ensemble has no results


@pytest.mark.parametrize(
    ("ending", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("html", b"<!DOCTYPE html>")]
)
def test_the_figure_is_written(ending: str, begins: bytes, tmp_path: Path) -> None:
    store(tmp_path, "figure2", "ce", 0)
    store(tmp_path, "figure2", "ce-gml", 0)
    path = tmp_path / f"figure2.{ending}"
    save_figure(load_table("figure2"), path, tmp_path)
    content = path.read_bytes()
    assert content.lstrip().startswith(begins)
    if ending == "html":  # it needs no network
        assert b"cdn." not in content


def test_a_pair_is_drawn_of_one_seed(tmp_path: Path) -> None:
    figure = load_table("figure2")
    for seed in (0, 2):
        store(tmp_path, "figure2", "ce", seed)
    store(tmp_path, "figure2", "ce-gml", 1)
    with pytest.raises(InputError, match="no results to draw"):
        figure_chart(figure, tmp_path)
    store(tmp_path, "figure2", "ce-gml", 2)
    assert str(figure_chart(figure, tmp_path).to_dict()["title"]).endswith("seed 2")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    figure = load_table("figure2")
    with pytest.raises(InputError, match=r"written as \.svg, \.png or \.html; got 'f\.gif'"):
        save_figure(figure, tmp_path / "f.gif", tmp_path)
    store(tmp_path, "figure2", "ce", 0)
    with pytest.raises(InputError, match="figure2 has no results to draw"):
        save_figure(figure, tmp_path / "f.svg", tmp_path)
    assert not list(tmp_path.glob("f.*"))


# --- the command ----------------------------------------------------------------------------------


SHOW = """
import sys
from functools import partial
from everyclass.cli import main
try:
    main(sys.argv[1:])
finally:
    assert "torch" not in sys.modules, "torch was imported"
    assert "sklearn" not in sys.modules, "scikit-learn was imported"
"""


def show(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-c", SHOW, "bench", "show", *arguments]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_json_of_the_current_folder_without_torch(tmp_path: Path) -> None:
    stored = store(tmp_path / "benchmarks" / "results", "table8", "ce-gml", 0)
    said = json.loads(show("table8", "--format", "json", cwd=tmp_path))
    assert set(said) == {"rows"}
    rows = {row["method"]: row for row in said["rows"]}
    ours = rows["CE + GML"]
    assert ours["n"] == 1
    for name, value in slow_numbers(stored).items():
        assert ours[name] == pytest.approx(value, rel=1e-12)
    assert ours["paper"]["geometric_mean"] == 0.3659
    empty = rows["CE + GML (w/o re-weighting)"]
    assert empty["n"] == 0
    assert [empty[name] for name in NUMBERS] == [None] * 4
    assert empty["paper"] == {
        "accuracy": None,
        "geometric_mean": 0.2545,
        "harmonic_mean": 0.0511,
        "lowest_recall": 0.0,
    }


def test_a_folder_of_results_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHOW, "bench", "show", "table8"]
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, check=False)
    named = run([*command, "--results", "nowhere"])
    assert (named.returncode, named.stdout) == (2, "")
    assert "There is no folder nowhere; --results names the one with results." in named.stderr
    default = run(command)
    assert default.returncode == 0
    assert "There is no folder benchmarks/results" in default.stderr


def test_figure_of_another_folder_without_torch(tmp_path: Path) -> None:
    store(tmp_path / "mine", "figure2", "ce", 0)
    text = show("figure2", "--results", "mine", cwd=tmp_path)
    assert "Figure 2" in text.splitlines()[0]
    assert len(text.splitlines()) == 13
