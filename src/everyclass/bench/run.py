"""Making the results of a table: train, retrain, store the predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from everyclass.artifacts import Features, Predictions, Run, birth_certificate
from everyclass.bench.results import DEFAULT_RESULTS, Result, result_path
from everyclass.bench.tables import Row, Table
from everyclass.data import DataConfig
from everyclass.methods import get_method
from everyclass.progress import silent
from everyclass.stages import Retraining, extract_run, pretrain, rescue

__all__ = ["run_table"]


def run_table(
    table: Table,
    *,
    seeds: Sequence[int] = (0,),
    results: Path = DEFAULT_RESULTS,
    runs: Path = Path("runs"),
    device: str = "auto",
    data_root: Path | None = None,
    show: Any = silent,
) -> list[Path]:
    """Make every result of a table that is not there yet; stopped at any point, it goes on.

    Args:
        table: which one.
        seeds: of the runs.
        results: folder to write results into.
        runs: folder of the training runs, resumed where they are unfinished.
        device: "auto", "cpu", "cuda", ….
        data_root: folder to look for the data in.
        show: how progress is shown.

    Returns:
        The files written by this call.
    """
    written = []
    for seed in seeds:
        features: dict[str, tuple[Run, Features, Features]] = {}
        for row in table.rows:
            path = result_path(results, table.data, row.result, seed)
            if path.is_file():
                continue
            if row.pretraining not in features:
                features[row.pretraining] = _trained(
                    row, table, seed, runs, device=device, data_root=data_root, show=show
                )
            run, train, test = features[row.pretraining]
            _result(row, table, seed, run, train=train, test=test, show=show).save(path)
            written.append(path)
    return written


def _trained(
    row: Row,
    table: Table,
    seed: int,
    runs: Path,
    *,
    device: str,
    data_root: Path | None,
    show: Any,
) -> tuple[Run, Features, Features]:
    name = f"{table.data['name']}-ir{table.data['imbalance_ratio']:g}-{row.pretraining}-s{seed}"
    run = pretrain(
        get_method(row.pretraining),
        DataConfig(**table.data),
        seed=seed,
        device=device,
        out=runs / name,
        data_root=data_root,
        show=show,
    )
    train, _, test = extract_run(run, device=device, data_root=data_root, seed=seed, show=show)
    return run, train, test


def _result(
    row: Row,
    table: Table,
    seed: int,
    run: Run,
    *,
    train: Features,
    test: Features,
    show: Any,
) -> Result:
    made: dict[str, Any] = {"run": run.result}
    if row.retraining is None:
        said = Predictions.load(run.folder / "predictions.npz")
    else:
        outcome = rescue(train, retraining=Retraining(**row.retraining), seed=seed, show=show)
        said = outcome.predict(test, "ensemble" if row.ensemble else "retrained")
        made["rescue"] = outcome.settings
    certificate = {
        "result": row.result,
        "data": table.data,
        "seed": seed,
        **made,
        **birth_certificate(),
    }
    return Result(said.labels, said.top, train.class_counts, certificate)
