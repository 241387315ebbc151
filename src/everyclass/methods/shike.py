"""SHIKE, stage 2: fresh cosine heads on the frozen experts, balanced softmax of each.

Jin et al. 2023. 20 epochs of cosine decay from 0.1, images drawn as they come, under the
augmentation of the first stage; as in the published code batch norm stays in train mode. The
published optimiser goes on decaying what is frozen in old versions of torch: not copied. The
published warm-up begins at three eighths of the rate, ours at a fifth.
"""

import torch
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts
from everyclass.losses import BalancedSoftmaxLoss
from everyclass.methods.ride import Experts
from everyclass.methods.shike_features import RECIPE as FEATURES
from everyclass.training import Recipe, Schedule


class EachExpert(nn.Module):
    """The sum of one loss of each expert's logits.

    Args:
        loss: of logits and labels.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, expert_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return torch.stack([self.loss(logits, labels) for logits in expert_logits]).sum()


def loss(counts: ClassCounts) -> EachExpert:
    """Balanced softmax of each expert."""
    return EachExpert(BalancedSoftmaxLoss(counts))


RECIPE = Recipe(
    name="shike",
    summary="experts of different depths under balanced heads",
    source="Jin et al. 2023",
    loss=loss,
    learner=Experts,
    start=FEATURES,
    head="3-experts",
    trained={"head": 1.0},
    shift_batch_norm=True,
    augmentation="autoaugment",
    schedule=Schedule(epochs=20, learning_rate=0.1, decay="cosine"),
    weight_decay=5e-4,
)
