"""Stored results: labels, predicted labels, a birth certificate; every number comes from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    as_labels,
    plain_json,
    read_npz,
    write_npz,
)
from everyclass.bench.fitting import misfit
from everyclass.bench.tables import Row, Table, data_name
from everyclass.errors import EveryclassError, FileFormatError, InputError
from everyclass.metrics import evaluate

__all__ = [
    "DEFAULT_RESULTS",
    "Result",
    "is_made",
    "load_results",
    "result_path",
]

DEFAULT_RESULTS = Path("benchmarks") / "results"


@dataclass(frozen=True, eq=False)
class Result:
    """What one run said about the test set.

    Attributes:
        labels, predicted: (n,) int64.
        class_counts: training images per class.
        certificate: code version, configuration, split fingerprint, seed, hardware, time.
    """

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    class_counts: ClassCounts
    certificate: dict[str, Any]

    @cached_property
    def evaluation(self) -> Evaluation:
        """Every number, computed anew from labels and predicted labels."""
        return evaluate(
            labels=self.labels, predicted=self.predicted, class_counts=self.class_counts
        )

    def save(self, path: str | Path) -> None:
        """Write a small ``.npz``: labels in the narrowest integers that hold them."""
        kind = np.min_scalar_type(self.class_counts.num_classes)
        certificate = json.dumps(plain_json(self.certificate), allow_nan=False)
        arrays: dict[str, npt.NDArray[Any]] = {
            "labels": self.labels.astype(kind),
            "predicted": self.predicted.astype(kind),
            "class_counts": self.class_counts.counts,
            "certificate": np.array(certificate),
        }
        if self.class_counts.names is not None:
            arrays["class_names"] = np.array(self.class_counts.names)
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not a stored result.
        """
        arrays = read_npz(path, "stored result")
        try:
            names = arrays.get("class_names")
            counts = ClassCounts(
                arrays["class_counts"], None if names is None else tuple(names.tolist())
            )
            certificate = json.loads(str(arrays["certificate"]))
            if not isinstance(certificate, dict):
                raise FileFormatError("its certificate is no JSON object")
            labels, predicted = (as_labels(arrays[n], name=n) for n in ("labels", "predicted"))
            result = cls(labels, predicted, counts, certificate)
            if result.evaluation.num_classes != counts.num_classes:
                raise FileFormatError("labels and class counts do not fit")
            run = certificate.get("run")
            trained_on = run.get("class_counts") if isinstance(run, dict) else None
            if trained_on not in (None, counts.counts.tolist()):
                raise FileFormatError("its class counts are not those of its certificate")
        except KeyError as error:
            raise FileFormatError(f"{path} is not a stored result: it has no {error}.") from error
        except (EveryclassError, ValueError, RecursionError) as error:
            reason = str(error).rstrip(".")
            raise FileFormatError(f"{path} is not a stored result: {reason}.") from error
        return result


def result_path(folder: Path, data: Mapping[str, Any], result: str, seed: int) -> Path:
    """Where the result of a row is kept: ``<results>/<data>-ir<ratio>/<row>-s<seed>.npz``."""
    return folder / data_name(data) / f"{result}-s{seed}.npz"


def load_results(folder: Path, table: Table) -> dict[str, list[Result]]:
    """Every stored run of each row, by seed; a file that does not fit is refused by name.

    Args:
        folder: with stored results; it may be missing.
        table: which one.

    Returns:
        By row name; empty lists where nothing is stored.

    Raises:
        FileFormatError: a file is no stored result.
        InputError: a result on another data set or split, of another row or seed, made otherwise
            than the row and its recipe say, or judged on other test images than the table's or the
            others.
    """
    found: dict[str, list[Result]] = {}
    first: tuple[Path, Result] | None = None
    for row in table.rows:
        place = result_path(folder, table.data, row.result, 0).parent
        runs = []
        for path in place.glob(f"{row.result}-s*.npz"):
            if not path.stem.removeprefix(f"{row.result}-s").isdecimal():
                continue
            result = _loaded(path, table, row, first)
            first = first or (path, result)
            runs.append(result)
        found[row.method] = sorted(runs, key=lambda result: int(result.certificate["seed"]))
    return found


def is_made(folder: Path, table: Table, row: Row, seed: int) -> bool:
    """Whether the result of a row is stored.

    Raises:
        FileFormatError: a file is there that is no result.
        InputError: it is one that does not fit, see :func:`load_results`.
    """
    path = result_path(folder, table.data, row.result, seed)
    return path.is_file() and bool(_loaded(path, table, row))


def _loaded(path: Path, table: Table, row: Row, first: tuple[Path, Result] | None = None) -> Result:
    """A result that fits its row, and one of the same table; a refusal ends with what to do."""
    seed = path.stem.rpartition("-s")[2]
    try:
        loaded = Result.load(path)
        wrong = misfit(loaded.labels, loaded.certificate, seed, table, row)
        if wrong is None and first is not None and not _judged_alike(first[1], loaded):
            wrong = (
                f"has other test images or training counts than {first[0]}, and one of the two is "
                "not of this table"
            )
        if wrong is not None:
            raise InputError(f"{path} {wrong}.")
    except (FileFormatError, InputError) as error:
        raise type(error)(
            f"{str(error).rstrip('.')}; move it away and make it again: everyclass bench run "
            f"{table.name} --methods {row.result} --seeds {seed}-{seed}"
        ) from error
    return loaded


def _judged_alike(one: Result, other: Result) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(
        one.class_counts.counts, other.class_counts.counts
    )
