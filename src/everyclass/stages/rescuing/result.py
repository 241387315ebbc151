"""What a rescue found: three classifiers, a verdict, and what can be done with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from torch import nn

from everyclass.artifacts import (
    ClassCounts,
    Diagnosis,
    Evaluation,
    Features,
    Head,
    Predictions,
    birth_certificate,
    replaced_together,
    write_json,
)
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import (
    Certainty,
    Evidence,
    HeldOutAnswers,
    diagnose_predictions,
    evaluate,
    worst_classes,
)
from everyclass.stages.choosing.candidates import TITLES
from everyclass.stages.choosing.deciding import ClassifierName, Verdict
from everyclass.stages.choosing.ensembling import Ensemble
from everyclass.stages.diagnosing.neighbours import nearest_classes
from everyclass.stages.rescuing.costs import Cost
from everyclass.stages.rescuing.folding import fold_head
from everyclass.stages.rescuing.own_folder import MARK, check_own_folder
from everyclass.stages.rescuing.single_layer import SingleLayer, approximate_by_one_layer

__all__ = ["RescueResult"]

_NAMES: tuple[ClassifierName, ...] = get_args(ClassifierName)


@dataclass
class RescueResult:
    """What a rescue found.

    Attributes:
        verdict: which classifier to use, and why.
        old, retrained: the two heads. Where the new one was retrained it is calibrated; an offset
            keeps the old one's scale.
        ensemble: both, with the temperatures that their logits are still to be divided by.
        class_counts: training images per class.
        settings: how it was made, as plain values.
        strategy: the one that was asked for.
        best: the candidate that ``retrained``, or the ensemble, comes from; chosen or not.
        by_fold: for each fifth of the deciding images, what the other four chose.
        candidates: what was compared, "none" first, with numbers on the deciding images; of the
            strategy "gml" a plain offset and class weights come last, which are not chosen. Of a
            penalty they are of parts that did not choose it where there are validation features;
            one that was cross-fitted is the one that did best on these very images.
        cost: of the best candidate, on the deciding images.
        held_out: what old head and best candidate answer on the deciding images.
        training: cross-fitted probabilities of the training images, without validation data.
        evaluations: of the last test set given to :meth:`evaluate`, by classifier.
        tested: that test set.
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
    held_out: HeldOutAnswers | None = None
    training: Certainty | None = None
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    tested: Features | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"RescueResult({self.verdict})"

    @property
    def chosen(self) -> str:
        """The candidate that the verdict recommends: "none", or the best one."""
        return "none" if self.verdict.use == "old" else self.best

    @property
    def title(self) -> str:
        """The best candidate in words."""
        return TITLES.get(self.best, f"a head retrained with {self.best.replace('_', ' ')}")

    def classifier(self, which: ClassifierName | None = None) -> Head | Ensemble:
        """One of the three classifiers; default the one that the verdict recommends.

        Raises:
            InputError: another name.
        """
        classifiers: dict[ClassifierName, Head | Ensemble] = {
            "old": self.old,
            "retrained": self.retrained,
            "ensemble": self.ensemble,
        }
        which = which or self.verdict.use
        if which not in classifiers:
            raise InputError(
                f"There is no classifier {which!r}; there are old, retrained and ensemble, and "
                "None is the one that the verdict recommends."
            )
        return classifiers[which]

    def predict(self, test: Features, which: ClassifierName | None = None) -> Predictions:
        """Predictions of one classifier on features (the first view of each image).

        Args:
            test: features of the same backbone, their classes numbered as in training.
            which: default the one that the verdict recommends.

        Raises:
            InputError: another width, or other classes than the training features'.
        """
        self._check(test, "The test set")
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
            test: features of the same backbone, their classes numbered as in training.

        Returns:
            The old classifier's evaluation and that of the recommended one (the same one twice if
            no change is recommended); all three stay in ``evaluations``.

        Raises:
            InputTypeError: something else than features.
            InputError: another width, or other classes than the training features'.
        """
        if not isinstance(test, Features):
            raise InputTypeError(
                f"The test set came as a {type(test).__name__}; pass features of the same network: "
                "evaluate(ec.extract(model, loader))."
            )
        self.evaluations = {name: evaluate(self.predict(test, name)) for name in _NAMES}
        self.tested = test
        return self.evaluations["old"], self.evaluations[self.verdict.use]

    def _check(self, images: Features, what: str) -> None:
        images.check_goes_with(
            what,
            num_features=self.old.num_features,
            num_classes=self.class_counts.num_classes,
            class_names=self.class_counts.names,
        )

    def to_module(
        self,
        model: nn.Module,
        which: ClassifierName | Head | None = None,
        *,
        layer: str | None = None,
    ) -> nn.Module:
        """A copy of the user's network with the new last layer; the original stays as it was.

        "retrained" is the network's own class with the same names in its ``state_dict``, so that
        what loads the original loads it too. But a last layer without a bias gets one, and one
        whose weights are tied to another layer's is untied, with a warning. "ensemble" puts an
        ``EnsembleHead`` with twice the rows in the place of the last layer; its output is the log
        of eq. 11, valid as logits. To load that again, put ``EnsembleHead.empty(d, C)`` in the same
        place first; of a 1 × 1 convolution save the whole module.

        Args:
            model: the network that the features came from.
            which: default the classifier that the verdict recommends; or a head of one's own,
                such as that of :meth:`single_layer`.
            layer: the last layer's name, where several have the same weights.

        Raises:
            InputError: the network has no layer with the old head's weights.
        """
        new = which if isinstance(which, Head) else self.classifier(which)
        return fold_head(model, self.old, new, layer=layer)

    def single_layer(
        self,
        train: Features,
        which: ClassifierName | None = None,
        *,
        judged_on: Features | None = None,
        bias: bool = True,
    ) -> SingleLayer:
        """One linear layer that answers nearly as a classifier does, and how nearly.

        Args:
            train: features to fit it on.
            which: default the classifier that the verdict recommends.
            judged_on: features to measure the loss on; default ``train``.
            bias: whether the layer has one.

        Raises:
            InputError: features of another width, or of other classes than the rescue's.
        """
        self._check(train, "The features to fit the layer on")
        if judged_on is not None:
            self._check(judged_on, "The set to judge the layer on")
        chosen = self.classifier(which)
        return approximate_by_one_layer(chosen, train, judged_on=judged_on, bias=bias)

    def report(
        self,
        path: str | Path,
        *,
        title: str = "Rescue of the worst classes",
        images: Any = None,
    ) -> Path:
        """Write the report of this rescue, with the last test set given to :meth:`evaluate`.

        Args:
            path: the HTML file to write; ``.md`` makes a short comment for a pull request.
            title: its heading.
            images: of the test set, for thumbnails of errors: an array (n, h, w, 3) uint8, a
                folder in which the ids are file names, or a function from rows to pictures.
        """
        from everyclass.reporting import Judged, report_of, write_as

        judged: dict[str, Judged] = {}
        diagnosis = None
        if self.tested is not None:
            judged = {name: Judged.of(self.predict(self.tested, name)) for name in _NAMES}
            diagnosis = self.diagnose(self.tested, self.verdict.use)
        report = report_of(
            judged,
            title=title,
            verdict=self.verdict.to_dict(),
            show=self.verdict.compared if judged else None,
            class_counts=self.class_counts,
            settings={**self.settings, "made with": birth_certificate()},
            candidates=self.to_dict()["candidates"],
            images=images,
            diagnosis=diagnosis,
        )
        return write_as(path, report)

    def diagnose(
        self, test: Features, which: ClassifierName = "old", *, worst: int = 10
    ) -> Diagnosis:
        """Say why the worst classes of one of the three classifiers fail.

        What the best candidate reaches was shown on the images that decided, not on these.

        Args:
            test: features of the same backbone.
            which: "old" says what the rescue can do; the others, what is left to do.
            worst: how many classes to look at.
        """
        said = self.predict(test, which)
        held_out = self.held_out
        if which != "old" and held_out is not None:
            held_out = held_out.already_retrained()
        near = nearest_classes(test, worst_classes(said, worst))
        return diagnose_predictions(said, Evidence(held_out, self.training, near), worst=worst)

    def _repr_html_(self) -> str:
        """Verdict, candidates and test numbers, as a notebook shows them."""
        from everyclass.reporting import rescue_html

        return rescue_html(self)

    def save(self, folder: str | Path, test: Features | None = None, *, images: Any = None) -> None:
        """Write heads, ``evaluation.json``, ``result.json``, ``report.html`` into ``folder``.

        Either all of it is written or what stood there stays.

        Args:
            folder: made if it is not there; what an earlier rescue left there is replaced.
            test: if given, all three are judged on it; their predictions are written too, and why
                the old one's worst classes fail (``diagnosis.json``).
            images: of the test set, for thumbnails in the report; see :meth:`report`.

        Raises:
            InputError: what :meth:`evaluate` refuses.
            OutputExistsError: files of these names are there, and no earlier rescue's.
            OutputError: no permission, or no space.
        """
        if test is not None:
            self.evaluate(test)
        check_own_folder(Path(folder))
        stale = [*(f"{name}.npz" for name in _NAMES), "diagnosis.json"]
        with replaced_together(folder, seal="evaluation.json", first=MARK, stale=stale) as new:
            if test is not None:
                self.diagnose(test).save(new / "diagnosis.json")
                for name in _NAMES:
                    self.predict(test, name).save(new / f"{name}.npz")
            self.old.save(new / MARK)
            self.retrained.save(new / "head.safetensors")
            write_json(new / "evaluation.json", self.to_dict())
            write_json(new / "result.json", {"settings": self.settings, **birth_certificate()})
            self.report(new / "report.html", images=images)

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
