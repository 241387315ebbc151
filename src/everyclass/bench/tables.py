"""Tables of the paper as data: their rows, the paper's numbers, and how ours are made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from everyclass.artifacts import did_you_mean
from everyclass.errors import InputError

if TYPE_CHECKING:  # tables are shown without torch
    from everyclass.training import Precision

__all__ = ["NUMBERS", "Row", "Table", "data_name", "load_table", "table_names"]

NUMBERS = ("accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
_RESULTS = "results"
_FOLDER = resources.files("everyclass.bench") / "definitions"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        method: its name, as the slides spell it; unique in its table.
        result: what its stored results are called; rows of several tables share them.
        paper: the paper's numbers as fractions; those that it does not give are absent.
        pretraining: the method that trains the network; None where there is no recipe yet.
        precision: what the network is trained in; "auto" is what the machine is fast in.
        retraining: settings of stage 2; None for the network as trained.
        val: "rest" where stage 2 chooses on the held-out images that the split leaves over.
        ensemble: whether the row is eq. 11's average.
        extra: a row of ours that the paper does not have in this table.
    """

    method: str
    result: str
    paper: dict[str, float] = field(default_factory=dict)
    pretraining: str | None = None
    precision: Precision = "auto"
    retraining: dict[str, Any] | None = None
    val: str = "none"
    ensemble: bool = False
    extra: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """How the row's results are made, as they say it in their certificates."""
        made = {
            "pretraining": self.pretraining,
            "retraining": self.retraining,
            "val": self.val,
            "ensemble": self.ensemble,
        }
        return made if self.precision == "auto" else {**made, "precision": self.precision}


@dataclass(frozen=True)
class Table:
    """A table: its rows and the data set that they are about.

    Attributes:
        name: such as ``table8``.
        title: one line.
        data: the data configuration, see ``DataConfig``.
        rows: in the paper's order, then ours.
        split: fingerprint of the training images, or None where any will do.
        test: SHA-256 (hex) of the labels of the test images, in order, as little-endian int64; or
            None where any will do.
        figure: what is drawn: recall class by class as in the paper, the first two rows over each
            other ("pair") or each row by itself ("each"); or the means of all rows against each
            other ("frontier"); None for a table.
        statistics: whether the rows are data sets, counted, and not methods.
    """

    name: str
    title: str
    data: dict[str, Any]
    rows: tuple[Row, ...]
    split: str | None = None
    test: str | None = None
    figure: Literal["pair", "each", "frontier"] | None = None
    statistics: bool = False


def data_name(data: Mapping[str, Any]) -> str:
    """What folders of a data set are called: ``cifar100-lt-ir100``, ``imagenet-lt``."""
    ratio = data.get("imbalance_ratio")
    made = str(data["name"]) if ratio is None else f"{data['name']}-ir{ratio:g}"
    return f"{made}-step" if data.get("profile") == "step" else made


def table_names() -> list[str]:
    """The names of all tables and figures with a definition."""
    files = (f.name for f in _FOLDER.iterdir())
    names = {name.removesuffix(".toml") for name in files if name.endswith(".toml")}
    return sorted(names - {_RESULTS})


def load_table(name: str) -> Table:
    """The table or figure called ``name``.

    Raises:
        InputError: there is none; the nearest name is suggested.

    Example:
        >>> [row.method for row in load_table("table8").rows][0]
        'CE'
    """
    if name not in table_names():
        hint = did_you_mean(name, table_names())
        raise InputError(f"There is no table {name!r}; there are {', '.join(table_names())}{hint}")
    values, made = _read(name), _read(_RESULTS)
    rows = {
        row["result"]: Row(**row, **made.get(row["result"], {})) for row in values.pop("rows", ())
    }
    for name_of_other in values.pop("rows_of", ()):
        other = load_table(name_of_other)
        for row in other.rows:
            of_paper = row.paper if other.data == values["data"] else {}
            rows.setdefault(row.result, replace(row, paper=of_paper))
    return Table(name=name, rows=tuple(rows.values()), **values)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
