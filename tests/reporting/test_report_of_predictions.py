"""From predictions to what a report says: checked against numbers worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import everyclass as ec
from everyclass.artifacts import CAUSES, ClassCounts, ClassDiagnosis, Diagnosis, Predictions
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import EvaluationState, compare, diagnose_predictions, samples_needed
from everyclass.reporting import Judged, Report, render_report, report_of
from everyclass.reporting.calibration import reliability_rows
from everyclass.reporting.cards import worst_cards
from everyclass.reporting.confused import pair_rows
from everyclass.reporting.explorer import class_columns
from everyclass.reporting.needed import needed_images
from everyclass.reporting.same_classes import on_the_same_classes
from everyclass.reporting.words import how_tested, words_of

NAMES = ("cat", "dog", "lynx")
LABELS = np.repeat([0, 1, 2], [100, 100, 50])


def said(right: tuple[int, int, int], wrong: tuple[int, int, int]) -> np.ndarray:
    """So many images of each class right, the others given to ``wrong``."""
    starts = np.repeat([0, 100, 200], [100, 100, 50])
    place = np.arange(250) - starts
    return np.where(place < np.array(right)[LABELS], LABELS, np.array(wrong)[LABELS])


OLD = said((95, 90, 2), (1, 0, 0))
NEW = said((85, 90, 35), (1, 0, 0))


def made(**options: object) -> Report:
    judged = {
        name: Judged.of(Predictions(LABELS, predicted=p, class_names=NAMES))
        for name, p in (("old", OLD), ("new", NEW))
    }
    return report_of(judged, title="Pets", settings={}, **options)  # type: ignore[arg-type]


def text(sentences: list) -> str:
    return " ".join(s.text.format(*s.names) for s in sentences)


def test_the_verdict_is_that_of_the_paired_comparison() -> None:
    report = made()
    found = compare(
        Predictions(LABELS, predicted=OLD, class_names=NAMES),
        Predictions(LABELS, predicted=NEW, class_names=NAMES),
    )
    assert report.comparisons["new"].rose == found.rose == (2,)
    assert report.comparisons["new"].paid == found.paid == (0,)
    words = words_of(report)
    assert words.tone == "change"
    assert text([words.headline]) == (
        "new serves the weak classes better than old, but 1 class significantly pays."
    )
    lead = text(words.lead)
    assert lead.startswith("It costs 1 of 3 classes some recall, 10.0 points on average (1 of")
    assert "recall of the worst class rises from 4.0% to 70.0%" in lead
    costs = text(words.costs)
    assert "the most: cat, from 95.0% to 85.0%" in costs
    assert "For 1 class the loss is significant with Holm's correction for 3 tests; cat fi" in costs
    assert "cat first, −10.0 points (" in costs
    assert " by itself)." in costs


def test_a_worse_and_an_equal_classifier_are_called_so() -> None:
    swapped = words_of(made(baseline="new"))
    assert (swapped.tone, text([swapped.headline])) == (
        "keep",
        "old serves the weak classes worse than new.",
    )
    judged = {n: Judged.of(Predictions(LABELS, predicted=OLD)) for n in ("a", "b")}
    same = words_of(report_of(judged, title="", settings={}))
    assert same.tone == "open"
    assert text([same.headline]).endswith("classes, no significant difference between b and a.")


def test_the_best_of_several_is_shown_and_the_choice_owned_up_to() -> None:
    judged = {
        name: Judged.of(Predictions(LABELS, predicted=p, class_names=NAMES))
        for name, p in (("old", OLD), ("new", NEW), ("same", OLD))
    }
    report = report_of(judged, title="", settings={})
    assert report.shown == "new"
    assert set(report.comparisons) == {"new", "same"}
    assert (
        "has the highest harmonic mean on these very images, so it is judged by a wider interval, "
        "+38.0 to +80.5; what is said of single classes does not allow for that choice. Expect a "
        "little less on others."
    ) in text(words_of(report).reason)
    chosen = report_of(judged, title="", settings={}, show="same")
    assert chosen.shown == "same"
    assert "very images" not in text(words_of(chosen).reason)
    with pytest.raises(InputError, match="'mine' is to be shown and was not evaluated"):
        report_of(judged, title="", settings={}, show="mine")
    with pytest.raises(InputError, match="'mine' is none of old, new, same"):
        report_of(judged, title="", settings={}, baseline="mine")


def test_the_best_of_several_has_to_be_surer() -> None:
    judged = {
        name: Judged.of(Predictions(LABELS, predicted=p, class_names=NAMES))
        for name, p in (("old", OLD), ("new", NEW), ("same", OLD))
    }
    report = report_of(judged, title="", settings={})
    hardly = {"a": 0.1, "b": 0.2, "difference": 0.1, "interval": [0.01, 0.19], "p_value": None}
    found = report.comparisons["new"]
    found = replace(found, numbers={**found.numbers, "harmonic_mean": hardly})
    report = replace(report, comparisons={**report.comparisons, "new": found})
    assert words_of(report).tone == "open"
    assert words_of(replace(report, show="new")).tone == "change"


def test_other_corrections_are_named() -> None:
    a, b = (Predictions(LABELS, predicted=p, class_names=NAMES) for p in (OLD, NEW))
    for correction, words in (
        ("bh", "with Benjamini and Hochberg's correction for 3 tests"),
        ("none", "without a correction for 3 tests"),
    ):
        found = compare(a, b, correction=correction)
        assert how_tested(found) == f"mid-p McNemar at 5% on the same images, {words}"


def test_numbers_alone_are_compared_without_a_test() -> None:
    judged = {n: Judged(j.evaluation) for n, j in _judged().items()}
    report = report_of(judged, title="", settings={})
    words = words_of(report)
    assert words.tone == "open"
    assert "whether that is more than chance was not tested" in text(words.reason)
    assert pair_rows(report) == []
    assert needed_images(report).undecided is None  # type: ignore[union-attr]


def test_a_tie_is_called_one() -> None:
    judged = {name: Judged(_judged()["old"].evaluation) for name in ("old", "new")}
    words = words_of(report_of(judged, title="", settings={}))
    assert text([words.headline]) == "The harmonic mean of recall is the same with new as with old."


def _judged() -> dict[str, Judged]:
    return {
        name: Judged.of(Predictions(LABELS, predicted=p, class_names=NAMES))
        for name, p in (("old", OLD), ("new", NEW))
    }


def test_one_classifier_is_told_by_its_worst_class() -> None:
    report = report_of({"m": _judged()["old"]}, title="", settings={})
    words = words_of(report)
    assert text([words.headline]) == "The worst of 3 classes is recognised in 4.0% of its images."
    assert "(lynx)" in text(words.lead)
    never = Predictions([0, 1, 2, 2], predicted=[0, 1, 0, 0], class_names=NAMES)
    alone = report_of({"m": Judged.of(never)}, title="", settings={})
    assert text([words_of(alone).headline]) == "1 of 3 classes is never predicted."


def test_cards_say_what_predictions_say() -> None:
    card, *others = worst_cards(made())
    assert (card.name, card.recall, card.before, card.support, card.right) == (
        "lynx",
        0.7,
        0.04,
        50,
        35,
    )
    assert [c.name for c in others] == ["cat", "dog"]
    assert [(t.name, t.images, t.share) for t in card.takers] == [("cat", 15, 0.3)]
    assert card.cause == "not shown to be worse than the others"
    assert card.precision == 1.0
    assert card.more_images == samples_needed(recall=35.5 / 51, half_width=0.1) - 50
    limits = made().evaluations["new"].intervals
    assert limits is not None
    assert list(card.interval or ()) == limits["per_class_recall"][2]


def test_cards_with_few_images_do_not_guess() -> None:
    few = Predictions([0, 0, 0, 1], predicted=[0, 0, 1, 0], class_names=("a", "b"))
    card = worst_cards(report_of({"m": Judged.of(few)}, title="", settings={}))[0]
    assert (card.name, card.cause) == ("b", "too few test images to say")


def test_numbers_alone_do_not_say_where_errors_go_nor_why() -> None:
    numbers = report_of({"m": Judged(_judged()["old"].evaluation)}, title="", settings={})
    card = worst_cards(numbers)[0]
    assert (card.name, card.cause, card.reason, card.takers) == ("lynx", None, "", ())


def state_of(predicted: np.ndarray, **options: object) -> Judged:
    state = EvaluationState(**options)  # type: ignore[arg-type]
    state.update(labels=LABELS, predicted=predicted)
    return Judged.of_state(state)


@pytest.mark.parametrize("counts", [None, [500, 400, 5]])
def test_counts_and_pairs_have_the_causes_that_diagnose_finds(counts: list[int] | None) -> None:
    said = Predictions(LABELS, predicted=OLD, class_names=NAMES, class_counts=counts)
    found = {NAMES[c.index]: c for c in diagnose_predictions(said).classes}
    judged = state_of(OLD, class_names=NAMES, class_counts=counts)
    cards = worst_cards(report_of({"m": judged}, title="", settings={}))
    assert {card.name: (card.cause, card.reason) for card in cards} == {
        name: (CAUSES[each.cause], each.reason) for name, each in found.items()
    }
    assert found["lynx"].cause == ("too_few_training_images" if counts else "undecided")
    judged_ = judged.diagnosed()
    assert judged_ is not None
    assert {each.examples for each in judged_.classes} == {()}  # rows that nobody has


def test_a_confusable_pair_is_one_in_counts_too() -> None:
    labels = np.repeat([0, 1, 2], 60)
    given = np.where(np.arange(180) % 2, labels, np.array([1, 0, 2])[labels])
    said = Predictions(labels, predicted=given, class_names=NAMES)
    state = EvaluationState(class_names=NAMES)
    state.update(said)
    for judged in (Judged.of(said), Judged.of_state(state)):
        cards = worst_cards(report_of({"m": judged}, title="", settings={}))
        assert [c.cause for c in cards[:2]] == ["a confusable pair"] * 2
        assert "'dog' takes 30 of its 30 errors" in cards[0].reason


def test_more_images_than_fit_memory_are_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everyclass.reporting.judged._MOST_IMAGES", 249)
    assert state_of(OLD).diagnosed() is None


def test_equally_bad_classes_all_have_a_cause() -> None:
    """Cards are in the order of classes where recalls are equal, a diagnosis in that of images."""
    sizes = np.arange(2, 42)
    labels = np.repeat(np.arange(40), sizes)
    judged = Judged.of(Predictions(labels, predicted=np.full(len(labels), 39)))
    cards = worst_cards(report_of({"m": judged}, title="", settings={}))
    assert [card.index for card in cards] == [0, 1, 2, 3, 4, 5]
    assert None not in {card.cause for card in cards}


def test_more_classes_at_zero_than_a_diagnosis_looks_at() -> None:
    labels = np.repeat(np.arange(130), np.arange(130) // 13 + 2)  # the first with fewest images
    said = Predictions(labels, predicted=np.full(len(labels), 129))
    for judged in (Judged.of(said), Judged.of_state(counted(said))):
        cards = worst_cards(report_of({"m": judged}, title="", settings={}))
        assert [card.index for card in cards] == [0, 1, 2, 3, 4, 5]
        assert None not in {card.cause for card in cards}


def counted(said: Predictions) -> EvaluationState:
    state = EvaluationState()
    state.update(said)
    return state


def test_a_diagnosis_of_the_same_outcomes_takes_over() -> None:
    def diagnosis(right: int) -> Diagnosis:
        found = ClassDiagnosis(
            index=2, support=50, right=right, recall=right / 50, interval=(0.5, 0.8),
            cause="fixable_by_the_head", reason="Another head finds 80 % of them.",
            nearest=((0, 1.5),),
        )  # fmt: skip
        return Diagnosis((found,), 250, 3, 3, 0.8)

    card = worst_cards(made(diagnosis=diagnosis(35)))[0]
    assert (card.cause, card.nearest) == ("fixable by the head", ("cat",))
    assert card.reason == "Another head finds 80 % of them."
    other = worst_cards(made(diagnosis=diagnosis(34)))[0]  # of another classifier
    assert other.cause == "not shown to be worse than the others"  # what predictions tell


def test_confused_pairs_stand_side_by_side() -> None:
    rows = pair_rows(made())
    assert [(r["true"], r["predicted"], r["images"]) for r in rows] == [
        ("lynx", "cat", {"old": 48, "new": 15}),
        ("cat", "dog", {"old": 5, "new": 15}),
        ("dog", "cat", {"old": 10, "new": 10}),
    ]
    assert rows[0]["share"] == {"old": 0.96, "new": 0.3}


def test_images_still_needed() -> None:
    needed = needed_images(made())
    assert needed is not None
    more = samples_needed(recall=35.5 / 51, half_width=0.1) - 50
    assert (needed.short, needed.total) == (1, more)
    assert [(row.name, row.support, row.more) for row in needed.to_know] == [("lynx", 50, more)]
    assert needed.undecided == 1  # the dog, which does not move: no number of images decides
    assert needed.to_decide == []


def test_a_card_and_the_table_ask_for_the_same_images() -> None:
    said = Predictions([0] * 3 + [1] * 300, predicted=[0, 1, 1] + [1] * 300, class_names=("a", "b"))
    report = report_of({"m": Judged.of(said)}, title="", settings={})
    needed = needed_images(report)
    assert needed is not None
    more = samples_needed(recall=1.5 / 4, half_width=0.1) - 3
    assert worst_cards(report)[0].more_images == needed.to_know[0].more == needed.total == more


def test_a_card_asks_for_as_many_images_as_its_sentence() -> None:
    labels = np.repeat([0, 1], [3, 300])
    said = Predictions(labels, predicted=np.where(np.arange(303) < 13, 0, 1), class_names=NAMES[:2])
    card = worst_cards(report_of({"m": Judged.of(said)}, title="", settings={}))[1]
    assert (card.right, card.support) == (3, 3)
    said_so = f"; {card.more_images} more would make the interval of its recall 20 points wide."
    assert card.reason.endswith(said_so)


def test_a_true_class_of_probability_0_makes_the_likelihood_infinite() -> None:
    """As forests give it."""
    sure, open_ = np.array([[1.0, 0.0], [1.0, 0.0]]), np.full((2, 2), 0.5)

    def likelihoods(old: np.ndarray, new: np.ndarray) -> str:
        probs = {"old": old, "new": new}
        judged = {name: Judged.of(Predictions([0, 1], probs=p)) for name, p in probs.items()}
        page = render_report(report_of(judged, title="Forests", settings={}))
        (row,) = re.findall(r"<th[^>]*>Negative log-likelihood.*?</tr>", page, re.DOTALL)
        return " ".join(re.sub("<[^>]+>", " ", row).split())

    begin = "Negative log-likelihood lower is better"
    infinite = "∞ a true class was given probability 0"
    assert likelihoods(sure, sure) == f"{begin} {infinite} {infinite}"
    assert likelihoods(sure, open_) == f"{begin} {infinite} 0.693"
    assert likelihoods(open_, sure) == f"{begin} 0.693 {infinite}"


def test_reliability_holds_every_image_once() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.85, 0.15], [0.3, 0.7]])
    judged = Judged.of(Predictions([0, 0, 1, 1], probs=probs))
    report = report_of({"m": judged}, title="", settings={})
    rows = reliability_rows(report)
    assert sum(row["images"] for row in rows) == 4
    assert sum(row["right"] * row["images"] for row in rows) == pytest.approx(3)
    mean = sum(row["confidence"] * row["images"] for row in rows) / 4
    assert mean == pytest.approx((0.9 + 0.8 + 0.85 + 0.7) / 4)
    assert all(row["low"] <= row["right"] <= row["high"] for row in rows)
    assert reliability_rows(made()) == []


def test_columns_hold_counts_and_limits() -> None:
    columns = class_columns(made())
    old, new = columns["classifiers"]
    assert (old["right"], new["right"]) == ([95, 90, 2], [85, 90, 35])
    assert columns["support"] == [100, 100, 50]
    assert (columns["first"], columns["shown"]) == ("old", "new")
    assert columns["changes"]["new"]["sure"] == [-1, 0, 1]
    low, high = new["low"][2], new["high"][2]
    assert 0 < low < 700 < high < 1000
    assert columns["trained"] is None
    assert columns["groups"] is None


# --- the same classes -----------------------------------------------------------------------------


def test_classes_are_matched_by_name() -> None:
    logits = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    a = Predictions([0, 2], predicted=[0, 2], class_names=NAMES)
    b = Predictions(
        [1, 0], logits=logits, class_names=("lynx", "cat", "dog"), class_counts=[1, 2, 3]
    )
    same = on_the_same_classes({"a": a, "b": b})
    assert same["b"].class_names == NAMES
    assert same["b"].labels.tolist() == [0, 2]
    assert same["b"].logits is not None
    assert same["b"].logits.tolist() == [[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]
    assert same["b"].class_counts is not None
    assert same["b"].class_counts.counts.tolist() == [2, 3, 1]


def test_classes_that_one_does_not_name_are_added() -> None:
    a = Predictions([0, 1], predicted=[0, 1], class_names=("cat", "dog"))
    b = Predictions([0, 1], predicted=[2, 1], class_names=("cat", "dog", "lynx"))
    same = on_the_same_classes({"a": a, "b": b})
    assert {p.class_names for p in same.values()} == {NAMES}
    bare = {"a": Predictions([0, 1], predicted=[0, 1]), "b": Predictions([0, 1], predicted=[4, 1])}
    assert {p.num_classes for p in on_the_same_classes(bare).values()} == {5}


def test_scores_of_another_number_of_classes_are_refused() -> None:
    a = Predictions([0, 1], probs=[[0.9, 0.1], [0.1, 0.9]])
    b = Predictions([0, 1], probs=[[0.9, 0.1, 0], [0.1, 0.9, 0]])
    with pytest.raises(InputError, match="a has 2 classes and another has 3"):
        on_the_same_classes({"a": a, "b": b})


# --- in Python ------------------------------------------------------------------------------------


def test_python_writes_a_page_or_a_comment(tmp_path: Path) -> None:
    predictions = {
        "old": Predictions(LABELS, predicted=OLD),
        "new": Predictions(LABELS, predicted=NEW),
    }
    counts = ClassCounts([500, 50, 5], names=NAMES)
    path = ec.report(predictions, tmp_path / "r.html", class_counts=counts, title="Pets")
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") or page.lstrip().startswith("<!DOCTYPE html>")
    assert "lynx" in page
    assert "few (≤ 20)" in page
    comment = ec.report(predictions, tmp_path / "r.md", class_counts=counts)
    assert "\n### `new` serves the weak classes" in comment.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="written as html or md; got 'pdf'"):
        ec.report(predictions, tmp_path / "r.pdf", format="pdf")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs the predictions of one classifier at least"):
        ec.report({}, tmp_path / "r.html")
    with pytest.raises(InputTypeError, match="new is a list; give Predictions"):
        ec.report({"new": [1, 2]}, tmp_path / "r.html")  # type: ignore[dict-item]
