"""What a rescue found: three classifiers, a verdict, and what can be done with them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from torch import nn

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    Features,
    Head,
    Predictions,
    birth_certificate,
    replaced_together,
    write_json,
)
from everyclass.metrics import evaluate
from everyclass.stages.candidates import TITLES
from everyclass.stages.costs import Cost
from everyclass.stages.deciding import ClassifierName, Verdict
from everyclass.stages.ensembling import Ensemble
from everyclass.stages.folding import fold_head

__all__ = ["RescueResult"]

_NAMES: tuple[ClassifierName, ...] = get_args(ClassifierName)


@dataclass
class RescueResult:
    """What a rescue found.

    Attributes:
        verdict: which classifier to use, and why.
        old, retrained: the two heads.
        ensemble: both with their temperatures.
        class_counts: training images per class.
        settings: how it was made, as plain values.
        strategy: the one that was asked for.
        best: the candidate that ``retrained``, or the ensemble, comes from; chosen or not.
        by_fold: for each fifth of the deciding images, what the other four chose.
        candidates: what was compared, "none" first, with numbers on the deciding images; what is
            chosen for one of them, such as a penalty, is chosen on other parts of those.
        cost: of the best candidate, on the deciding images.
        evaluations: of the last test set given to :meth:`evaluate`, by classifier.
    """

    verdict: Verdict
    old: Head
    retrained: Head
    ensemble: Ensemble
    class_counts: ClassCounts
    settings: dict[str, Any]
    strategy: str = "gml"
    best: str = "gml"
    by_fold: tuple[str, ...] = ()
    candidates: list[dict[str, Any]] = field(default_factory=list)
    cost: Cost | None = None
    evaluations: dict[str, Evaluation] = field(default_factory=dict)

    @property
    def chosen(self) -> str:
        """The candidate that the verdict recommends: "none", or the best one."""
        return "none" if self.verdict.use == "old" else self.best

    @property
    def title(self) -> str:
        """The best candidate in words."""
        return TITLES.get(self.best, f"a head retrained with {self.best.replace('_', ' ')}")

    def classifier(self, which: ClassifierName | None = None) -> Head | Ensemble:
        """One of the three classifiers; default the one that the verdict recommends."""
        classifiers: dict[ClassifierName, Head | Ensemble] = {
            "old": self.old,
            "retrained": self.retrained,
            "ensemble": self.ensemble,
        }
        return classifiers[which or self.verdict.use]

    def predict(self, test: Features, which: ClassifierName | None = None) -> Predictions:
        """Predictions of one classifier on features (the first view of each image).

        Args:
            test: features of the same backbone.
            which: default the one that the verdict recommends.
        """
        return Predictions(
            labels=test.labels,
            logits=self.classifier(which).logits(test.views[0]),
            class_names=self.class_counts.names,
            class_counts=self.class_counts,
            ids=test.ids,
        )

    def evaluate(self, test: Features) -> tuple[Evaluation, Evaluation]:
        """Judge all three classifiers on a test set that played no part in the rescue.

        Args:
            test: features of the same backbone.

        Returns:
            The old classifier's evaluation and that of the recommended one (the same one twice if
            no change is recommended); all three stay in ``evaluations``.
        """
        self.evaluations = {name: evaluate(self.predict(test, name)) for name in _NAMES}
        return self.evaluations["old"], self.evaluations[self.verdict.use]

    def to_module(self, model: nn.Module, which: ClassifierName | None = None) -> nn.Module:
        """A copy of the user's network with the new last layer; the original stays as it was.

        Args:
            model: the network that the features came from.
            which: default the classifier that the verdict recommends. "ensemble" puts a layer
                with twice the rows in the place of the last one; its output is the log of eq. 11.

        Raises:
            InputError: the network has no layer with the old head's weights.
        """
        return fold_head(model, self.old, self.classifier(which))

    def report(self, path: str | Path, *, title: str = "Rescue of the worst classes") -> Path:
        """Write the report of this rescue, with the last test set given to :meth:`evaluate`.

        Args:
            path: the HTML file to write.
            title: its heading.
        """
        from everyclass.reporting import RescueReport, write_report

        report = RescueReport(
            title=title,
            verdict=self.verdict.to_dict(),
            evaluations=self.evaluations,
            class_counts=self.class_counts,
            settings=self.settings,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )
        return write_report(path, report)

    def _repr_html_(self) -> str:
        """Verdict, candidates and test numbers, as a notebook shows them."""
        from everyclass.reporting import rescue_html

        return rescue_html(self)

    def save(self, folder: str | Path, test: Features | None = None) -> None:
        """Write heads, ``evaluation.json``, ``result.json``, ``report.html`` into ``folder``.

        Either all of it is written or what stood there stays.

        Args:
            folder: made if it is not there; what an earlier rescue left there is replaced.
            test: if given, all three are judged on it and their predictions are written too.

        Raises:
            OutputError: no permission, or no space.
        """
        if test is not None:
            self.evaluate(test)
        with replaced_together(folder, stale=[f"{name}.npz" for name in _NAMES]) as new:
            if test is not None:
                for name in _NAMES:
                    self.predict(test, name).save(new / f"{name}.npz")
            self.old.save(new / "old-head.safetensors")
            self.retrained.save(new / "head.safetensors")
            write_json(new / "evaluation.json", self.to_dict())
            write_json(new / "result.json", {"settings": self.settings, **birth_certificate()})
            self.report(new / "report.html")

    def to_dict(self) -> dict[str, Any]:
        """The content of ``evaluation.json``: verdict, what it rests on, and each evaluation."""
        chosen = self.chosen
        return {
            "format": 1,
            "verdict": self.verdict.to_dict(),
            "strategy": {
                "asked": self.strategy,
                "best": self.best,
                "chosen": chosen,
                "by_fold": list(self.by_fold),
            },
            "candidates": [{**each, "chosen": each["name"] == chosen} for each in self.candidates],
            "cost": None if self.cost is None else self.cost.to_dict(),
            "temperatures": {"old": self.ensemble.t_old, "retrained": self.ensemble.t_new},
            **{name: evaluation.to_dict() for name, evaluation in self.evaluations.items()},
        }
