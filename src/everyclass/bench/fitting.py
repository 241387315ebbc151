"""Whether a stored result is what a row of a table is about: the first thing that is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.bench.recipes import config_differences
from everyclass.bench.tables import Row, Table, data_name

__all__ = ["misfit"]

# What DataConfig and Retraining have where a table and its rows say nothing.
USUAL_DATA = {"profile": "exp", "val": "none", "bad_images": "fail"}
USUAL_RETRAINING = {"reweight": True, "resample": False, "solver": "exact"}
# What a rescue calls the images that it decides on, with the held-out ones that `val` names.
DECIDED_ON = {"none": "cross-fitting on the training features", "rest": "validation data"}


def misfit(
    labels: npt.NDArray[np.int64], said: dict[str, Any], seed: str, table: Table, row: Row
) -> str | None:
    """In words, the first thing in which a stored result does not fit its row; None if all fits.

    Args:
        labels: of the images that it was judged on.
        said: its certificate.
        seed: the one in its file's name.
        table: with the row.
        row: whose result it should be.
    """
    checks = (
        _of_table(labels, said, table, row),
        _of_network(said, seed, table, row),
        _of_rescue(said, seed, row),
    )
    return next(chain(*checks), None)


def _of_table(
    labels: npt.NDArray[np.int64], said: dict[str, Any], table: Table, row: Row
) -> Iterator[str]:
    if _unlike(_dict(said.get("data")), table.data):
        yield f"is of other data ({said.get('data')}) than the table ({table.data})"
    if said.get("result") != row.result:
        yield f"says it is {said.get('result')!r}, and not {row.result!r}, as it is named"
    if table.split is not None and said.get("split_fingerprint") != table.split:
        yield (
            f"is of another split of the training images; its fingerprint is "
            f"{said.get('split_fingerprint')}, the table's {table.split}"
        )
    judged_on = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    if table.test is not None and judged_on != table.test:
        yield (
            f"was judged on other test images; the fingerprint of their {len(labels):,} labels is "
            f"{judged_on}, the table's {table.test}"
        )
    if said.get("definition") != row.definition:
        yield f"was made otherwise ({said.get('definition')}) than the row says ({row.definition})"


def _of_network(said: dict[str, Any], seed: str, table: Table, row: Row) -> Iterator[str]:
    config = _dict(_dict(said.get("run")).get("config"))
    if not config:
        yield "does not say how its network was trained"
    for own in (said.get("seed"), config.get("seed")):
        if str(own) != seed:
            yield f"is of seed {own}, and not of {seed}, as it is named"
    trained_on = _dict(config.get("data"))
    if not trained_on or _unlike({**USUAL_DATA, **trained_on}, {**USUAL_DATA, **table.data}):
        yield f"has a network that was trained on {trained_on}, and not on {table.data}"
    if row.precision not in ("auto", config.get("precision")):
        yield f"has a network trained in {config.get('precision')}, and not in {row.precision}"
    different = config_differences(config, str(row.pretraining), data_name(table.data))
    if different:
        yield f"has another network than {row.pretraining} makes ({'; '.join(different)})"


def _of_rescue(said: dict[str, Any], seed: str, row: Row) -> Iterator[str]:
    rescue = _dict(said.get("rescue"))
    settings = _dict(rescue.get("retraining"))
    if row.retraining is None:
        if rescue:
            yield "has a retrained head, and the row has the network as trained"
        return
    if not settings:
        yield "does not say how its head was retrained"
    own = {"strategy": "gml", "decided_on": DECIDED_ON[row.val], "seed": int(seed)}
    of_method = _dict(said["run"]["config"].get("recipe")).get("retraining")
    different = [
        *_unlike({**own, **rescue}, own),  # what earlier results do not say was so
        *_unlike({**USUAL_RETRAINING, **settings}, _retraining(_dict(of_method), row.retraining)),
    ]
    if different:
        yield f"has a head that was retrained otherwise than the row says ({'; '.join(different)})"


def _retraining(of_method: dict[str, Any], of_row: dict[str, Any]) -> dict[str, Any]:
    """What the settings of stage 2 must be."""
    asked = {**USUAL_RETRAINING, **of_method, **of_row}
    if "smoothing" not in str(asked.get("objective")):  # it is not told where it plays no part
        asked.pop("smoothing", None)
    return asked


def _unlike(said: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """In words, where it says something else than is asked for."""
    return [
        f"{key}: {said.get(key)} there, {value} asked for"
        for key, value in asked.items()
        if said.get(key) != value
    ]


def _dict(value: Any) -> dict[str, Any]:
    """What a certificate says, if it is of several values; else nothing."""
    return value if isinstance(value, dict) else {}
