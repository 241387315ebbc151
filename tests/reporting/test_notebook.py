"""What a notebook shows: the right numbers, small, and names that stay text."""

from html.parser import HTMLParser

import numpy as np
import pytest

import everyclass as ec
from everyclass.stages import Retraining

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</table></div><iframe>",
    "&lt;b&gt; {{ 7 * 7 }}",
    "\u202egnp.exe",
)
TAGS = {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "bdi"}


class Seen(HTMLParser):
    """The tags, attributes and cells of a page; complains of anything left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data


def predictions(share_right: float, seed: int = 0) -> ec.Predictions:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 40)
    right = generator.random(200) < share_right
    predicted = np.where(right, labels, (labels + 1) % 5)
    return ec.Predictions(labels, predicted=predicted, class_names=HOSTILE)


def rescue_result() -> ec.RescueResult:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), [60, 40, 20, 10, 8])
    features = generator.normal(size=(len(labels), 6)) + 2 * np.eye(5, 6)[labels]
    train = ec.Features(features, labels, class_names=HOSTILE)
    return ec.rescue(train, retraining=Retraining(penalty=0.1))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    old, new = predictions(0.4), predictions(0.9)
    result = rescue_result()
    labels = np.repeat(np.arange(5), 4)
    result.evaluate(ec.Features(2.0 * np.eye(5, 6)[labels], labels, class_names=HOSTILE))
    return {
        "evaluation": ec.evaluate(old)._repr_html_(),
        "comparison": ec.compare(old, new, names=("<i>old</i>", "new & <b>"))._repr_html_(),
        "rescue": result._repr_html_(),
    }


@pytest.mark.parametrize("kind", ["evaluation", "comparison", "rescue"])
def test_names_stay_text_and_nothing_runs(pages, kind):
    seen = Seen(pages[kind])
    assert seen.tags <= TAGS
    assert seen.attributes <= {"class", "scope", "style"}
    assert "http" not in pages[kind]
    assert len(pages[kind]) < 12_000


def test_every_class_of_an_evaluation_stands_under_its_own_name(pages):
    names = {row[0] for row in Seen(pages["evaluation"]).rows}
    assert set(HOSTILE) <= names


def test_an_evaluation_shows_its_numbers_and_their_intervals():
    evaluation = ec.evaluate(predictions(0.7))
    rows = {row[0]: row[1:] for row in Seen(evaluation._repr_html_()).rows}
    low, high = evaluation.intervals["harmonic_mean"]
    assert rows["harmonic mean"] == [
        f"{100 * evaluation.harmonic_mean:.1f}%",
        f"{100 * low:.1f}–{100 * high:.1f}%",
    ]
    worst = evaluation.class_label(int(evaluation.worst_first()[0]))
    assert rows[worst][0] == f"{100 * evaluation.lowest_recall:.1f}%"


def test_many_classes_are_cut_to_the_worst_ten():
    labels = np.repeat(np.arange(1000), 2)
    predicted = np.where(labels < 990, labels, 0)
    page = ec.evaluate(labels=labels, predicted=predicted)._repr_html_()
    listed = {row[0] for row in Seen(page).rows}
    assert listed >= {str(c) for c in range(990, 1000)}
    assert "989" not in listed
    assert "990 classes with higher recall" in page
    assert "10 classes are never predicted" in page


def test_a_comparison_names_who_rose_and_in_which_direction(pages):
    old, new = predictions(0.2), predictions(0.95)
    comparison = ec.compare(old, new, names=("old", "new"))
    assert comparison.rose
    rows = Seen(comparison._repr_html_()).rows
    rose = [row for row in rows if len(row) > 1 and row[1] == "rose"]
    assert [row[0] for row in rose] == [comparison.class_label(c) for c in comparison.rose]
    assert all(row[2].startswith("+") for row in rose)
    assert "<i>old</i>" not in pages["comparison"]
    assert "&lt;i&gt;old&lt;/i&gt;" in pages["comparison"]


def test_a_rescue_shows_its_verdict_and_test_numbers_only_if_there_are_any(pages):
    result = rescue_result()
    page = result._repr_html_()
    assert str(result.verdict)[:20] in page
    assert "test set" not in page
    assert ["test set", "old", "retrained", "ensemble"] in Seen(pages["rescue"]).rows


def test_an_evaluation_of_an_older_file_without_intervals_is_shown():
    values = ec.evaluate(predictions(0.5)).to_dict() | {"intervals": None}
    old = ec.Evaluation.from_dict(values)
    assert ["harmonic mean", f"{100 * old.harmonic_mean:.1f}%", ""] in Seen(old._repr_html_()).rows
