"""Rescuing a run, into its ``rescue/`` folder."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from everyclass.artifacts import Run, prepare_folder, replaced_together
from everyclass.data import BadPictures, load_dataset
from everyclass.errors import FileFormatError, InputError
from everyclass.progress import Progress, silent
from everyclass.stages.choosing.strategies import check_strategy
from everyclass.stages.extraction.of_run import VIEWS, data_of, extract_run
from everyclass.stages.rescuing.new_folder import gone_if_empty
from everyclass.stages.rescuing.own_folder import MARK, check_own_folder
from everyclass.stages.rescuing.rescuing import rescue
from everyclass.stages.rescuing.result import RescueResult
from everyclass.stages.retraining.missing_classes import MissingClasses
from everyclass.stages.retraining.retraining import Retraining, resumable

__all__ = ["rescue_run", "retraining_of"]


def retraining_of(run: Run, strategy: str = "gml", **settings: Any) -> Retraining:
    """How a run's head is retrained: as its method says where it says something, else by GML.

    Args:
        run: whose recipe may have settings, such as MiSLAS's smoothing beside GML.
        strategy: of the rescue; any but "gml" says itself what is tried.
        settings: of :class:`Retraining`, instead of those.

    Raises:
        FileFormatError: the run's configuration has settings that there are not.
    """
    recipe = run.config.get("recipe")
    own: dict[str, Any] = {}
    if strategy == "gml" and isinstance(recipe, dict):
        own = dict(recipe.get("retraining", {}))
        if unknown := own.keys() - {setting.name for setting in fields(Retraining)}:
            raise FileFormatError(
                f"{run.folder / 'config.json'} asks for {', '.join(sorted(unknown))} in "
                "retraining, which this version does not have; a newer one may."
            )
    return Retraining(**{**own, **settings})


def rescue_run(
    run: Run,
    *,
    out: str | Path | None = None,
    num_views: int = VIEWS,
    val: str | None = None,
    strategy: str = "gml",
    retraining: Retraining | None = None,
    missing_classes: MissingClasses = "error",
    overwrite: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    workers: int | None = None,
    seed: int = 0,
    show: Progress = silent,
) -> RescueResult:
    """Extract, rescue, judge on the test set, and write everything into ``RUN/rescue/``.

    Where the head is fitted by SGD, what is finished of it is kept in the folder until all is done,
    so that the same call goes on where one was stopped.

    Args:
        run: a finished training.
        out: another folder for the results.
        num_views: of the training images.
        val: "rest" or "none"; default what the run was configured with.
        strategy: see :func:`everyclass.rescue`.
        retraining: see :func:`everyclass.rescue`; default what :func:`retraining_of` says.
        missing_classes: see :func:`everyclass.rescue`.
        overwrite: replace the results of an earlier rescue.
        device, data_root, workers, seed, show: see :func:`extract_run`.

    Raises:
        OutputExistsError: the folder holds an earlier rescue and ``overwrite`` is false.
        InputError: the training is not finished, or what :func:`everyclass.rescue` refuses; nothing
            is written then.
    """
    if run.result is None:
        raise InputError(
            f"The training in {run.folder} is not finished; go on with it by everyclass pretrain."
        )
    retraining = retraining or retraining_of(run, strategy)
    check_strategy(strategy, retraining)
    bad = BadPictures(data_of(run).bad_images)
    folder = Path(out or run.folder / "rescue")
    is_new = not folder.exists()
    prepare_folder(folder, overwrite=overwrite)
    check_own_folder(folder)
    with gone_if_empty(folder, is_new), resumable(retraining, folder) as kept:
        train, held_out, test = extract_run(
            run,
            num_views=num_views,
            val=val,
            device=device,
            data_root=data_root,
            workers=workers,
            seed=seed,
            bad=bad,
            show=show,
        )
        result = rescue(
            train,
            val=held_out,
            strategy=strategy,
            retraining=kept,
            missing_classes=missing_classes,
            seed=seed,
            show=show,
        )
        result.settings["run"] = run.config
        data = load_dataset(data_of(run), root=data_root)
        # Where images were left out, rows of features are no rows of the data set.
        images = partial(data.pictures, data.test) if len(data.test) == len(test) else None
        with replaced_together(
            folder, seal="evaluation.json", first=MARK, stale=["bad-images.csv"]
        ) as new:
            result.save(new, test, images=images)
            train.save(new / "train-features.npz")
            test.save(new / "test-features.npz")
            bad.save(new / "bad-images.csv")
    return result
