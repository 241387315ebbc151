"""τ-normalisation: each class's weights divided by their length to the power τ (Kang et al. 2020).

The bias is dropped, as in the authors' code, so z_c becomes (z_c − b_c) / ‖w_c‖^τ: a scale and a
bias like any other, once the head is known. τ is chosen on the held-out samples, as the authors
do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method, maximise
from everyclass.adjustment.objectives import ClassObjective
from everyclass.artifacts import Adjustment

LARGEST_TAU = 4.0
SHORTEST = 1e-3  # length of a class's weights that counts, as a share of the mean length
Vector = npt.NDArray[np.float64]


def fit(samples: HeldOut, goal: ClassObjective) -> Adjustment:
    """Choose τ.

    Args:
        samples: with the linear ``head`` that made the logits.
        goal: the objective.
    """
    assert samples.head is not None
    dropped = samples.head.bias.astype(np.float64)
    lengths = np.linalg.norm(samples.head.weight.astype(np.float64), axis=1)
    # A row of zeros has no length to divide by, and must not tear the scales of others apart.
    shortest = max(SHORTEST * lengths.mean(), np.finfo(np.float32).tiny)
    log_lengths = np.log(np.maximum(lengths, shortest))
    log_lengths -= log_lengths.mean()  # which keeps the temperature

    def family(parameters: Vector) -> tuple[Vector, Vector]:
        scale = np.exp(-parameters[0] * log_lengths)
        return scale, -scale * dropped

    def backward(parameters: Vector, by_scale: Vector, by_bias: Vector) -> Vector:
        scale = np.exp(-parameters[0] * log_lengths)
        return np.array([(by_bias * dropped - by_scale) @ (scale * log_lengths)])

    found = maximise(
        samples,
        goal,
        family,
        backward,
        np.array([1.0]),
        bounds=[(0.0, LARGEST_TAU)],
    )
    return Adjustment(*family(found), METHOD.name, {"tau": float(found[0])})


METHOD = Method(
    name="tau_norm",
    summary="weights divided by their length to the power τ, without the bias",
    source="Kang et al. 2020",
    fit=fit,
    needs=("head",),
)
