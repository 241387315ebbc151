"""Making the results of a table: train, retrain, store the predicted labels."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch

from everyclass.artifacts import ClassCounts, Features, Predictions, Run, birth_certificate
from everyclass.bench.results import DEFAULT_RESULTS, Result, is_made, result_path
from everyclass.bench.tables import Row, Table, data_name
from everyclass.cores import own_cores
from everyclass.data import DataConfig
from everyclass.errors import InputError
from everyclass.methods import get_method, method_names
from everyclass.progress import Progress, silent
from everyclass.stages import RescueResult, extract_run, pretrain, rescue, retraining_of
from everyclass.training import HeadRecipe, Precision, Recipe

__all__ = ["run_table"]


@dataclass(frozen=True)
class _Job:
    """The rows of a table that rest on one trained network, for one seed."""

    table: Table
    rows: tuple[Row, ...]
    method: str
    precision: Precision
    seed: int
    results: Path
    runs: Path
    device: str
    data_root: Path | None


def run_table(
    table: Table,
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    shard: tuple[int, int] = (1, 1),
    results: Path = DEFAULT_RESULTS,
    runs: Path = Path("runs"),
    device: str = "auto",
    data_root: Path | None = None,
    show: Progress = silent,
) -> list[Path]:
    """Make every result of a table that is not there yet; stopped at any point, it goes on.

    Args:
        table: which one.
        methods: the rows to make, by their name or that of their results; None: all that have a
            recipe.
        seeds: of the runs.
        jobs: networks trained at once, each in a process of its own.
        shard: (i, n): make the i-th of n shares of the work, i from 1. Every network is in one
            share together with those that it rests on, so the shares need nothing of each other,
            and their results merge by being in one folder.
        results: folder to write results into.
        runs: folder of the training runs, resumed where they are unfinished.
        device: "auto", "cpu", "cuda", ….
        data_root: folder to look for the data in.
        show: how progress is shown, with one job; several are silent.

    Returns:
        The files written by this call.

    Raises:
        InputError: a method that is no row of the table, or has no recipe; a shard that is none;
            seeds that are negative or twice the same; a stored result that does not fit its row.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "Each of the processes that torchrun started would make the same results; share them "
            "out by shard=i/n (--shard) or jobs (--jobs), or train a large network by torchrun -m "
            "everyclass pretrain first."
        )
    if min(seeds, default=0) < 0 or len(set(seeds)) != len(seeds):
        raise InputError(f"Seeds are numbers from 0, each once; got {list(seeds)}.")
    index, shards = shard
    if not 1 <= index <= shards:
        raise InputError(f"The shard must be i/n with i from 1 to n; got {index}/{shards}.")
    rows = _chosen(table, methods)
    work = []
    for seed in seeds:
        by_network: dict[tuple[str, Precision], list[Row]] = {}
        for row in rows:
            if not is_made(results, table, row, seed):
                assert row.pretraining is not None
                by_network.setdefault((row.pretraining, row.precision), []).append(row)
        work += [
            _Job(table, tuple(its), *network, seed, results, runs, device, data_root)
            for network, its in by_network.items()
        ]
    families = _families(table)
    work = [job for job in work if _share_of(job, families, seeds, shards) == index - 1]
    if jobs == 1:
        return [path for job in work for path in _make(job, show)]
    written: list[Path] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin_worker, (jobs,)) as pool:
        for wave in _waves(work):
            written += [path for paths in pool.map(_make, wave) for path in paths]
    return written


def _families(table: Table) -> list[set[str]]:
    """Methods trained from scratch, those together whose networks one method of the table needs."""
    families: list[set[str]] = []
    for row in table.rows:
        if row.pretraining is not None:
            data = table.data
            method = get_method(row.pretraining, data["name"], data.get("imbalance_ratio"))
            roots = _roots(method)
            near = [family for family in families if family & roots]
            families = [family for family in families if not family & roots]
            families.append(roots.union(*near))
    return sorted(families, key=min)


def _share_of(job: _Job, families: list[set[str]], seeds: Sequence[int], shards: int) -> int:
    """Which share a network is in: it follows from the table alone, whatever is done already."""
    roots = _roots(_recipe(job))
    family = next(i for i, family in enumerate(families) if family & roots)
    return (family * len(seeds) + list(seeds).index(job.seed)) % shards


def _roots(recipe: Recipe | HeadRecipe) -> set[str]:
    """The methods trained from scratch that a method's work begins with."""
    if not recipe.rests_on:
        return {recipe.name}
    return set[str]().union(*map(_roots, recipe.rests_on))


def _depth(recipe: Recipe | HeadRecipe) -> int:
    """How many trainings come one after the other before this one."""
    return max((1 + _depth(needed) for needed in recipe.rests_on), default=0)


def _begin_worker(jobs: int) -> None:
    """Take a share of the cores, and end with the parent, so that nothing holds its runs then."""
    torch.set_num_threads(max(1, own_cores() // jobs))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)  # the main thread may be in the middle of an epoch


def _chosen(table: Table, methods: Sequence[str] | None) -> list[Row]:
    if methods is None:
        return [row for row in table.rows if row.pretraining is not None]
    known = {name: row for row in table.rows for name in (row.method, row.result)}
    for name in methods:
        if name not in known:
            raise InputError(
                f"{table.name} has no row {name!r}; it has "
                f"{', '.join(row.result for row in table.rows)}."
            )
        if known[name].pretraining is None:
            raise InputError(f"{name} has no recipe yet.")
    return [known[name] for name in methods]


def _waves(work: list[_Job]) -> list[list[_Job]]:
    """By how many trainings come before, so that no two jobs train what both rest on."""
    waves: dict[int, dict[tuple[str, Precision, int], _Job]] = {}
    for job in work:
        waves.setdefault(_depth(_recipe(job)), {})[_network(job)] = job
    for job in work:
        for needed in _beneath(_recipe(job)):
            if _is_a_method(needed):
                begun = replace(job, method=needed.name, rows=())
                waves.setdefault(_depth(needed), {}).setdefault(_network(begun), begun)
    return [list(waves[depth].values()) for depth in sorted(waves)]


def _is_a_method(recipe: Recipe | HeadRecipe) -> bool:
    """Whether a job can name it; a rescued teacher is trained by the method that needs it."""
    return recipe.name.removesuffix("-modern") in method_names()


def _beneath(recipe: Recipe | HeadRecipe) -> list[Recipe | HeadRecipe]:
    """The methods that are trained before a method, whether it names them or they do."""
    return [each for needed in recipe.rests_on for each in (needed, *_beneath(needed))]


def _network(job: _Job) -> tuple[str, Precision, int]:
    return job.method, job.precision, job.seed


def _recipe(job: _Job) -> Recipe | HeadRecipe:
    data = job.table.data
    return get_method(job.method, data["name"], data.get("imbalance_ratio"))


def _make(job: _Job, show: Progress = silent) -> list[Path]:
    """Train what is not trained yet, then make each row from it."""
    name = data_name(job.table.data)
    recipe = _recipe(job)
    precision = "" if job.precision == "auto" else f"-{job.precision}"
    run = pretrain(
        recipe,
        DataConfig(**job.table.data),
        seed=job.seed,
        precision=job.precision,
        device=job.device,
        out=job.runs / f"{name}-{recipe.name}{precision}-s{job.seed}",
        data_root=job.data_root,
        show=show,
    )
    rescued = _Rescued(run, job, show)
    written = []
    for row in job.rows:
        path = result_path(job.results, job.table.data, row.result, job.seed)
        _result(row, job, run, rescued).save(path)
        written.append(path)
    return written


class _Rescued:
    """The rescues of one run: rows with the same settings share one, and all share the features."""

    def __init__(self, run: Run, job: _Job, show: Progress) -> None:
        self._run, self._job, self._show = run, job, show
        self._features: tuple[Features, Features | None, Features] | None = None
        self._outcomes: dict[str, RescueResult] = {}

    def __call__(self, row: Row) -> tuple[RescueResult, Features]:
        """What a rescue gave, and the test features to ask it about."""
        assert row.retraining is not None
        job = self._job
        if self._features is None:
            some = any(other.val != "none" for other in job.rows)
            self._features = extract_run(
                self._run,
                val="rest" if some else "none",
                device=job.device,
                data_root=job.data_root,
                seed=job.seed,
                show=self._show,
            )
        train, rest, test = self._features
        key = json.dumps([row.retraining, row.val], sort_keys=True)
        if key not in self._outcomes:
            self._outcomes[key] = rescue(
                train,
                val=rest if row.val == "rest" else None,
                retraining=retraining_of(self._run, **row.retraining),
                seed=job.seed,
                show=self._show,
            )
        return self._outcomes[key], test


def _result(row: Row, job: _Job, run: Run, rescued: _Rescued) -> Result:
    assert run.result is not None
    made: dict[str, Any] = {"run": run.result}
    if row.retraining is None:
        said = Predictions.load(run.predictions)
    else:
        outcome, test = rescued(row)
        said = outcome.predict(test, "ensemble" if row.ensemble else "retrained")
        made["rescue"] = outcome.settings
    certificate = {
        "result": row.result,
        "definition": row.definition,
        "data": job.table.data,
        "split_fingerprint": run.result["split_fingerprint"],
        "seed": job.seed,
        **made,
        **birth_certificate(),
    }
    counts = ClassCounts(run.result["class_counts"], said.class_names)
    return Result(said.labels, said.top, counts, certificate)
