"""Stage 1: make a network by a method's recipe, into a run's folder."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from everyclass.artifacts import Predictions, Run, birth_certificate
from everyclass.data import DataConfig, Dataset, load_dataset
from everyclass.errors import InputError
from everyclass.metrics import evaluate
from everyclass.nn import BACKBONES, Classifier, build_classifier
from everyclass.processes import (
    barrier,
    first_goes_first,
    from_first,
    gathered,
    is_first,
    my_share,
    world_size,
)
from everyclass.progress import silent
from everyclass.stages.run_extraction import extract_run
from everyclass.stages.run_network import image_batches, load_network, predict_images
from everyclass.training import (
    EpochLog,
    HeadRecipe,
    Learner,
    Precision,
    Recipe,
    TrainingSettings,
    choose_device,
    choose_precision,
    fit,
    save_checkpoint,
)

__all__ = ["pretrain"]

BACKBONE_OF = {"digits-lt": "mlp"}


def pretrain(
    recipe: Recipe | HeadRecipe,
    data: DataConfig,
    *,
    seed: int = 0,
    epochs: int | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    compile: bool = False,
    out: str | Path | None = None,
    start: str | Path | None = None,
    data_root: str | Path | None = None,
    show: Any = silent,
) -> Run:
    """Train a network, or go on with the training that ``out`` holds; evaluate the last epoch.

    A method that begins with another's network, or learns from it, trains that first, in a folder
    of its own beside ``out``, or takes the run that is there.

    Args:
        recipe: the method.
        data: the data set.
        seed: of initialisation, order and augmentation.
        epochs: instead of the recipe's; milestones keep their place as fractions.
        precision: "auto" takes bfloat16 where the hardware computes in it.
        device: "auto", "cpu", "cuda", ….
        compile: compile the network with ``torch.compile``.
        out: the run's folder; default ``runs/<data>-<method>-s<seed>``.
        start: folder of a finished run on the same data that a method in two stages begins with,
            or that a student learns from, instead of the one that it would train.
        data_root: folder to look for the data in.
        show: how progress is shown.

    Returns:
        The finished run, with ``predictions.npz`` of the test set and ``result.json``.

    Raises:
        InputError: the folder holds a run with another configuration; ``start`` is not finished or
            on other data, or the method takes none.
        DataNotFoundError: the data set's files are not found.
        RunFailedError: the training diverged.
    """
    if epochs is not None and isinstance(recipe, Recipe):
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    dataset = load_dataset(data, root=data_root)
    folder = Path(out or Path("runs") / f"{data.name}-{recipe.name}-s{seed}")
    rests_on = recipe.rests_on
    begun = None
    if start is not None:
        begun = _finished(start, recipe, data)
    elif rests_on is not None:
        begun = pretrain(
            rests_on,
            data,
            seed=seed,
            epochs=epochs,
            precision=precision,
            device=device,
            compile=compile,
            out=_beside(folder, recipe.name, rests_on.name),
            data_root=data_root,
            show=show,
        )
    goes_on = begun is not None and recipe.start is not None
    backbone = begun.config["backbone"] if begun and goes_on else _backbone(recipe, data)
    config = {
        "method": recipe.name,
        "data": data.to_dict(),
        "backbone": backbone,
        "recipe": recipe.to_dict(),
        "start": begun.config if begun else None,
        "precision": chosen,
        "compile": compile,
        "seed": seed,
    }
    with first_goes_first():
        run = Run.start(folder, config)
    if from_first(run.result is not None):
        return run

    show = show if is_first() else silent
    clock = time.perf_counter()
    if isinstance(recipe, HeadRecipe):
        assert begun is not None
        model = _with_head(recipe, begun, dataset, device=device, data_root=data_root, show=show)
        if is_first():
            save_checkpoint(run.checkpoint, {"model": model.state_dict()})
    else:
        model = build_classifier(backbone, dataset.num_classes, seed=seed, head=recipe.head)
        fit(
            _learner(model, recipe, dataset, begun, seed),
            [
                image_batches(dataset, dataset.train, where, augmentation)
                for augmentation in (recipe.augmentation, *recipe.other_views)
            ],
            torch.from_numpy(dataset.train.labels),
            TrainingSettings(
                schedule=recipe.schedule,
                batch_size=recipe.batch_size,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                weight_decay=recipe.weight_decay,
                trained=recipe.trained,
                precision=chosen,
                seed=seed,
                compile=compile,
            ),
            device=where,
            sampler=recipe.sampler(dataset.train.labels),
            checkpoint=run.checkpoint,
            on_epoch=lambda log: run.log(_rounded(log)) if is_first() else None,
            show=show,
        )
    model.to(device=where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world_size() > 1:  # the first one's statistics of batch norm, for all
        barrier()
        model.load_state_dict(load_network(run, dataset.num_classes).state_dict())
    logits = _predicted(model, dataset, where, chosen)
    if is_first():
        predictions = Predictions(
            labels=dataset.test.labels,
            logits=logits.numpy(),
            class_names=dataset.class_names,
            class_counts=dataset.class_counts,
        )
        _finish(run, dataset, predictions, where, time.perf_counter() - clock)
    barrier()
    return run


def _predicted(
    model: Classifier, dataset: Dataset, device: torch.device, precision: Literal["fp32", "bf16"]
) -> Tensor:
    """(m, C) logits of the test images, each computed by one process."""
    every = torch.arange(len(dataset.test.labels))
    images = image_batches(dataset, dataset.test, device)
    logits = predict_images(model, images, device, precision, rows=my_share(every))
    order = gathered(my_share(every).to(device)).cpu()
    return gathered(logits.to(device)).cpu()[order.argsort()]


def _finish(
    run: Run, dataset: Dataset, predictions: Predictions, device: torch.device, seconds: float
) -> None:
    """Write what came out."""
    predictions.save(run.folder / "predictions.npz")
    run.finish(
        {
            "config": run.config,
            "split_fingerprint": dataset.train.fingerprint,
            "class_counts": dataset.class_counts.counts,
            "test": evaluate(predictions).summary(),
            "device": str(device),
            **({"processes": world_size()} if world_size() > 1 else {}),
            **birth_certificate(seconds),
        }
    )


def _beside(folder: Path, method: str, start: str) -> Path:
    """``runs/x-crt-s0`` → ``runs/x-ce-s0``; a folder not named so → ``folder-ce``."""
    before, found, after = folder.name.rpartition(method)
    return folder.with_name(f"{before}{start}{after}" if found else f"{folder.name}-{start}")


def _finished(start: str | Path, recipe: Recipe | HeadRecipe, data: DataConfig) -> Run:
    """The run to begin with, after all checks."""
    if recipe.rests_on is None:
        raise InputError(f"{recipe.name} trains from scratch; leave out --start.")
    run = Run.open(start)
    if run.result is None:
        raise InputError(f"The training in {run.folder} is not finished and cannot be begun with.")
    if run.config["data"] != data.to_dict():
        raise InputError(
            f"{run.folder} was trained on {run.config['data']}, which is not {data.to_dict()}; "
            "a second stage needs the same data."
        )
    return run


def _backbone(recipe: Recipe | HeadRecipe, data: DataConfig) -> str:
    """The recipe's backbone, in the kind of network that the data set is for."""
    named = (recipe.backbone if isinstance(recipe, Recipe) else None) or "resnet32"
    kind = BACKBONE_OF.get(data.name, "resnet32")
    likewise = named.replace("resnet32", kind)
    return likewise if likewise in BACKBONES else kind


def _learner(
    model: Classifier, recipe: Recipe, dataset: Dataset, begun: Run | None, seed: int
) -> Learner:
    """The network and what it learns by, before the first step."""
    given: dict[str, Any] = {} if recipe.mixing is None else {"mixing": recipe.mixing}
    if begun is not None:
        finished = load_network(begun, dataset.num_classes)
        if recipe.start is not None:
            _begin_with(model, finished, recipe)
        else:
            given["teacher"] = finished
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.learner(model, recipe.loss(dataset.class_counts), **given)


def _begin_with(model: Classifier, finished: Classifier, recipe: Recipe) -> None:
    """Give ``model`` the backbone of a finished network, and its head where the recipe keeps it."""
    model.backbone.load_state_dict(finished.backbone.state_dict())
    if recipe.keep_head:
        model.head.load_state_dict(finished.head.state_dict(), strict=False)
    if not recipe.trains_backbone:
        model.freeze_backbone(shift_batch_norm=recipe.shift_batch_norm)


def _with_head(
    recipe: HeadRecipe,
    begun: Run,
    dataset: Dataset,
    *,
    device: str,
    data_root: str | Path | None,
    show: Any,
) -> Classifier:
    """The finished network under the head that the recipe computes from its features."""
    train, _, _ = extract_run(begun, num_views=1, device=device, data_root=data_root, show=show)
    network = load_network(begun, dataset.num_classes)
    return Classifier(network.backbone, recipe.fit(train)).eval()


def _rounded(log: EpochLog) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(log).items()}
