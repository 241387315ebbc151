"""What other tools say of the same predictions: scikit-learn, fairlearn and Evidently beside ours.

    pip install scikit-learn fairlearn evidently
    python benchmarks/other_tools.py [--keep FOLDER]

The predictions are the stored ones of CE and of its ensemble with GML on CIFAR100-LT. For each:
seconds of processor, imports and all, the size of what it writes, and how many scripts, styles or
pictures that would fetch from the network.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from everyclass.artifacts import ClassCounts, Predictions, read_npz

STORED = Path(__file__).parent / "results" / "cifar100-lt-ir100"
REPLICATES = 5  # of a bootstrap that would take 1,000; its time grows with their number


def stored(name: str) -> Predictions:
    arrays = read_npz(STORED / f"{name}.npz", "stored result")
    names = tuple(arrays["class_names"].tolist()) if "class_names" in arrays else None
    counts = ClassCounts(arrays["class_counts"], names)
    return Predictions(arrays["labels"], predicted=arrays["predicted"], class_counts=counts)


def scikit_learn(old: Predictions, new: Predictions) -> str:
    from sklearn.metrics import classification_report

    names = list(new.class_names or map(str, range(new.num_classes)))
    return "\n".join(
        classification_report(p.labels, p.top, target_names=names, zero_division=0)
        for p in (old, new)
    )


def fairlearn(old: Predictions, new: Predictions) -> str:
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score

    said = []
    for p in (old, new):
        names = np.array(p.class_names or list(map(str, range(p.num_classes))))
        frame = MetricFrame(
            metrics=accuracy_score,
            y_true=p.labels,
            y_pred=p.top,
            sensitive_features=names[p.labels],  # accuracy within a class is its recall
            n_boot=REPLICATES,
            ci_quantiles=[0.025, 0.975],
            random_state=0,
        )
        low, high = frame.by_group_ci
        said += [f"{k} {v:.3f} [{low[k]:.3f}, {high[k]:.3f}]" for k, v in frame.by_group.items()]
        said.append(f"minimum {frame.group_min()} difference {frame.difference()}")
        said.append(f"interval of the minimum {frame.group_min_ci()}")
    return "\n".join(said)


def evidently(old: Predictions, new: Predictions) -> str:
    import pandas as pd
    from evidently import DataDefinition, Dataset, MulticlassClassification, Report
    from evidently.presets import ClassificationPreset

    names = np.array(new.class_names or list(map(str, range(new.num_classes))))
    definition = DataDefinition(
        classification=[MulticlassClassification(target="target", prediction_labels="said")]
    )
    sets = [
        Dataset.from_pandas(
            pd.DataFrame({"target": names[p.labels], "said": names[p.top]}),
            data_definition=definition,
        )
        for p in (new, old)
    ]
    return str(Report([ClassificationPreset()]).run(*sets).get_html_str(as_iframe=False))


def ours(old: Predictions, new: Predictions) -> str:
    from everyclass.reporting import Judged, render_report, report_of

    judged = {"CE": Judged.of(old), "CE + GML": Judged.of(new)}
    return render_report(report_of(judged, title="CIFAR100-LT", settings={}))


TOOLS: dict[str, Callable[[Predictions, Predictions], str]] = {
    "scikit-learn": scikit_learn,
    "fairlearn": fairlearn,
    "Evidently": evidently,
    "everyclass": ours,
}


def addresses(page: str) -> int:
    """Scripts, styles and pictures that a page would fetch."""
    return len(re.findall(r"""(?:<script[^>]+src|<link[^>]+href|<img[^>]+src)=["']https?:""", page))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="a folder to write what each says to")
    options = parser.parse_args()
    old, new = stored("ce-s0"), stored("ce-gml-ensemble-s0")
    for name, run in TOOLS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.process_time()
                page = run(old, new)
                seconds = time.process_time() - start
        except ImportError as error:
            print(f"{name}: not installed ({error.name})")
            continue
        print(
            f"{name:<13} {len(page.encode()) / 1e6:7.3f} MB   {seconds:6.2f} s   "
            f"fetches {addresses(page)}",
            flush=True,
        )
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            ending = "html" if "<html" in page else "txt"
            (options.keep / f"{name.lower()}.{ending}").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
