"""What cannot be used is refused, with what it is, where it is, and the type that callers catch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everyclass.artifacts import ClassCounts, Features, Head, Predictions, as_array, as_labels
from everyclass.errors import EveryclassError, FileFormatError, InputError, InputTypeError
from everyclass.metrics import EvaluationState, evaluate


def refused(message: str, kind: type[Exception] = InputError) -> Any:
    builtin = TypeError if kind is InputTypeError else ValueError
    assert issubclass(kind, builtin)
    return pytest.raises(kind, match=message)


# Labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ([0.0, 1.0], "float64"),
        (torch.tensor([0.0, 1.0]), "float32"),
        ([True, False], "bool"),
        (["0", "1"], "<U1"),
        ([None, 1], "object"),
        ([1j, 1], "complex128"),
    ],
)
def test_labels_of_another_type(labels: Any, dtype: str) -> None:
    with refused(f"labels must be integers 0..C−1; got {dtype}", InputTypeError):
        ClassCounts.from_labels(labels)


def test_float_labels_say_how_to_convert() -> None:
    with refused(r"convert them with labels.astype\(int\)", InputTypeError):
        Features(np.ones((2, 1)), [0.0, 1.0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 5, 1, 7], r"labels\[1\] is 5, outside 0\.\.2 \(2 such\)"),
        ([0, 1, -1], r"labels\[2\] is -1, outside 0\.\.2 \(1 such\)"),
        ([], "labels is empty"),
        ([[0, 1]], r"one-dimensional; got an array of shape \(1, 2\)"),
        (0, r"one-dimensional; got an array of shape \(\)"),
        ([[0], [0, 1]], "make no array"),
        (np.array([2**63], dtype=np.uint64), "9223372036854775808, which is no class index"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, message: str) -> None:
    with refused(message):
        as_labels(labels, num_classes=3)


def test_labels_of_any_integer_type_and_from_tensors() -> None:
    for kind in (np.int8, np.uint8, np.int32, np.uint64):
        assert as_labels(np.array([0, 2], dtype=kind)).dtype == np.int64
    assert as_labels(torch.tensor([0, 2])).tolist() == [0, 2]
    assert as_array(torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True)) == [0.5]


# Class counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "message", "kind"),
    [
        ([3, -1, 2], r"class_counts\[1\] is -1; a count cannot be negative", InputError),
        ([], r"one number per class; got an array of shape \(0,\)", InputError),
        ([[1, 2]], r"one number per class; got an array of shape \(1, 2\)", InputError),
        ([1.5, 2.0], "whole numbers; got float64", InputTypeError),
        ([float("nan"), 1.0], "whole numbers; got float64", InputTypeError),
        ([float("inf"), 1.0], "whole numbers; got float64", InputTypeError),
        ([1e300, 1.0], "whole numbers; got float64", InputTypeError),
        (["a"], "whole numbers; got <U1", InputTypeError),
        ([True], "whole numbers; got bool", InputTypeError),
        (np.array([2**63 + 5], dtype=np.uint64), "no number of images", InputError),
        ([[1], [1, 2]], "make no array", InputError),
    ],
)
def test_counts_that_are_none(counts: Any, message: str, kind: type[Exception]) -> None:
    with refused(message, kind):
        ClassCounts(counts)


@pytest.mark.parametrize(
    "value",
    [
        [3, 1, 2],
        (3, 1, 2),
        [3.0, 1.0, 2.0],
        np.array([3, 1, 2], dtype=np.uint8),
        torch.tensor([3, 1, 2]),
        torch.tensor([3.0, 1.0, 2.0], requires_grad=True),
        {0: 3, 1: 1, 2: 2},
        {2: 2, 1: 1, 0: 3},
        Counter([0, 0, 0, 1, 2, 2]),
        {"a": 3, "b": 1, "c": 2},
        {"c": 2, "a": 3, "b": 1},
        ClassCounts([3, 1, 2]),
        ClassCounts([3, 1, 2], ("a", "b", "c")),
        ClassCounts([2, 1, 3], ("c", "b", "a")),
    ],
)
def test_counts_in_whatever_form_a_caller_has_them(value: Any) -> None:
    counts = ClassCounts.of(value, names=["a", "b", "c"])
    assert counts.counts.tolist() == [3, 1, 2]
    assert counts.counts.dtype == np.int64
    assert counts.names == ("a", "b", "c")
    assert counts.imbalance_ratio == 3.0


@pytest.mark.parametrize("value", [[1, 2], {0: 1, 1: 2}, {"x": 1, "y": 2}, ClassCounts([1, 2])])
def test_counts_of_another_length(value: Any) -> None:
    with refused("class_counts has 2 entries and there are 3 classes"):
        ClassCounts.of(value, num_classes=3)


def test_counts_of_other_classes() -> None:
    with refused(r"missing \['c'\], unknown \['b'\]"):
        ClassCounts.of({"a": 1, "b": 2}, names=["a", "c"])
    with refused(r"missing \['c'\], unknown \['b'\]"):
        ClassCounts.of(ClassCounts([1, 2], ("a", "b")), names=["a", "c"])
    with refused(r"keyed by class index and has \[0, 2\]"):
        ClassCounts.of({0: 1, 2: 2})


def test_a_caller_s_array_is_neither_kept_nor_changed() -> None:
    mine = np.array([3, 1], dtype=np.int64)
    counts = ClassCounts(mine)
    mine[0] = 9
    assert counts.counts.tolist() == [3, 1]
    with pytest.raises(ValueError, match="read-only"):
        counts.counts[0] = 5


def test_a_class_without_images() -> None:
    counts = ClassCounts.from_labels([0, 0, 2], num_classes=4)
    assert counts.counts.tolist() == [2, 0, 1, 0]
    assert counts.missing.tolist() == [1, 3]
    assert counts.imbalance_ratio == float("inf")
    assert counts.total == 3


# Groups ------------------------------------------------------------------------------------------


def test_group_boundaries_under_both_rules() -> None:
    counts = ClassCounts([101, 100, 99, 21, 20, 19, 0])
    paper, common = counts.groups(), counts.groups("common")
    assert paper.tolist() == ["many", "many", "medium", "medium", "few", "few", "few"]
    assert common.tolist() == ["many", "medium", "medium", "medium", "medium", "few", "few"]
    assert counts.groups("paper").tolist() == paper.tolist()
    with refused("must be 'paper' or 'common'; got 'strict'"):
        counts.groups("strict")  # type: ignore[arg-type]


# Features and heads ------------------------------------------------------------------------------


@pytest.mark.parametrize(("bad", "where"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_features_that_are_not_finite_are_named_by_position(bad: float, where: str) -> None:
    plain, views = np.zeros((3, 2)), np.zeros((2, 3, 2), dtype=np.float16)
    plain[1, 1] = plain[2, 0] = views[1, 2, 0] = bad
    with refused(rf"features\[1, 1\] is {where}; 2 of 6 values are not finite"):
        Features(plain, [0, 1, 2])
    with refused(rf"features\[1, 2, 0\] is {where}; 1 of 12 values"):
        Features(views, [0, 1, 2])


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((3, 2)), [0, 1], "labels has 2 entries where 3 are needed"),
        (np.zeros((5, 3, 2)), [0, 1], "labels has 2 entries where 3 are needed"),
        (np.zeros((0, 2)), [], r"features is empty: its shape is \(0, 2\)"),
        (np.zeros((3, 0)), [0, 1, 2], r"features is empty: its shape is \(3, 0\)"),
        (np.zeros(3), [0, 1, 2], r"2 or 3 dimensions; got shape \(3,\)"),
        (np.full((1, 1), 1e300), [0], "features holds values beyond the range of float32"),
        ([[1.0], [1.0, 2.0]], [0, 1], "make no array"),
    ],
)
def test_features_that_do_not_fit(features: Any, labels: Any, message: str) -> None:
    with refused(message):
        Features(features, labels)


def test_features_that_are_no_numbers() -> None:
    with refused("features must be floating-point numbers; got <U1", InputTypeError):
        Features([["a"]], [0])


def test_a_head_of_another_network() -> None:
    head = Head(np.ones((3, 4)), np.zeros(3))
    message = "takes features of width 4 and these have 2: it belongs to another network"
    with refused(message):
        Features(np.zeros((1, 2)), [0], head)
    with refused(message):
        Features(np.zeros((1, 2)), [0]).with_head(head)
    with refused(message):
        head.logits(np.zeros((1, 2)))
    with refused(r"labels\[0\] is 3, outside 0\.\.2"):
        Features(np.zeros((1, 4)), [3], head)


@pytest.mark.parametrize(
    ("weight", "bias", "rest", "message"),
    [
        (np.ones((3, 2)), np.zeros(2), {}, "weight has 3 classes and its bias 2"),
        (np.ones(3), np.zeros(3), {}, "weight must have 2 dimensions"),
        (np.ones((1, 1)), np.zeros(1), {"kind": "round"}, "'linear' or 'cosine'; got 'round'"),
        (np.ones((1, 1)), np.zeros(1), {"scale": 0.0}, "scale of a head must be above 0; got 0"),
        (np.ones((1, 1)), np.zeros(1), {"scale": np.nan}, "must be above 0; got nan"),
        (np.full((1, 1), np.nan), np.zeros(1), {}, r"weight\[0, 0\] is nan"),
        (np.full((1, 1), 1e300), np.zeros(1), {}, "weight holds values beyond the range"),
        (np.ones((1, 1)), [1e300], {}, "bias holds values beyond the range"),
    ],
)
def test_heads_that_are_none(weight: Any, bias: Any, rest: dict[str, Any], message: str) -> None:
    with refused(message):
        Head(weight, bias, **rest)


def test_only_a_cosine_head_has_a_scale_of_any_kind(tmp_path: Path) -> None:
    with refused("A linear head has no scale, and 16 is given; say kind='cosine'"):
        Head(np.eye(2), np.zeros(2), scale=16)
    head = Head(np.eye(2), np.zeros(2), "cosine", np.float64(16)).at_temperature(np.float64(2))
    for ending in ("safetensors", "npz"):
        head.save(tmp_path / f"head.{ending}")
        assert Head.load(tmp_path / f"head.{ending}").scale == 8


def test_a_cosine_head_of_features_without_length() -> None:
    head = Head([[3.0, 4.0], [0.0, 0.0]], [0.0, 1.0], "cosine", 16.0)
    logits = head.logits(np.array([[0.0, 0.0], [6.0, 8.0]]))
    np.testing.assert_allclose(logits, [[0.0, 1.0], [16.0, 1.0]], rtol=1e-6)
    assert logits.dtype == np.float32


def test_class_names_that_do_not_fit() -> None:
    features = np.zeros((2, 2))
    with refused("3 class names and 2 classes"):
        Features(features, [0, 1], Head(np.ones((2, 2)), np.zeros(2)), ("a", "b", "c"))
    with refused("name 'a' stands twice"):
        Features(features, [0, 1], class_names=("a", "a"))
    with refused("sequence of C names; got 'ab'", InputTypeError):
        Features(features, [0, 1], class_names="ab")  # type: ignore[arg-type]
    with refused(r"ids has shape \(3,\); one per image is needed: \(2,\)"):
        Features(features, [0, 1], ids=np.arange(3))


def test_a_part_of_the_images_keeps_what_belongs_to_them() -> None:
    views = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    features = Features(views, [0, 1, 2], class_names=("a", "b", "c"), ids=np.array([7, 8, 9]))
    part = features.take(np.array([2, 0]))
    assert part.features.tolist() == views[:, [2, 0]].tolist()
    assert (part.labels.tolist(), part.num_classes) == ([2, 0], 3)
    assert part.ids is not None
    assert part.ids.tolist() == [9, 7]
    assert (features.num_views, part.views.shape, len(part)) == (2, (2, 2, 2), 2)


def test_test_features_take_the_classes_of_the_training_features() -> None:
    head = Head(np.ones((3, 2)), np.zeros(3))
    train = Features(np.zeros((2, 2)), [0, 1], head, ("ant", "bee", "cat"))
    test = Features(np.ones((1, 2)), [0], class_names=("ant", "bee", "cat"), ids=np.array([7]))
    checked = test.checked_against(train, "test.npz")
    assert checked.head is head
    assert checked.class_names == ("ant", "bee", "cat")
    assert checked.ids is not None
    assert (checked.num_classes, checked.ids.tolist()) == (3, [7])
    for other, message in (
        (Features(np.ones((1, 4)), [0]), r"test\.npz has features of width 4 and .* have 2"),
        (
            Features(np.ones((2, 2)), [0, 3]),
            r"test\.npz: labels\[1\] is 3, and .* only classes 0\.\.2",
        ),
        (
            Features(np.ones((2, 2)), [0, 1], class_names=("bee", "ant")),
            r"test\.npz calls class 0 'bee' and the training features call it 'ant'",
        ),
        (
            Features(np.ones((2, 2)), [0, 1], class_names=("ant", "bee")),
            r"test\.npz has names of 2 classes and training has 3 classes",
        ),
    ):
        with refused(message):
            other.checked_against(train, "test.npz")


# Predictions -------------------------------------------------------------------------------------


LOGITS = [[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]]
PROBS = [[0.7, 0.1, 0.2], [0.1, 0.6, 0.3]]


def test_probabilities_given_as_logits_and_the_reverse() -> None:
    with refused("these are probabilities; pass them as probs"):
        Predictions([0, 1], logits=PROBS)
    half = np.array(PROBS, dtype=np.float16)
    with refused("these are probabilities; pass them as probs"):
        Predictions([0, 1], logits=half)
    with refused(r"probs\[0, 0\] is 2, outside 0\.\.1; if these are logits, pass them as logits"):
        Predictions([0, 1], probs=LOGITS)
    inside = [[0.9, 0.8, 0.1], [0.2, 0.3, 0.5]]
    with refused(r"Row 0 of probs sums to 1\.8 and must sum to 1 \(1 such"):
        Predictions([0, 1], probs=inside)
    assert Predictions([0, 1], probs=half).top.tolist() == [0, 1]
    assert Predictions([0, 1], logits=inside).top.tolist() == [0, 2]  # logits may lie in 0..1


WHOLE = np.array([[0.62, 0.27, 0.11], [0.2, 0.3, 0.5]])


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (WHOLE * 100, r"is 62, outside 0\.\.1; these are percentages: divide them by 100\.$"),
        (WHOLE * 99, "these are percentages"),
        (np.array([[62, 27, 11]] * 2), "these are percentages"),
        (WHOLE + 0.01, "sums to 1.03 .* were rounded: give more digits, or divide each row by its"),
        (WHOLE * 1.0123, "these are probabilities: give all, or divide each row by its sum"),
        (WHOLE * 2, "outside 0..1; if these are logits, pass them as logits"),
        ([[-0.1, 0.6, 0.5]] * 2, "is -0.1, outside 0..1; if these are logits"),
    ],
)
def test_probabilities_that_are_none_are_called_what_they_look_like(
    probs: Any, message: str
) -> None:
    with refused(message):
        Predictions([0, 1], probs=probs)


def test_rounded_probabilities_are_no_logits_either() -> None:
    rounded = np.array([[0.33, 0.33, 0.33], [0.67, 0.17, 0.17]])
    with refused("these are probabilities; pass them as probs"):
        Predictions([0, 1], logits=rounded)
    for scores in (rounded + 0.005, rounded * 1.0123):  # sums that no rounding explains
        assert Predictions([0, 1], logits=scores).logits is not None


def test_a_score_is_named_by_its_class() -> None:
    names = ("ant", "bee", "cat")
    with refused(r"probs\[0, 0\] \(class 'ant'\) is 2, outside"):
        Predictions([0, 1], probs=LOGITS, class_names=names)
    with refused(r"logits\[1, 2\] \(class 'cat'\) is inf; 1 of 6 values"):
        Predictions([0, 1], logits=[[0, 0, 0], [0, 0, np.inf]], class_names=names)


# Names as labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "ant"],
        np.array(["cat", "ant"]),
        np.array(["cat", "ant"], dtype=object),
        np.array([b"cat", b"ant"]),
    ],
)
@pytest.mark.parametrize("names", [("ant", "bee", "cat"), np.array(["ant", "bee", "cat"])])
def test_labels_may_be_names_of_all_classes(labels: Any, names: Any) -> None:
    """The test set has no bee: numbering its own names would call a cat a bee."""
    said = Predictions(labels, probs=PROBS, class_names=names)
    assert said.labels.tolist() == [2, 0]
    assert said.labels.dtype == np.int64
    said = Predictions(labels, predicted=["bee", "ant"], class_names=names)
    assert (said.labels.tolist(), said.top.tolist()) == ([2, 0], [1, 0])
    assert Predictions([2, 0], predicted=labels, class_names=names).top.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("given_", "kind", "message"),
    [
        (
            {},
            InputTypeError,
            r"got <U3 and no class_names .*\(clf\.classes_ .* are positions",
        ),
        ({"class_counts": {"cat": 1, "ant": 2, "b": 3}}, InputTypeError, "and no class_names"),
        ({"class_names": ("ant", "bee", "dog")}, InputError, r"labels\[0\] is 'cat', which is no"),
        ({"class_names": ("ant", "cat")}, InputError, "2 class names and 3 classes"),
        ({"class_names": ("cat", "cat", "a")}, InputError, "'cat' stands twice"),
    ],
)
def test_names_that_cannot_be_numbered(
    given_: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        Predictions(["cat", "ant"], logits=LOGITS, **given_)


def test_a_missing_name_is_named_by_its_row() -> None:
    labels = np.array(["ant", None, float("nan")], dtype=object)
    with refused(r"labels\[8\] is 'None', which is no class; the classes are ant, bee"):
        Predictions(labels, predicted=[0, 1, 1], class_names=("ant", "bee"), first_row=7)
    with refused("labels must be one-dimensional"):
        Predictions([["ant"], ["bee"]], predicted=[0, 1], class_names=("ant", "bee"))


def test_names_are_never_to_be_numbered_by_those_of_the_test_images() -> None:
    with refused(r"number them by one list of all classes: \[classes\.index", InputTypeError) as it:
        Features(np.ones((2, 1)), ["cat", "ant"])
    assert "unique" not in str(it.value)


# What does not fit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "exactly one of logits, probs and predicted; got none"),
        ({"logits": LOGITS, "probs": PROBS}, "got logits and probs"),
        ({"logits": LOGITS[:1]}, "labels has 2 entries where 1 are needed"),
        ({"logits": [0.5, 2.0]}, "logits must have 2 dimensions"),
        ({"logits": np.zeros((0, 3))}, "logits is empty"),
        ({"logits": [[0.0, np.nan], [0.0, 1.0]]}, r"logits\[0, 1\] is nan"),
        ({"predicted": [0]}, "predicted has 1 entries where 2 are needed"),
        ({"predicted": [0, -2]}, r"predicted\[1\] is -2"),
        ({"logits": [[2.0], [3.0]]}, "labels.1. is 1, outside 0..0"),
        ({"predicted": [0, 1], "class_names": ("a",)}, "outside 0..0"),
        ({"predicted": [0, 1], "class_counts": [5]}, "outside 0..0"),
        ({"logits": LOGITS, "class_counts": [5, 4]}, "has 2 entries and there are 3 classes"),
        ({"logits": LOGITS, "class_names": ("a", "b")}, "2 class names and 3 classes"),
        ({"logits": LOGITS, "ids": [1]}, "ids has shape"),
    ],
)
def test_predictions_that_do_not_fit(said: dict[str, Any], message: str) -> None:
    with refused(message):
        Predictions([0, 1], **said)


@pytest.mark.parametrize(
    "said", [{"logits": [[2.0], [3.0]]}, {"probs": [[1.0], [1.0]]}, {"predicted": [0, 0]}]
)
def test_one_class_only(said: dict[str, Any]) -> None:
    with refused("one class only; nothing can be told apart"):
        Predictions([0, 0], **said)


def test_counts_by_name_are_put_in_the_order_of_the_names() -> None:
    for counts in ({"b": 5, "a": 7}, ClassCounts([5, 7], ("b", "a"))):
        said = Predictions([0, 1], predicted=[0, 1], class_names=("a", "b"), class_counts=counts)
        assert said.class_counts is not None
        assert said.class_counts.counts.tolist() == [7, 5]
        assert said.class_counts.names == ("a", "b")


class Counted(str):
    """A name that counts how often it is looked up."""

    times = 0

    def __hash__(self) -> int:
        Counted.times += 1
        return super().__hash__()

    def __str__(self) -> str:
        return self


def test_counts_of_many_names_are_looked_up_once_each() -> None:
    names = [Counted(f"class {c}") for c in range(500)]
    given = dict.fromkeys(names, 1)
    Counted.times = 0
    assert ClassCounts.of(given, names=names).num_classes == 500
    assert Counted.times < 20 * len(names)  # and not the square of it


def test_names_may_be_an_array() -> None:
    names = np.array(["a", "b"])  # as LabelEncoder.classes_
    for said in ({"predicted": [0, 1]}, {"predicted": [0, 1], "class_counts": [5, 7]}):
        assert Predictions([0, 1], class_names=names, **said).class_names == ("a", "b")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="must be a sequence of C names; got 5"):
        Predictions([0, 1], logits=[[1.0, 2.0]] * 2, class_names=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names",
    [
        {0: "cat", 1: "dog"},
        {"1": "dog", "0": "cat"},  # as JSON has it
        [b"cat", b"dog"],
        np.array([b"cat", b"dog"]),
        {"cat": 0, "dog": 1}.keys(),
    ],
)
def test_names_by_number_or_in_bytes(names: Any) -> None:
    said = Predictions(["cat", "dog"], predicted=["dog", "dog"], class_names=names)
    assert (said.class_names, said.top.tolist()) == (("cat", "dog"), [1, 1])
    assert Features(np.zeros((2, 2)), [0, 1], class_names=names).class_names == ("cat", "dog")
    found = evaluate(labels=["cat", "dog"], predicted=["dog", "dog"], class_names=names)
    assert (found.class_names, found.per_class_recall.tolist()) == (("cat", "dog"), [0, 1])
    state = EvaluationState(class_names=names)
    state.update(labels=[0, 1], predicted=[1, 1])
    assert state.evaluation().class_names == ("cat", "dog")
    assert ClassCounts([3, 4], names).names == ("cat", "dog")
    assert ClassCounts.from_labels([0, 1, 1], names=names).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"dog": 1, "cat": 0}, r"it has dog, cat; .* pass sorted\(names, key=names.get\)"),
        ({1: "cat", 2: "dog"}, "whose keys are not the class numbers"),
        ({0: "cat", "0": "dog"}, "whose keys are not the class numbers"),
        ({"cat", "dog"}, "must be a sequence of C names; got"),
        (iter(["cat", "dog"]), "must be a sequence of C names; got"),
        (["cat", None], "no name of class 1: it is None"),
        ([b"cat", b"\xff"], "cannot be read as text"),
    ],
)
def test_names_without_an_order_or_that_are_none(names: Any, message: str) -> None:
    with pytest.raises(EveryclassError, match=message):
        Predictions([0, 1], predicted=[0, 1], class_names=names)


def test_probabilities_of_half_precision_are_such() -> None:
    exact = torch.randn(200, 100, generator=torch.Generator().manual_seed(0)).mul(2)
    for kind in (torch.bfloat16, torch.float16):
        probs = exact.to(kind).softmax(1)
        assert Predictions([0] * 200, probs=probs).num_classes == 100
        with refused("pass them as probs"):
            Predictions([0] * 200, logits=probs)
    off = np.full((2, 10), 0.0995, np.float32)  # by 0.005, which rounding does not explain
    with refused("sums to 0.995"):
        Predictions([0, 1], probs=off)


def test_of_equal_scores_the_first_is_predicted() -> None:
    assert Predictions([1, 1], logits=[[1.0, 1.0], [0.0, 2.0]]).top.tolist() == [0, 1]


def test_the_number_of_classes_is_that_of_the_most_certain_source() -> None:
    assert Predictions([0, 1], logits=LOGITS).num_classes == 3
    assert Predictions([0, 1], predicted=[0, 0], class_names=tuple("abcd")).num_classes == 4
    assert Predictions([0, 1], predicted=[0, 0], class_counts=[1] * 5).num_classes == 5
    assert Predictions([0, 1], predicted=[0, 5]).num_classes == 6


# Tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("label,predicted\n0,1\n", {}, "no column 'labels'; it has label, predicted.*--labels-col"),
        ("labels,guess\n0,1\n", {}, "neither a column 'predicted' nor score columns"),
        ("labels,labels\n0,1\n", {}, "two columns of the same name"),
        ("labels,predicted\n0,0\n,1\n", {}, "column 'labels' is empty in row 1"),
        ("labels,predicted\n0,\n1,1\n", {}, "column 'predicted' is empty in row 0"),
        ("labels,logit_0,logit_1\n0,1,\n1,1,1\n", {}, "column 'logit_1' is empty in row 0"),
        ("labels,logit_0,logit_2\n0,1,2\n", {}, "no column 'logit_1'"),
        ("labels,logit_0,logit_1\n0,1,x\n", {}, "column 'logit_1' holds text"),
        ("labels,logit_0,logit_1\ncat,1,2\ndog,3,1\n", {}, "score columns are numbered; say with"),
        ("labels,predicted\ncat,0\ndog,1\n", {}, "labels are names and predicted classes are num"),
        ("labels,a,b\nc,0.5,0.5\n", {"scores": "probs"}, "row 0 of 'labels' is 'c', which is no c"),
        ("labels\n0\n1\n", {"scores": "probs"}, "no column for any class; it has labels"),
        (
            "labels,a,b\na,0.5,0.5\n",
            {"scores": "probs", "class_names": ("a", "c")},
            "no column for class 'c'; it has labels, a, b",
        ),
        (
            "labels,predicted\nowl,cat\n",
            {"class_names": ("cat", "dog")},
            "row 0 of 'labels' is 'owl', which is no class; the classes are cat, dog",
        ),
        ("labels,predicted\n0,1,2\n", {}, "not a readable csv file"),
        ("", {}, "not a readable csv file"),
    ],
)
def test_tables_that_do_not_say_enough(
    text: str, asked: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "said.csv"
    path.write_text(text)
    with refused(message, FileFormatError) as caught:
        Predictions.load(path, **asked)
    assert str(path) in str(caught.value)


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "said.csv"
    path.write_bytes("labels,predicted\nkäse,käse\nbrot,käse\n".encode("latin1"))
    with refused("column 'labels' is no UTF-8 text", FileFormatError):
        Predictions.load(path)


def test_labels_of_a_table_that_are_no_integers(tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text("labels,predicted\n0.0,1\n1.5,0\n")
    with refused(r"said\.csv: labels must be integers", InputTypeError):
        Predictions.load(tmp_path / "said.csv")


def test_names_that_contradict_the_file_s_own(tmp_path: Path) -> None:
    path = tmp_path / "said.npz"
    Predictions([0, 1], logits=LOGITS, class_names=("a", "b", "c")).save(path)
    with refused("names its classes a, b, c, and class_names says b, a, c", FileFormatError):
        Predictions.load(path, class_names=("b", "a", "c"))
    assert Predictions.load(path, class_names=["a", "b", "c"]).class_names == ("a", "b", "c")


def test_everything_is_one_family() -> None:
    with pytest.raises(EveryclassError) as caught:
        Predictions([0.5], predicted=[0])
    assert isinstance(caught.value, TypeError)
    assert caught.value.exit_code == 2
