"""Rescuing a run: from its checkpoint to features, and from those to its ``rescue/`` folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from everyclass.artifacts import Features, Run, prepare_folder
from everyclass.data import DataConfig, ImageSet, load_dataset
from everyclass.errors import FileFormatError, InputError, MissingFileError
from everyclass.nn import Classifier, build_classifier
from everyclass.progress import silent
from everyclass.stages.extraction import extract_views
from everyclass.stages.pretraining import image_batches
from everyclass.stages.rescuing import MissingClasses, rescue
from everyclass.stages.result import RescueResult, replaced_together
from everyclass.stages.retraining import Retraining
from everyclass.training import choose_device, load_checkpoint

__all__ = ["extract_run", "load_network", "rescue_run"]

VIEWS = 10


def load_network(run: Run, num_classes: int) -> Classifier:
    """The network of a run, with the weights of its newest checkpoint, in eval mode.

    Raises:
        MissingFileError: the run has no checkpoint.
        InputError: the checkpoint does not fit the run's configuration.
    """
    if not run.checkpoint.is_file():
        raise MissingFileError(
            f"{run.folder} has no checkpoint yet; train it with everyclass pretrain."
        )
    try:
        model = build_classifier(run.config["backbone"], num_classes, seed=0)
        model.load_state_dict(load_checkpoint(run.checkpoint)["model"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{run.checkpoint} does not fit the run's configuration.") from error
    return model.eval()


def extract_run(
    run: Run,
    *,
    num_views: int = VIEWS,
    val: str | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    seed: int = 0,
    show: Any = silent,
) -> tuple[Features, Features | None, Features]:
    """Features of a run's training, held-out and test images.

    Args:
        run: with a checkpoint.
        num_views: of the training images; the first is not augmented.
        val: "rest" or "none"; default what the run was configured with.
        device: "auto", "cpu", "cuda", ….
        data_root: folder to look for the data in.
        seed: of the augmentation.
        show: how progress is shown.
    """
    try:
        config = DataConfig(**run.config["data"])
        precision = run.config["precision"]
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{run.folder / 'config.json'} is damaged or incomplete.") from error
    dataset = load_dataset(replace(config, val=val or config.val), root=data_root)
    where = choose_device(device)
    model = load_network(run, dataset.num_classes).to(
        device=where,
        memory_format=torch.channels_last,  # type: ignore[call-overload]
    )

    def features(part: ImageSet, views: int, what: str) -> Features:
        return extract_views(
            model,
            image_batches(dataset, part, where),
            torch.from_numpy(part.labels),
            num_views=views,
            device=where,
            precision=precision,
            class_names=dataset.class_names,
            seed=seed,
            title=f"features of {what} images",
            show=show,
        )

    return (
        features(dataset.train, num_views, "training"),
        None if dataset.val is None else features(dataset.val, 1, "held-out"),
        features(dataset.test, 1, "test"),
    )


def rescue_run(
    run: Run,
    *,
    out: str | Path | None = None,
    num_views: int = VIEWS,
    val: str | None = None,
    retraining: Retraining | None = None,
    missing_classes: MissingClasses = "error",
    overwrite: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    seed: int = 0,
    show: Any = silent,
) -> RescueResult:
    """Extract, rescue, judge on the test set, and write everything into ``RUN/rescue/``.

    Args:
        run: a finished training.
        out: another folder for the results.
        num_views: of the training images.
        val: "rest" or "none"; default what the run was configured with.
        retraining: see :func:`everyclass.rescue`.
        missing_classes: see :func:`everyclass.rescue`.
        overwrite: replace the results of an earlier rescue.
        device, data_root, seed, show: see :func:`extract_run`.

    Raises:
        OutputExistsError: the folder holds an earlier rescue and ``overwrite`` is false.
    """
    if run.result is None:
        raise InputError(
            f"The training in {run.folder} is not finished; go on with it by everyclass pretrain."
        )
    folder = prepare_folder(out or run.folder / "rescue", overwrite=overwrite)
    train, held_out, test = extract_run(
        run,
        num_views=num_views,
        val=val,
        device=device,
        data_root=data_root,
        seed=seed,
        show=show,
    )
    result = rescue(
        train,
        val=held_out,
        retraining=retraining,
        missing_classes=missing_classes,
        seed=seed,
        show=show,
    )
    result.settings["run"] = run.config
    with replaced_together(folder) as new:
        train.save(new / "train-features.npz")
        test.save(new / "test-features.npz")
        result.save(new, test)
    return result
