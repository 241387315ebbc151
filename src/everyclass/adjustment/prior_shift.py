"""Probabilities for a prior that is said: uniform, the deployment's, or one that is estimated.

Offsets that make the worst class better are made for decisions; probabilities have to say for
which prior they are. Here softmax(z / t − a log π) is made most likely on the held-out samples,
every class weighing alike: that is the posterior under a uniform prior. The deployment's adds log
q_c (Saerens, Latinne and Decaestecker 2002), whose EM finds q from unlabelled logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.sparse

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.sample_weights import balanced_weights
from everyclass.artifacts import Adjustment, ClassCounts, as_array, as_floats, some
from everyclass.errors import InputError
from everyclass.metrics import log_probabilities

__all__ = ["as_shares", "estimate_prior", "fit_balanced", "with_prior"]

LARGEST_SCALE = 20.0
RIDGE = 1.0
Vector = npt.NDArray[np.float64]


def fit_balanced(samples: HeldOut) -> Adjustment:
    """The adjustment whose softmax is the posterior under a uniform prior.

    With training shares two numbers are fitted, 1/t and a. Without them it is 1/t and a bias for
    each class with enough samples, under a ridge (temperature scaling with biases: Alexandari,
    Kundaje and Shrikumar 2020).

    Args:
        samples: with ``log_prior`` where it is known.
    """
    classes, labels = samples.num_classes, samples.labels
    rows = np.arange(len(labels))
    weight = balanced_weights(labels)
    # Columns: the directions in which the biases may move.
    directions: Any
    if samples.log_prior is not None:
        directions = (samples.log_prior.mean() - samples.log_prior)[:, None]
        ridge = 0.0
    else:
        # Sparse: it only puts biases in their places, of thousands of classes too.
        directions = scipy.sparse.eye_array(classes, format="csc")[:, samples.enough]
        ridge = RIDGE / len(labels)
    logits = samples.logits.astype(np.float64)

    def loss(parameters: Vector) -> tuple[float, Vector]:
        log_p = log_probabilities(
            parameters[0] * logits + directions @ parameters[1:], are_logits=True
        )
        residual = np.exp(log_p)
        residual[rows, labels] -= 1
        residual *= weight[:, None]
        of_bias = directions.T @ residual.sum(axis=0)
        gradient = np.append((residual * logits).sum(), of_bias + ridge * parameters[1:])
        value = -(weight * log_p[rows, labels]).sum()
        return float(value + 0.5 * ridge * (parameters[1:] ** 2).sum()), gradient

    found = scipy.optimize.minimize(
        loss,
        np.append(1 / samples.temperature, np.zeros(directions.shape[1])),
        jac=True,
        method="L-BFGS-B",
        bounds=[(1 / LARGEST_SCALE, LARGEST_SCALE)] + [(None, None)] * directions.shape[1],
    )
    scale = float(found.x[0])
    notes = {"temperature": 1 / scale, "prior": "balanced"}
    return Adjustment(np.full(classes, scale), directions @ found.x[1:], "prior", notes)


def with_prior(balanced: Adjustment, prior: Any) -> Adjustment:
    """The posterior under another prior than the uniform one: log q_c is added.

    Args:
        balanced: from :func:`fit_balanced`.
        prior: counts or shares per class.

    Raises:
        InputError: a wrong number of classes, or one that never occurs.
    """
    shares = as_shares(prior, balanced.num_classes, balanced.class_names)
    notes = {**balanced.notes, "prior": shares.tolist()}
    return Adjustment(
        balanced.scale, balanced.bias + np.log(shares), "prior", notes, balanced.class_names
    )


def as_shares(prior: Any, num_classes: int, names: tuple[str, ...] | None = None) -> Vector:
    """(C,) shares that sum to one, of counts or shares in any form; by name in the order of names.

    Raises:
        InputError: another number of classes, a name that is missing or unknown, a negative share,
            or one without any.
    """
    if isinstance(prior, ClassCounts):
        values = ClassCounts.of(prior, names=names).counts.astype(np.float64)
    else:
        is_named = isinstance(prior, Mapping)
        given = _in_order(prior, num_classes, names) if is_named else as_array(prior)
        values = as_floats(given, name="prior", ndim=(1,)).astype(np.float64)
    if len(values) != num_classes:
        raise InputError(
            f"The prior has {len(values)} entries and there are {num_classes} classes; give one "
            "count or share per class, in class order."
        )
    if values.min() <= 0:
        worst = int(values.argmin())
        raise InputError(
            f"prior[{worst}] is {values[worst]:g}: a class that never occurs would never be "
            "predicted; give every class at least a small share."
        )
    return np.asarray(values / values.sum())


def _in_order(
    prior: Mapping[Any, Any], num_classes: int, names: tuple[str, ...] | None
) -> list[Any]:
    """The values of a mapping from class index or name, in class order."""
    if all(isinstance(key, int | np.integer) for key in prior):
        order: Sequence[Any] = range(num_classes)
    else:
        prior = {str(key): value for key, value in prior.items()}
        order = list(prior) if names is None else names
    known = set(order)
    missing = [key for key in order if key not in prior]
    unknown = [key for key in prior if key not in known]
    if missing or unknown:
        raise InputError(
            f"The prior does not fit the classes: missing {some(missing) or 'none'}, unknown "
            f"{some(unknown) or 'none'}; give one count or share for each of them."
        )
    return [prior[key] for key in order]


def estimate_prior(
    logits: Any, *, rounds: int = 1000, tolerance: float = 1e-6
) -> npt.NDArray[np.float64]:
    """Shares of the classes in unlabelled samples, by expectation maximisation.

    q_c ← mean_i softmax(z_i + log q)_c until no share moves (Saerens et al. 2002). Nothing in it
    checks the assumption that only the classes' shares differ. A class that no sample looks like
    ends near zero, and n samples do not show that it never occurs; so shares below 1 / 2nC are
    raised to that, and then all made to sum to one.

    Args:
        logits: (n, C) whose softmax is the posterior under a uniform prior, as
            ``fit_balanced(…).apply`` gives.
        rounds: at most.
        tolerance: the largest movement of a share to stop at.

    Returns:
        (C,) shares, all above zero.

    Example:
        >>> q = estimate_prior(np.log([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]))
        >>> bool(0.75 < q[0] < 0.85)
        True
    """
    scores = as_floats(logits, name="logits", ndim=(2,)).astype(np.float64)
    p = np.exp(log_probabilities(scores, are_logits=True))
    shares = np.full(p.shape[1], 1 / p.shape[1])
    for _ in range(rounds):
        mixed = p * shares
        mixed /= mixed.sum(axis=1, keepdims=True)
        moved = mixed.mean(axis=0)
        done = np.abs(moved - shares).max() < tolerance
        shares = moved
        if done:
            break
    shares = np.maximum(shares, 0.5 / p.size)
    return np.asarray(shares / shares.sum())
