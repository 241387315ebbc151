"""Stage 1: make a network by a method's recipe, into a run's folder."""

from __future__ import annotations

import re
import time
import warnings
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from everyclass.artifacts import Predictions, Run, birth_certificate
from everyclass.data import BadPictures, BatchSource, DataConfig, Dataset, load_dataset
from everyclass.errors import InputError
from everyclass.metrics import evaluate
from everyclass.nn import BACKBONES, Classifier, build_classifier
from everyclass.processes import (
    barrier,
    everybody_has,
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
    inference_precision,
    save_checkpoint,
)

__all__ = ["pretrain"]

BACKBONE_OF = {"cifar100-lt": "resnet32", "cifar10-lt": "resnet32", "digits-lt": "mlp"}
OF_PICTURES = "resnet50"


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
        backbone: instead of the recipe's: one of ours or any of timm.
        weights: instead of the recipe's, for a backbone of timm: "none", "pretrained", or a file.
        precision: "auto" takes bfloat16 where the hardware computes in it; a run that was begun
            goes on in its own, on whatever machine.
        device: "auto", "cpu", "cuda", ….
        compile: compile the network with ``torch.compile``.
        workers: processes that decode pictures in files; default one per core.
        out: the run's folder; default ``runs/<data>-<method>-s<seed>``.
        start: folder of a finished run on the same data that a method in two stages begins with,
            or that a student learns from, instead of the one that it would train.
        data_root: folder to look for the data in.
        show: how progress is shown.

    Returns:
        The finished run, with ``predictions.npz`` of the test set, ``result.json``, and
        ``bad-images.csv`` if pictures had to be left out.

    Raises:
        InputError: the folder holds a run with another configuration; ``start`` is not finished or
            on other data, or the method takes none; there are no test images.
        DataNotFoundError: the data set's files are not found.
        RunFailedError: the training diverged.
    """
    if epochs is not None and isinstance(recipe, Recipe):
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    where = choose_device(device)
    dataset = load_dataset(data, root=data_root)
    if not len(dataset.test):
        raise InputError(
            f"{data.slug} has no test images to judge the network by; name some: test=…."
        )
    folder = Path(out or Path("runs") / f"{data.slug}-{recipe.name}-s{seed}")
    chosen = _precision(precision, folder, where)
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
            backbone=backbone,
            weights=weights,
            precision=precision,
            device=device,
            compile=compile,
            workers=workers,
            out=_beside(folder, recipe.name, rests_on.name),
            data_root=data_root,
            show=show,
        )
    goes_on = begun is not None and recipe.start is not None
    network = begun.config["backbone"] if begun and goes_on else _backbone(recipe, data, backbone)
    if isinstance(recipe, Recipe) and weights is not None:
        recipe = replace(recipe, weights=weights)
    config = {
        "method": recipe.name,
        "data": data.to_dict(),
        "backbone": network,
        "recipe": _constants(recipe, dataset, folder),
        "start": begun.config if begun else None,
        "precision": chosen,
        "compile": compile,
        "seed": seed,
    }
    with first_goes_first():
        run = Run.start(folder, config)
    with run.held() if is_first() else nullcontext():
        if from_first(run.result is None):
            _train(
                run,
                recipe,
                dataset,
                begun,
                where,
                bad=BadPictures(data.bad_images),
                workers=workers,
                data_root=data_root,
                show=show if is_first() else silent,
            )
    return run


def _train(
    run: Run,
    recipe: Recipe | HeadRecipe,
    dataset: Dataset,
    begun: Run | None,
    where: torch.device,
    *,
    bad: BadPictures,
    workers: int | None,
    data_root: str | Path | None,
    show: Any,
) -> None:
    """Train the network of a run that is not finished, judge it, and write what came out."""
    chosen, seed, compile = (run.config[key] for key in ("precision", "seed", "compile"))
    if chosen != inference_precision(chosen, where):
        warnings.warn(
            f"{run.folder} is trained in bfloat16, which the hardware here only emulates, tens of "
            "times slower than float32; go on with it elsewhere.",
            stacklevel=2,
        )
    reading: dict[str, Any] = {"bad": bad, "workers": workers}
    clock = time.perf_counter()
    if isinstance(recipe, HeadRecipe):
        assert begun is not None
        model = _with_head(
            recipe, begun, dataset, device=str(where), data_root=data_root, show=show
        )
        if is_first():
            save_checkpoint(run.checkpoint, {"model": model.state_dict()})
    else:
        model = build_classifier(
            run.config["backbone"],
            dataset.num_classes,
            seed=seed,
            head=recipe.head,
            weights="none" if begun and recipe.start is not None else recipe.weights,
        )
        fit(
            _learner(model, recipe, dataset, begun, seed),
            image_batches(
                dataset,
                dataset.train,
                where,
                recipe.augmentation,
                *recipe.other_views,
                **reading,
            ),
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
        clock = time.perf_counter()  # the log knows how long the epochs took
    model.to(device=where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world_size() > 1:  # the first one's statistics of batch norm, for all
        barrier()
        model.load_state_dict(load_network(run, dataset.num_classes).state_dict())
    judged = image_batches(dataset, dataset.test, where, **reading)
    rows, logits = _predicted(model, judged, where, chosen)
    for found in everybody_has(bad.found):
        bad.found |= found
    if is_first():
        predictions = Predictions(
            labels=dataset.test.labels[rows.numpy()],
            logits=logits.numpy(),
            class_names=dataset.class_names,
            class_counts=dataset.class_counts,
        )
        seconds = run.seconds + time.perf_counter() - clock
        _finish(run, dataset, predictions, bad, device=where, seconds=seconds)
    barrier()


def _predicted(
    model: Classifier,
    images: BatchSource,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
) -> tuple[Tensor, Tensor]:
    """The test images that could be read, and their logits, each computed by one process."""
    share = my_share(torch.arange(len(images)))
    rows, logits = predict_images(model, images, device, precision, rows=share)
    rows, logits = gathered(rows.to(device)).cpu(), gathered(logits.to(device)).cpu()
    order = rows.argsort()
    return rows[order], logits[order]


def _finish(
    run: Run,
    dataset: Dataset,
    predictions: Predictions,
    bad: BadPictures,
    *,
    device: torch.device,
    seconds: float,
) -> None:
    """Write what came out."""
    predictions.save(run.folder / "predictions.npz")
    bad.save(run.folder / "bad-images.csv")
    run.finish(
        {
            "config": run.config,
            **({} if bad.policy == "fail" else {"bad_images": len(bad)}),
            "split_fingerprint": dataset.train.fingerprint,
            "class_counts": dataset.class_counts.counts,
            "test": evaluate(predictions).summary(),
            "device": str(device),
            **({"processes": world_size()} if world_size() > 1 else {}),
            **birth_certificate(seconds),
        }
    )


def _precision(asked: Precision, folder: Path, device: torch.device) -> Literal["fp32", "bf16"]:
    if asked == "auto" and (folder / "config.json").is_file():
        asked = Run.open(folder).config.get("precision", asked)
    return choose_precision(asked, device)


def _constants(recipe: Recipe | HeadRecipe, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The recipe for ``config.json``; runs that were begun without its loss go on without."""
    constants = recipe.to_dict(dataset.class_counts)
    if (folder / "config.json").is_file():
        begun = Run.open(folder).config.get("recipe")
        if isinstance(begun, dict) and not {"loss", "fit"} & set(begun):
            return recipe.to_dict()
    return constants


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


def _backbone(recipe: Recipe | HeadRecipe, data: DataConfig, asked: str | None) -> str:
    """The recipe's backbone, in the kind of network that is asked for or that the data are for."""
    named = recipe.backbone if isinstance(recipe, Recipe) else None
    made = re.fullmatch(r"(.+?)(-wide|-\d-experts)?", named or "resnet32")
    assert made is not None
    small = made[1] == "resnet32"  # recipes of 32 × 32 images; others say what they mean
    usual = BACKBONE_OF.get(data.name, OF_PICTURES) if small else made[1]
    kind = asked or usual
    likewise = f"{kind}{made[2] or ''}"
    return kind if made[2] == "-wide" and likewise not in BACKBONES else likewise


def _learner(
    model: Classifier, recipe: Recipe, dataset: Dataset, begun: Run | None, seed: int
) -> Learner:
    """The network and what it learns by, before the first step."""
    given: dict[str, Any] = {} if recipe.mixing is None else {"mixing": recipe.mixing}
    if recipe.start is None and "" not in recipe.trained and not recipe.shift_batch_norm:
        model.keep_still(recipe.trained)
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
