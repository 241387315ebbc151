"""Making the results of a table: whatever is there is left alone, whatever is missing is made."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Predictions, get_method
from everyclass.bench import Row, Table, load_table, table_rows
from everyclass.bench import run as bench_run
from everyclass.bench.results import Result, result_path
from everyclass.bench.run import run_table
from everyclass.errors import FileFormatError, InputError
from everyclass.stages.retraining import retraining
from everyclass.training import HeadRecipe, Recipe, Schedule

QUICK = {"objective": "gml", "penalty": 1e-2}
DIGITS = Table(
    name="digits",
    title="a small table",
    data={"name": "digits-lt", "imbalance_ratio": 20.0},
    rows=(
        Row("CE", "ce", pretraining="ce"),
        Row("CE + GML", "ce-gml", pretraining="ce", retraining=QUICK),
        Row(
            "CE + GML (ensemble)",
            "ce-gml-ensemble",
            pretraining="ce",
            retraining=QUICK,
            ensemble=True,
        ),
        Row("PaCo", "paco"),
    ),
)
NAMES = ["ce", "ce-gml", "ce-gml-ensemble"]


@pytest.fixture(autouse=True)
def few_epochs_and_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(get_method("ce"), schedule=Schedule(epochs=8))
    monkeypatch.setattr(bench_run, "get_method", lambda *_: short)
    monkeypatch.setattr(retraining, "PENALTIES", (1e-2,))


def made_in(folder: Path, **options: Any) -> list[Path]:
    return run_table(DIGITS, results=folder / "results", runs=folder / "runs", **options)


def content(folder: Path) -> dict[str, Any]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_a_table_is_made_once_and_goes_on(tmp_path: Path) -> None:
    written = made_in(tmp_path, seeds=(0,))
    expected = [result_path(tmp_path / "results", DIGITS.data, name, 0) for name in NAMES]
    assert written == expected
    rows = table_rows(DIGITS, tmp_path / "results")
    assert [row["n"] for row in rows] == [1, 1, 1, 0]
    assert rows[1]["harmonic_mean"] > rows[0]["harmonic_mean"]
    # The first row is what the network itself says, and every result says how it was made.
    (run,) = (tmp_path / "runs").iterdir()
    said = Predictions.load(run / "predictions.npz")
    assert np.array_equal(Result.load(written[0]).predicted, said.top)
    certificate = Result.load(written[2]).certificate
    assert certificate["seed"] == 0
    assert certificate["run"]["config"]["method"] == "ce"
    assert certificate["rescue"]["retraining"]["penalty"] == 1e-2
    assert "torch" in certificate["versions"]
    assert len(set(map(str, (Result.load(p).predicted.tolist() for p in written)))) == 3

    # Again: nothing to do. One missing: that one only, from the same training.
    before = content(tmp_path)
    assert made_in(tmp_path, seeds=(0,)) == []
    assert content(tmp_path) == before
    lost = Result.load(written[1])
    written[1].unlink()
    assert made_in(tmp_path, seeds=(0,)) == [written[1]]
    assert np.array_equal(Result.load(written[1]).predicted, lost.predicted)
    after = content(tmp_path)
    assert {k for k in before if after[k] != before[k]} == {str(written[1].relative_to(tmp_path))}

    # Another seed is another run.
    first = replace(DIGITS, rows=DIGITS.rows[:1])
    more = run_table(first, seeds=(0, 3), results=tmp_path / "results", runs=tmp_path / "runs")
    assert more == [result_path(tmp_path / "results", DIGITS.data, "ce", 3)]
    assert [row["n"] for row in table_rows(DIGITS, tmp_path / "results")] == [2, 1, 1, 0]

    # Results are plain data.
    arrays = np.load(expected[0], allow_pickle=False)
    names = {"labels", "predicted", "class_counts", "class_names", "certificate"}
    assert set(arrays.files) == names
    json.loads(str(arrays["certificate"]))

    # Stopped anywhere, a table ends the same.
    stopped = tmp_path / "stopped"
    for stage in ("pretrain", "extract_run", "rescue"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bench_run, stage, interrupted)
            with pytest.raises(KeyboardInterrupt):
                made_in(stopped)
    made_in(stopped)
    for name, path in zip(NAMES, expected, strict=True):
        resumed = Result.load(result_path(stopped / "results", DIGITS.data, name, 0))
        assert np.array_equal(resumed.predicted, Result.load(path).predicted)


def test_what_is_stored_under_a_rows_name_and_does_not_fit_ends_the_run(tmp_path: Path) -> None:
    path = result_path(tmp_path / "results", DIGITS.data, "ce-gml", 0)
    path.parent.mkdir(parents=True)
    path.write_text("no result")
    with pytest.raises(FileFormatError, match=r"ce-gml-s0\.npz"):
        made_in(tmp_path, methods=["ce-gml"])
    assert path.read_text() == "no result"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seeds", [(-1,), (0, 0), (2, 1, 2)])
def test_seeds_are_numbers_from_0_each_once(seeds: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Seeds are numbers from 0, each once"):
        made_in(tmp_path, seeds=seeds)


def test_processes_of_torchrun_would_all_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="share them out by shard"):
        made_in(tmp_path)


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["table3", "beyond"])
def test_shards_share_the_work_and_nothing_is_in_two(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = load_table(name)
    made: dict[tuple[int, int], list[tuple[str, int]]] = {}

    def note(job: Any, show: Any) -> list[Path]:
        made[shard].append((job.method, job.seed))
        return []

    monkeypatch.setattr(bench_run, "get_method", get_method)
    monkeypatch.setattr(bench_run, "_make", note)
    for shard in ((1, 1), (1, 3), (2, 3), (3, 3)):
        made[shard] = []
        run_table(table, seeds=(0, 1), shard=shard, results=Path("nowhere"))
    parts = [made[i, 3] for i in (1, 2, 3)]
    assert sorted(job for part in parts for job in part) == sorted(made[1, 1])
    assert all(parts)
    for part in parts:
        for method, seed in part:
            for root in from_scratch(get_method(method)):
                assert (root, seed) in part or (root, seed) not in made[1, 1]


def from_scratch(recipe: Recipe | HeadRecipe) -> list[str]:
    """The trainings that a method's work begins with."""
    below = [root for needed in recipe.rests_on for root in from_scratch(needed)]
    return below or [recipe.name]


def test_what_two_methods_rest_on_is_trained_before_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that begins with another training itself."""
    ce = get_method("ce")
    assert isinstance(ce, Recipe)
    known: dict[str, Recipe] = {"ce": ce, "crt": replace(ce, name="crt", start=ce)}
    for name in ("lws", "dive"):
        known[name] = replace(ce, name=name, start=known["crt"])
    waves: list[list[str]] = []

    class Pool:
        """In the place of processes: notes what they would be given at a time."""

        def __init__(self, *_: Any) -> None:
            pass

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def map(self, _: Any, wave: list[Any]) -> list[Any]:
            waves.append(sorted(job.method for job in wave))
            return []

    monkeypatch.setattr(bench_run, "get_method", lambda name, *_: known[name])
    monkeypatch.setattr(bench_run, "ProcessPoolExecutor", Pool)
    rows = tuple(Row(name, name, pretraining=name) for name in ("lws", "dive"))
    run_table(replace(DIGITS, rows=rows), jobs=2, results=Path("nowhere"))
    assert waves == [["ce"], ["crt"], ["dive", "lws"]]


@pytest.mark.parametrize("shard", [(0, 2), (3, 2)])
def test_a_shard_that_is_none_is_refused(shard: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="The shard must be i/n"):
        run_table(DIGITS, shard=shard)


def test_the_stored_constants_are_those_of_the_recipes() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "write_recipes.py"))
    recipes = json.loads(json.dumps(script["recipes"]()))
    assert recipes == json.loads(script["FILE"].read_text()), "python benchmarks/write_recipes.py"
