"""SHIKE (Jin et al., CVPR 2023): experts that teach each other what is wrong, too."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import check_experts, check_label_range, checked_labels, loss_dtype
from everyclass.losses._weighted import LossModule
from everyclass.processes import Group

__all__ = ["SHIKELoss", "shike_loss"]

_NOWHERE = -1e9  # a logit whose probability is 0 and whose logarithm is still a number


def shike_loss(
    expert_logits: Tensor, labels: Tensor, *, hardest: float = 10.0, mutual: float = 1.0
) -> Tensor:
    """Cross entropy of each expert, and two divergences between what the experts say.

    L = Σ_e [ CE(z_e, y) + λ_h/C · KL( h ‖ q_e ) + λ_m/C · Σ_{j≠e} KL( p_j ‖ p_e ) ]

    p_e = softmax(z_e), and q_e the same without the label's class. h is a softmax over those other
    classes: of the largest of the experts' logits for each, but of their mean for the class whose
    mean is largest, so that the hardest wrong class is pulled down. Gradients go through all of it.
    As in the published code, which averages the divergences over images *and* classes (hence 1/C);
    there the label's class stays in h with a logit of 0, which is not copied.

    Args:
        expert_logits: z, (E, n, C) floating point, E ≥ 1, n ≥ 1, C ≥ 2.
        labels: y, (n,) integers in 0..C−1.
        hardest: λ_h ≥ 0.
        mutual: λ_m ≥ 0.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: logits that are not (E, n, C), one class only, labels that do not fit.
        InputTypeError: labels that are no integers.

    Example:
        >>> logits = torch.tensor([[[2.0, 1.0, 0.0]], [[2.0, 0.0, 1.0]]])
        >>> shike_loss(logits, torch.tensor([0]))
        tensor(1.9211)
    """
    check_number("hardest", hardest)
    check_number("mutual", mutual)
    check_experts(expert_logits, fewest_classes=2)
    labels = checked_labels(expert_logits[0], labels, None)
    check_label_range(labels, expert_logits.shape[2])
    logits = expert_logits.to(loss_dtype(expert_logits))
    individual = torch.stack([F.cross_entropy(z, labels) for z in logits]).sum()
    images, classes = logits.shape[1:]
    logits = logits.clamp(min=_NOWHERE)
    together = hardest * _from_hardest(logits, labels) + mutual * _from_each_other(logits)
    return individual + together / (images * classes)


def _from_hardest(logits: Tensor, labels: Tensor) -> Tensor:
    """Σ over experts and images of KL(h ‖ q)."""
    others = logits.scatter(2, labels.expand(len(logits), -1)[..., None], _NOWHERE)
    mean = others.mean(dim=0)
    hardest = mean.argmax(dim=1, keepdim=True)
    followed = others.amax(dim=0).scatter(1, hardest, mean.gather(1, hardest)).log_softmax(dim=1)
    return (followed.exp() * (followed - others.log_softmax(dim=2))).sum()


def _from_each_other(logits: Tensor) -> Tensor:
    """Σ over pairs of experts and over images of KL(p_j ‖ p_e)."""
    logs = logits.log_softmax(dim=2)
    shares = logs.exp()
    own = len(logits) * (shares * logs).sum()
    return own - (shares.sum(dim=0) * logs.sum(dim=0)).sum()


class SHIKELoss(LossModule):
    """SHIKE's first stage as a module; see :func:`shike_loss` for the equation and errors.

    Args:
        hardest, mutual: weights of the two divergences, ≥ 0.
        process_group, sync: as in :class:`GMLLoss`.

    Shape:
        expert_logits (E, n, C) and labels (n,) → scalar.

    Example:
        >>> loss_fn = SHIKELoss()
        >>> logits = torch.tensor([[[2.0, 1.0, 0.0]], [[2.0, 0.0, 1.0]]])
        >>> loss_fn(logits, torch.tensor([0]))
        tensor(1.9211)
    """

    _shown = ("hardest", "mutual")

    def __init__(
        self,
        *,
        hardest: float = 10.0,
        mutual: float = 1.0,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_number("hardest", hardest)
        check_number("mutual", mutual)
        self.hardest, self.mutual = hardest, mutual

    def forward(self, expert_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        return self._mean_over_processes(shike_loss, expert_logits, labels, **options)
