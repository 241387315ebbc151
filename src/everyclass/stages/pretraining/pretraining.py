"""Stage 1: make a network by a method's recipe, into a run's folder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from everyclass.artifacts import Run
from everyclass.data import BadPictures, DataConfig, Dataset, load_dataset
from everyclass.errors import InputError
from everyclass.nn import Classifier
from everyclass.processes import (
    alone,
    barrier,
    first_goes_first,
    from_first,
    is_first,
)
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.run_network import image_batches, load_network
from everyclass.stages.pretraining.building import learner_of, with_computed_head
from everyclass.stages.pretraining.judging import judge
from everyclass.stages.pretraining.left_out import note_left_out, remember_left_out
from everyclass.stages.pretraining.run_config import (
    backbone_for,
    computed_beneath,
    constants_of,
    finished_runs,
    folder_beside,
    precisions_for,
    told_beneath,
)
from everyclass.training import (
    EpochLog,
    HeadRecipe,
    Precision,
    Recipe,
    choose_device,
    fit,
    inference_precision,
    named_in_errors,
    save_checkpoint,
)

__all__ = ["pretrain"]


def pretrain(
    recipe: Recipe | HeadRecipe,
    data: DataConfig,
    *,
    seed: int = 0,
    epochs: int | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    compile: bool = False,
    workers: int | None = None,
    out: str | Path | None = None,
    start: str | Path | Sequence[str | Path] | None = None,
    data_root: str | Path | None = None,
    show: Progress = silent,
) -> Run:
    """Train a network, or go on with the training that ``out`` holds; evaluate the last epoch.

    A method that begins with another's network, or learns from others, trains these first, each in
    a folder of its own beside ``out``, or takes the runs that are there.

    Args:
        recipe: the method.
        data: the data set.
        seed: of initialisation, order, augmentation, and what the network draws itself.
        epochs: instead of the recipe's; milestones keep their place as fractions. This and what
            follows are also for the networks that have to be trained first.
        backbone: instead of the recipe's: one of ours or any of timm.
        weights: instead of the recipe's, for a backbone of timm: "none", "pretrained", or a file.
        precision: "auto" takes bfloat16 where the hardware computes in it; a run that was begun
            goes on in its own, on whatever machine. "fp32" is accepted for the rest of a run that
            was begun in bfloat16, where the hardware only emulates that; ``log.jsonl`` says what
            each epoch was computed in.
        device: "auto", "cpu", "cuda", ….
        compile: compile the network with ``torch.compile``.
        workers: processes that decode pictures in files; default one per core.
        out: the run's folder; default ``runs/<data>-<method>-s<seed>``, such as
            ``runs/cifar100-lt-ir100-ce-s0``.
        start: folder of a finished run on the same data that a method in two stages begins with, or
            folders of those that a student learns from, in the order of its teachers (after the one
            that it begins with, where it does), instead of what it would train.
        data_root: folder to look for the data in.
        show: how progress is shown.

    Returns:
        The finished run, with ``predictions.npz`` of the test set (made again if a finished run has
        lost it), ``result.json``, and ``bad-images.csv`` if pictures had to be left out.

    Raises:
        InputError: the folder holds a run with another configuration; ``start`` is not finished, on
            other data, or not what the method rests on; there are no test images.
        DataNotFoundError: the data set's files are not found.
        RunFailedError: the training diverged, or a recipe of the user's own failed.
    """
    if epochs is not None and isinstance(recipe, Recipe):
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    where = choose_device(device)
    dataset = load_dataset(data, root=data_root)
    if not len(dataset.test):
        raise InputError(
            f"{data.slug} has no test images to judge the network by; name some: test=…."
        )
    folder = Path(out or Path("runs") / f"{data.folder_name}-{recipe.name}-s{seed}")
    of_run, of_epochs = precisions_for(precision, folder, where)
    told = told_beneath(folder, recipe)
    if start is not None:
        given = [start] if isinstance(start, str | Path) else start
        begun = finished_runs(given, recipe, data)
    elif told is not None:
        begun = told
    else:
        begun = [
            pretrain(
                needed,
                data,
                seed=seed,
                epochs=epochs,
                backbone=backbone,
                weights=weights,
                device=device,
                **computed_beneath(precision, compile, beside),
                workers=workers,
                out=beside,
                data_root=data_root,
                show=show,
            )
            for needed in recipe.rests_on
            for beside in [folder_beside(folder, recipe.name, needed.name)]
        ]
    goes_on = recipe.start is not None
    network = begun[0].config["backbone"] if goes_on else backbone_for(recipe, data, backbone)
    if isinstance(recipe, Recipe) and weights is not None:
        recipe = replace(recipe, weights=weights)
    config = {
        "method": recipe.name,
        "data": data.to_dict(),
        "backbone": network,
        "recipe": constants_of(recipe, dataset, folder),
        "start": begun[0].config if goes_on else None,
        "precision": of_run,
        "compile": compile,
        "seed": seed,
    }
    if taught_by := begun[goes_on:]:
        config["teachers"] = [run.config for run in taught_by]
    with first_goes_first():
        run = Run.start(folder, config)
    if from_first(_is_done(run)):  # others may look at it at the same time
        return run
    with run.held() if is_first() else nullcontext():
        if from_first(not _is_done(run)):
            with named_in_errors(recipe):
                _train_and_judge(
                    run,
                    recipe,
                    dataset,
                    begun,
                    where,
                    precision=of_epochs,
                    bad=BadPictures(data.bad_images),
                    workers=workers,
                    show=show if is_first() else silent,
                )
    return run


def _is_done(run: Run) -> bool:
    return run.result is not None and run.predictions.is_file()


def _train_and_judge(
    run: Run,
    recipe: Recipe | HeadRecipe,
    dataset: Dataset,
    begun: Sequence[Run],
    where: torch.device,
    *,
    precision: Literal["fp32", "bf16"],
    bad: BadPictures,
    workers: int | None,
    show: Progress,
) -> None:
    """Train the network of a run that is not finished, judge it, and write what came out."""
    if precision != inference_precision(precision, where):
        warnings.warn(
            f"{run.folder} is trained in bfloat16, which the hardware here only emulates, tens of "
            "times slower than float32; go on with it elsewhere, or here in float32: "
            "precision fp32 (--precision fp32).",
            stacklevel=2,
        )
    remember_left_out(run, bad)
    clock = time.perf_counter()
    if from_first(run.result is not None):
        model = load_network(run, dataset.num_classes)
    else:
        model = _network_of(
            run,
            recipe,
            dataset,
            begun,
            where,
            precision=precision,
            bad=bad,
            workers=workers,
            show=show,
        )
    if isinstance(recipe, Recipe):
        clock = time.perf_counter()  # the log knows how long the epochs took
    judge(run, model, dataset, bad, device=where, precision=precision, workers=workers, since=clock)


def _network_of(
    run: Run,
    recipe: Recipe | HeadRecipe,
    dataset: Dataset,
    begun: Sequence[Run],
    where: torch.device,
    *,
    precision: Literal["fp32", "bf16"],
    bad: BadPictures,
    workers: int | None,
    show: Progress,
) -> Classifier:
    """The network that the recipe makes; its weights are in the run's checkpoint."""
    reading: dict[str, Any] = {"bad": bad, "workers": workers}
    if isinstance(recipe, HeadRecipe):
        if is_first():
            with alone():
                made = with_computed_head(
                    recipe, begun[0], dataset, device=where, show=show, **reading
                )
            save_checkpoint(run.checkpoint, {"model": made.state_dict()})
        barrier()
        return load_network(run, dataset.num_classes)
    seed, compile = (run.config[key] for key in ("seed", "compile"))
    learner = learner_of(recipe, dataset, begun, backbone=run.config["backbone"], seed=seed)
    fit(
        learner,
        image_batches(
            dataset, dataset.train, where, recipe.augmentation, *recipe.other_views, **reading
        ),
        torch.from_numpy(dataset.train.labels),
        recipe,
        device=where,
        precision=precision,
        seed=seed,
        compile=compile,
        sampler=recipe.sampler(dataset.train.labels),
        checkpoint=run.checkpoint,
        on_epoch=partial(_after_epoch, run, bad),
        show=show,
    )
    return learner.model


def _after_epoch(run: Run, bad: BadPictures, log: EpochLog) -> None:
    note_left_out(run, bad)  # before the checkpoint that will not meet them again
    if is_first():
        run.log(_rounded(log))


def _rounded(log: EpochLog) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(log).items()}
