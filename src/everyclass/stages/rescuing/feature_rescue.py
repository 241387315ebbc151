"""Rescuing features, into a folder of results."""

from __future__ import annotations

from pathlib import Path

from everyclass.artifacts import Features, StoredFeatures, prepare_folder
from everyclass.processes import first_goes_first, is_first
from everyclass.progress import Progress, silent
from everyclass.stages.choosing.strategies import check_strategy
from everyclass.stages.rescuing.doubts import warn_of_known_rows
from everyclass.stages.rescuing.new_folder import gone_if_empty
from everyclass.stages.rescuing.own_folder import check_own_folder
from everyclass.stages.rescuing.rescuing import rescue
from everyclass.stages.rescuing.result import RescueResult
from everyclass.stages.retraining.missing_classes import MissingClasses
from everyclass.stages.retraining.retraining import Retraining, resumable

__all__ = ["rescue_features"]


def rescue_features(
    train: Features,
    out: str | Path,
    *,
    val: Features | None = None,
    test: Features | None = None,
    strategy: str = "gml",
    retraining: Retraining | None = None,
    missing_classes: MissingClasses = "error",
    overwrite: bool = False,
    seed: int = 0,
    show: Progress = silent,
) -> RescueResult:
    """Rescue, judge on the test set, and write everything into a folder.

    Where retraining takes long, by SGD or on features in a folder of chunks, what is finished of it
    is kept in ``out`` until all is done, so that the same call goes on where one was stopped.
    Several processes share the work, and the first one writes.

    Args:
        train, val, test, strategy, retraining, missing_classes: see :func:`everyclass.rescue`.
        out: the folder.
        overwrite: replace the results of an earlier rescue.
        seed, show: see :func:`everyclass.rescue`.

    Raises:
        OutputExistsError: the folder holds an earlier rescue and ``overwrite`` is false.
        InputError: what :func:`everyclass.rescue` refuses, or a test set of other classes or of
            another network; nothing is written then.
    """
    retraining = retraining or Retraining()
    check_strategy(strategy, retraining)
    if test is not None:  # before the long work, not after it
        test.checked_against(train, "The test set")
    with first_goes_first():
        is_new = not Path(out).exists()
        folder = prepare_folder(out, overwrite=overwrite or not is_first())
        check_own_folder(folder)
    large = isinstance(train, StoredFeatures)
    with gone_if_empty(folder, is_new), resumable(retraining, folder, large=large) as kept:
        result = rescue(
            train,
            val=val,
            strategy=strategy,
            retraining=kept,
            missing_classes=missing_classes,
            seed=seed,
            show=show if is_first() else silent,
        )
        if is_first():
            if test is not None:
                warn_of_known_rows(test, training=train, validation=val)
            result.save(folder, test)
    return result
