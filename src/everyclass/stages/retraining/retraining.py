"""Stage 2: a fresh last layer on cached features, retrained so that every class counts."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from everyclass.artifacts import Features, Head, some
from everyclass.errors import InputError
from everyclass.processes import barrier, from_first, is_first
from everyclass.progress import Progress, silent
from everyclass.stages.retraining.crossfitting import (
    PENALTIES,
    CrossFit,
    balanced_log_loss,
    check_room,
    cross_fit,
    folds_of,
    mean_log_probability,
)
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.minibatch_solver import MinibatchSettings, fit_minibatches
from everyclass.stages.retraining.objectives import Objective, ObjectiveName
from everyclass.stages.retraining.standardised import standardised

__all__ = [
    "Retraining",
    "Solver",
    "cross_fit_objective",
    "penalties_to_try",
    "resumable",
    "retrain",
]

Solver = Literal["exact", "minibatch", "running"]

# In units of 1 / C, since eq. 1 counts a class as one observation however many images it has. The
# weak ones are tried on held-out data only: features of a network that knows its training images by
# heart look separable to any cross-fitting (docs/experiments.md).
CLASS_PENALTIES = (4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
WEAK_CLASS_PENALTIES = (0.01, 0.003, 0.001)


@dataclass(frozen=True)
class Retraining:
    """How a head is retrained.

    Attributes:
        objective: "gml", "balanced_softmax", "class_weighted", "cross_entropy", or for MiSLAS
            "smoothing" and "gml_and_smoothing"; see :class:`Objective`.
        gml_weight: of GML in "gml_and_smoothing".
        smoothing: ε of the largest and the smallest class, in the two objectives with smoothing.
        reweight: whether "gml" uses eq. 3 (table 8 turns it off).
        resample: draw classes alike instead of images alike; mini-batches only (table 8).
        solver: "exact" minimises over all images at once (L-BFGS); "minibatch" is SGD as in the
            paper; "running" is SGD with running class means, of "gml" alone.
        penalty: on the squared weights; None chooses it, on validation data where there are some,
            else by cross-fitting with the exact solver, whichever one fits the head.
        minibatch: settings of the two SGD solvers.
        checkpoints: folder to keep finished heads and unfinished SGD in, so that what is stopped
            goes on; it changes nothing in the result, and whoever names it removes it.
    """

    objective: ObjectiveName = "gml"
    gml_weight: float = 10.0
    smoothing: tuple[float, float] = (0.4, 0.1)
    reweight: bool = True
    resample: bool = False
    solver: Solver = "exact"
    penalty: float | None = None
    minibatch: MinibatchSettings = field(default_factory=MinibatchSettings)
    checkpoints: Path | None = None

    def __post_init__(self) -> None:
        if self.objective not in get_args(ObjectiveName):
            raise InputError(
                f"The objective must be one of {', '.join(get_args(ObjectiveName))}; "
                f"got {self.objective!r}."
            )
        if self.solver not in get_args(Solver):
            raise InputError(
                f"The solver must be one of {', '.join(get_args(Solver))}; got {self.solver!r}."
            )
        if not 0 <= self.gml_weight < math.inf:
            raise InputError(
                f"The weight of GML must be at least 0 and finite; got {self.gml_weight}."
            )
        object.__setattr__(self, "smoothing", tuple(self.smoothing))  # a list, as read from JSON
        if len(self.smoothing) != 2 or not all(0 <= epsilon <= 1 for epsilon in self.smoothing):
            raise InputError(
                "The smoothing is that of the largest and of the smallest class, each from 0 to 1; "
                f"got {self.smoothing}."
            )
        if not self.reweight and "gml" not in self.objective:
            raise InputError(
                f"Re-weighting (eq. 3) is a part of GML; with the objective {self.objective} there "
                "is none to leave out."
            )
        if self.solver == "running" and self.objective != "gml":
            raise InputError(
                "The solver running follows the class means of GML, which the objective "
                f"{self.objective} does not have; use exact, or minibatch."
            )
        if self.resample and self.solver == "exact":
            raise InputError("Re-sampling needs mini-batches: use solver 'minibatch'.")
        if self.minibatch.precision != "fp32" and self.solver == "exact":
            raise InputError(
                "The exact solver computes in float32, since L-BFGS needs its digits; bf16 goes "
                "with the solvers minibatch and running."
            )
        if self.penalty is not None and not 0 <= self.penalty < math.inf:
            raise InputError(f"The penalty must be at least 0 and finite; got {self.penalty}.")

    def for_objective(self, objective: ObjectiveName) -> Retraining:
        """The same with another objective, without what is GML's alone."""
        if objective == "gml":
            return replace(self, objective=objective)
        solver: Solver = "minibatch" if self.solver == "running" else self.solver
        return replace(self, objective=objective, reweight=True, solver=solver)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for ``result.json``."""
        values = asdict(self)
        del values["checkpoints"]
        if "smoothing" not in self.objective:
            del values["smoothing"]
        if self.solver == "exact":
            del values["minibatch"]
        return values


def _objective(train: Features, settings: Retraining) -> Objective:
    counts = torch.from_numpy(train.class_counts.counts.copy()).float()
    return Objective(
        settings.objective, counts, settings.reweight, settings.gml_weight, settings.smoothing
    )


def penalties_to_try(
    settings: Retraining, num_classes: int, *, held_out: bool = False
) -> tuple[float, ...]:
    """The penalties to choose from, the strongest first; only the one that is set, if one is.

    Args:
        settings: whose objective says what a penalty is relative to.
        num_classes: C.
        held_out: whether they are judged on samples that the network was not trained on.
    """
    if settings.penalty is not None:
        return (settings.penalty,)
    if settings.objective in ("cross_entropy", "balanced_softmax"):
        return PENALTIES
    shares = CLASS_PENALTIES + (WEAK_CLASS_PENALTIES if held_out else ())
    # A sum of losses is held by so many times the penalty of one.
    losses = 1 + settings.gml_weight if settings.objective == "gml_and_smoothing" else 1.0
    return tuple(losses * share / num_classes for share in shares)


def cross_fit_objective(
    train: Features, settings: Retraining, *, seed: int = 0, show: Progress = silent
) -> CrossFit:
    """Choose the penalty of an objective by cross-fitting, and let its heads judge held-out images.

    The penalty is chosen by exact fits; see :func:`cross_fit`. Cross entropy is judged by the
    likelihood of held-out images, the others by eq. 1 on them. The held-out logits, which
    temperature, verdict and cost come from, are of heads that the solver of the settings fitted to
    all views under that penalty: with SGD one more fit per fold, which goes on where it was stopped
    if the settings name a folder for that. ``scores`` are those of the exact fits.

    Args:
        train: training features.
        settings: how the head is retrained.
        seed: of the folds, and of the order of mini-batches.
        show: how progress is shown.

    Raises:
        InputError: what :func:`cross_fit` refuses; with SGD, a class without images.
        RunFailedError: a fit diverged.
    """
    if settings.solver == "exact":
        return _exact_cross_fit(train, settings, seed, show)
    check_room(train, also=train.nbytes)
    fit = _exact_cross_fit(train, settings, seed, show)
    under = replace(settings, penalty=fit.penalty)
    return replace(fit, logits=_held_out_logits(train, under, fit.rows, seed, show))


def _held_out_logits(
    train: Features, settings: Retraining, rows: npt.NDArray[np.intp], seed: int, show: Progress
) -> npt.NDArray[np.float32]:
    """(m, C) of the rows that are held out, each from a head fitted to the other folds."""
    logits = np.zeros((len(train), train.num_classes), dtype=np.float32)
    fold_of = folds_of(train, seed=seed)
    for fold in np.unique(fold_of[rows]).tolist():
        inside = fold_of == fold
        # All views, since the number of steps that SGD takes depends on them.
        head = retrain(train.take(np.flatnonzero(~inside)), settings, seed=seed, show=show)
        logits[inside] = head.logits(train.views[0, inside])
    return logits[rows]


def _exact_cross_fit(train: Features, settings: Retraining, seed: int, show: Progress) -> CrossFit:
    plain = settings.objective == "cross_entropy"
    return cross_fit(
        train,
        _objective(train, settings),
        mean_log_probability if plain else balanced_log_loss,
        penalties=penalties_to_try(settings, train.num_classes),
        seed=seed,
        title=f"cross-fitting {settings.objective.replace('_', ' ')}",
        show=show,
    )


def retrain(
    train: Features, settings: Retraining | None = None, *, seed: int = 0, show: Progress = silent
) -> Head:
    """Fit a fresh linear head to cached features.

    Args:
        train: training features, all views; every class needs at least one image.
        settings: default: the exact GML objective, its penalty chosen by cross-fitting.
        seed: of the folds and of the order of mini-batches.
        show: how progress is shown.

    Returns:
        A linear head for the features as they are.

    Raises:
        InputError: a class without images.
        RunFailedError: the fit diverged.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1], [90, 10])
        >>> features = generator.normal(size=(100, 3)) + 2 * labels[:, None]
        >>> head = retrain(Features(features, labels), Retraining(penalty=1e-3))
        >>> head.weight.shape
        (2, 3)
    """
    settings = settings or Retraining()
    if len(train.class_counts.missing):
        named = some([train.class_counts.describe(int(c)) for c in train.class_counts.missing])
        raise InputError(f"There is no training image of {named}; a head cannot learn that.")
    penalty = settings.penalty
    if penalty is None:
        penalty = _exact_cross_fit(train, settings, seed, show).penalty
    if settings.checkpoints is None:
        return _fit(train, replace(settings, penalty=penalty), seed, None, show)
    name = _fingerprint(train, settings, penalty, seed)
    kept = Path(settings.checkpoints) / f"{name}-head.safetensors"
    if from_first(kept.is_file()):
        return Head.load(kept)
    unfinished = kept.with_name(f"{name}-state.safetensors")
    head = _fit(train, replace(settings, penalty=penalty), seed, unfinished, show)
    if is_first():
        head.save(kept)
        unfinished.unlink(missing_ok=True)
    barrier()
    return head


def _fit(
    train: Features, settings: Retraining, seed: int, checkpoint: Path | None, show: Progress
) -> Head:
    """A head under the penalty that is set."""
    penalty = settings.penalty
    assert penalty is not None
    data = standardised(train)
    objective = _objective(train, settings)
    if settings.solver == "exact":
        return data.head(*fit_exact(data, objective, penalty))
    sampling = None
    if settings.resample:
        sampling = 1 / objective.counts[data.labels]
        objective = replace(objective, balanced=True)
    return data.head(
        *fit_minibatches(
            data,
            objective,
            penalty,
            settings.minibatch,
            running=settings.solver == "running",
            sampling=sampling,
            seed=seed,
            checkpoint=checkpoint,
            show=show,
        )
    )


@contextmanager
def resumable(settings: Retraining, folder: Path, *, large: bool = False) -> Iterator[Retraining]:
    """Settings that keep heads and states in ``folder`` until all is done, where fits are long.

    Args:
        settings: of the fits.
        folder: of the results; what is kept there does not count as results.
        large: whether an exact fit is long as well.
    """
    if settings.solver == "exact" and not large:
        yield settings
        return
    hidden = folder / ".retraining.tmp-kept"
    hidden.mkdir(exist_ok=True)
    try:
        yield replace(settings, checkpoints=hidden)
    except BaseException:
        with suppress(OSError):
            hidden.rmdir()  # unless something is kept in it
        raise
    barrier()
    if is_first():
        shutil.rmtree(hidden)


def _fingerprint(train: Features, settings: Retraining, penalty: float, seed: int) -> str:
    """What a fit follows from."""
    sizes = [train.num_views, len(train), train.num_features, train.num_classes]
    asked = json.dumps([sizes, settings.to_dict(), penalty, seed], sort_keys=True)
    digest = hashlib.sha256(asked.encode() + train.labels.tobytes())
    digest.update(train.digest.encode())
    return digest.hexdigest()[:16]
