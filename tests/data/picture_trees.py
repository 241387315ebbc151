"""Small sets of pictures on disk, for tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def a_picture(label: int, number: int, kind: str = "JPEG", side: int = 40) -> bytes:
    """A picture whose colour says its class, with noise and a shape of its own."""
    rng = np.random.default_rng([label, number])
    colour = np.random.default_rng(label).integers(40, 216, 3)
    height, width = side + int(rng.integers(0, 9)), side + int(rng.integers(0, 9))
    pixels = colour + rng.normal(0, 20, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def write_tree(root: Path, counts: dict[str, list[int]]) -> dict[str, Path]:
    """Folders ``part/class/number.jpg`` and a list ``part.txt`` of each part."""
    lists = {}
    first = 0
    for part, sizes in counts.items():
        lines = []
        for label, size in enumerate(sizes):
            folder = root / part / f"class{label:02}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(first, first + size):
                path = folder / f"{number}.jpg"
                path.write_bytes(a_picture(label, number))
                lines.append(f"{path.relative_to(root)} {label}\n")
        first += 10_000
        lists[part] = root / f"{part}.txt"
        lists[part].write_text("".join(lines))
    return lists
