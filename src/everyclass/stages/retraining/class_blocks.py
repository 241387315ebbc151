"""Rows cut into blocks of whole classes, so that the logits of one block are all that is held.

The gradient of an image needs the mean probability of its class. Where all images of the class are
in one block that mean is there when the block's logits are, and one pass over the rows is enough
for the exact objective. Blocks of other cuts would need two, and so does a class that is larger
than a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from everyclass.processes import rank, world_size

__all__ = ["LOGITS_PER_BLOCK", "Block", "class_blocks"]

LOGITS_PER_BLOCK = 1 << 24  # 64 MB of float32
BLOCKS_PER_PROCESS = 4  # so that none has much more to do than the others


@dataclass(frozen=True)
class Block:
    """Rows that follow each other.

    Attributes:
        parts: (start, stop) of what is computed at a time; several only for one large class.
    """

    parts: tuple[tuple[int, int], ...]


def class_blocks(labels: Tensor, num_classes: int) -> tuple[Tensor | None, list[Block]]:
    """Cut rows into blocks of whole classes.

    Args:
        labels: (rows,) int64.
        num_classes: C.

    Returns:
        The order of the rows in which classes follow each other, or None for the order in which
        they are; and this process's blocks of them.
    """
    rows = len(labels)
    most = max(1, LOGITS_PER_BLOCK // num_classes)
    if world_size() > 1:
        most = min(most, max(1, -(-rows // (BLOCKS_PER_PROCESS * world_size()))))
    if rows <= most:
        return None, [Block(((0, rows),))]
    blocks: list[Block] = []
    start = stop = 0
    for size in torch.bincount(labels, minlength=num_classes).tolist():
        if stop > start and stop + size - start > most:
            blocks.append(_block(start, stop, most))
            start = stop
        stop += size
    if stop > start:  # else the last classes have no row
        blocks.append(_block(start, stop, most))
    return labels.argsort(stable=True), blocks[rank() :: world_size()]


def _block(start: int, stop: int, most: int) -> Block:
    return Block(tuple((at, min(at + most, stop)) for at in range(start, stop, most)))
