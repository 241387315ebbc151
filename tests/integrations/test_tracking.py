"""Numbers for experiment trackers, whichever method they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import everyclass as ec
from everyclass.errors import InputError, InputTypeError
from everyclass.integrations.tracking import log_evaluation, log_scalars, scalars_of

EVALUATION = ec.evaluate(
    labels=[0, 0, 1, 1, 2, 2],
    predicted=[0, 0, 1, 0, 0, 0],
    class_names=["ant", "bee", "cat", "dog"],
)
WORST = {"val/recall/cat": 0.0, "val/recall/bee": 0.5}


def test_the_summary_and_the_worst_classes() -> None:
    found = scalars_of(EVALUATION, worst=2, prefix="val/")
    assert {k: v for k, v in found.items() if "/recall/" in k} == WORST
    summary = {f"val/{k}": v for k, v in EVALUATION.summary().items()}
    assert {k: v for k, v in found.items() if "/recall/" not in k} == summary
    assert len(scalars_of(EVALUATION, worst=99)) == 5 + 3  # the class without images has none


def test_of_how_many_classes() -> None:
    assert scalars_of(EVALUATION, worst=0) == EVALUATION.summary()
    with pytest.raises(InputError, match="worst must be 0 or more; got -1"):
        scalars_of(EVALUATION, worst=-1)


class MLFlowLike:
    def log_metrics(self, values: dict[str, Any], step: int) -> None:
        self.seen = {k: v for k, v in values.items() if "recall/" in k}


@pytest.mark.parametrize("worst", [1, 3, 4])
def test_names_that_become_the_same_for_mlflow_are_numbered(worst: int) -> None:
    tracker = MLFlowLike()
    evaluation = ec.evaluate(
        labels=[0, 0, 1, 1, 2, 2, 3, 3],
        predicted=[0, 0, 1, 3, 3, 3, 3, 3],
        class_names=["a,b", "a;b", "a(b", "a_b"],
    )
    log_evaluation(tracker, evaluation, step=1, worst=worst)
    every = {"a_b_4": 0.0, "a_b_3": 0.5, "a_b_2": 1.0, "a_b": 1.0}
    assert tracker.seen == {f"recall/{n}": every[n] for n in list(every)[:worst]}


def test_every_tracker_that_may_hand_on_to_mlflow_is_given_names_that_it_takes() -> None:
    class Several:
        """Such as a logger of somebody's own that writes to several places."""

        def log_metrics(self, values: dict[str, Any], step: int) -> None:
            self.seen = values

    tracker = Several()
    log_scalars(tracker, {"recall/crane, bird (grey)": 0.25}, step=1)
    assert tracker.seen == {"recall/crane_ bird _grey_": 0.25}


def test_like_wandb() -> None:
    class Run:
        def log(self, values: dict[str, Any], step: int) -> None:
            self.seen = step, values

    run = Run()
    log_evaluation(run, EVALUATION, step=7, worst=2, prefix="val/")
    assert run.seen == (7, scalars_of(EVALUATION, worst=2, prefix="val/"))


def test_what_is_no_tracker() -> None:
    with pytest.raises(InputTypeError, match=r"A dict is no tracker: it has no log_metrics"):
        log_scalars({}, {"x": 1.0}, step=0)


@pytest.mark.integrations
@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    log_evaluation(writer, EVALUATION, step=3, worst=2, prefix="val/")
    writer.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    (event,) = read.Scalars("val/recall/bee")
    assert (event.step, event.value) == (3, 0.5)


@pytest.mark.integrations
@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database would need a server's parts
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run() as run:
        log_evaluation(mlflow, EVALUATION, step=2, worst=2, prefix="val/")
        log_scalars(mlflow, {"recall/crane, bird (grey)": 0.25}, step=2)
    kept = mlflow.get_run(run.info.run_id).data.metrics
    assert kept["val/recall/bee"] == 0.5
    assert kept["recall/crane_ bird _grey_"] == 0.25


@pytest.mark.integrations
@pytest.mark.filterwarnings("ignore")
def test_loggers_of_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(str(tmp_path))
    log_evaluation(logger, EVALUATION, step=1, worst=1)
    logger.save()
    (table,) = tmp_path.glob("**/metrics.csv")
    header, row = table.read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["recall/cat"] == "0.0"
    assert np.isfinite(float(row.split(",")[0]))
