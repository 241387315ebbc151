"""Judging files that are larger than memory: rows per second, and peak memory above the start.

    python benchmarks/bench_streaming.py                     # some minutes on two cores
    python benchmarks/bench_streaming.py --rows 10000000     # the largest file has so many rows
    python benchmarks/bench_streaming.py --json > benchmarks/results/streaming.json

Each file is written once to a temporary folder and judged by a process of its own, whose resident
set is looked at before and at its peak. The same predictions are judged at a tenth of the rows:
the peak must not grow with them. "scikit-learn" loads the same arrays and computes recall,
precision, F1 and balanced accuracy, as a user would who has the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 1000
WIDTH = 100  # classes of the files of scores, which have a hundredth of the rows
CHUNK = 1 << 20
CLEAR_PEAK = Path("/proc/self/clear_refs")  # Linux only


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**8, help="of the largest file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(*args.worker)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, share, write in FILES:
            for count in (args.rows // share // 10, args.rows // share):
                path = write(Path(folder), count)
                for tool in ("everyclass", "scikit-learn") if name == "npy" else ("everyclass",):
                    if tool == "scikit-learn" and count > 10**7:
                        continue
                    row = {"file": name, "tool": tool, "rows": count, "bytes": size(path)}
                    rows.append({**row, **in_process(tool, str(path))})
                    if not args.json:
                        print(line(rows[-1]), flush=True)
                for part in Path(folder).iterdir():
                    part.unlink()
    if args.json:
        print(json.dumps({"machine": machine(), "files": rows}, indent=1))
    else:
        print(machine())


# --- the files ------------------------------------------------------------------------------------


def chunks(rows: int) -> Any:
    generator = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        labels = generator.integers(0, CLASSES, count, dtype=np.uint16)
        other = generator.integers(0, CLASSES, count, dtype=np.uint16)
        yield labels, np.where(generator.random(count) < 0.8, labels, other)


def header(stream: Any, shape: tuple[int, ...], dtype: str) -> None:
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )


def write_npy(folder: Path, rows: int) -> Path:
    with open(folder / "p.npy", "wb") as said, open(folder / "labels.npy", "wb") as labels:
        for stream in (said, labels):
            header(stream, (rows,), "<u2")
        for label, predicted in chunks(rows):
            labels.write(label.tobytes())
            said.write(predicted.tobytes())
    return folder / "p.npy"


def write_parquet(folder: Path, rows: int) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"labels": pa.uint16(), "predicted": pa.uint16()})
    with pq.ParquetWriter(folder / "p.parquet", schema) as writer:
        for columns in chunks(rows):
            writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema))
    return folder / "p.parquet"


def write_csv(folder: Path, rows: int) -> Path:
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema({"labels": pa.uint16(), "predicted": pa.uint16()})
    with csv.CSVWriter(folder / "p.csv", schema) as writer:
        for columns in chunks(rows):
            writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema))
    return folder / "p.csv"


def write_logits(folder: Path, rows: int) -> Path:
    generator = np.random.default_rng(0)
    np.save(folder / "labels.npy", np.arange(rows, dtype=np.uint16) % WIDTH)
    with open(folder / "scores.npy", "wb") as stream:
        header(stream, (rows, WIDTH), "<f4")
        for start in range(0, rows, CHUNK // 64):
            count = min(CHUNK // 64, rows - start)
            stream.write(generator.standard_normal((count, WIDTH), dtype=np.float32).tobytes())
    return folder / "scores.npy"


# Name, how many times fewer rows than the largest file, and what writes it.
FILES = (
    ("npy", 1, write_npy),
    ("parquet", 1, write_parquet),
    ("csv", 5, write_csv),
    ("npy, 100 logits a row", 50, write_logits),
)


# --- one measurement ------------------------------------------------------------------------------


def in_process(tool: str, path: str) -> Any:
    command = [sys.executable, __file__, "--worker", tool, path]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def measure(tool: str, name: str) -> dict[str, Any]:
    path = Path(name)
    judge = judge_by_everyclass if tool == "everyclass" else judge_by_sklearn
    with tempfile.TemporaryDirectory() as folder:  # what is loaded once is loaded here
        for write in (write_npy, write_parquet, write_csv, write_logits):
            small = write(Path(folder), 3000)
            if small.name == path.name:
                judge(small)
    if CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")  # the peak starts again from here
    before, start, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
    accuracy = judge(path)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": (status("VmHWM") - before) / 2**20,
        "balanced_accuracy": accuracy,
    }


def judge_by_everyclass(path: Path) -> float:
    from everyclass import state_of_files

    options: dict[str, Any] = {}
    if path.suffix == ".npy":
        options["labels"] = path.with_name("labels.npy")
        options["scores"] = "logits" if path.stem == "scores" else None
    return state_of_files(path, **options).evaluation().balanced_accuracy


def judge_by_sklearn(path: Path) -> float:
    from sklearn import metrics

    labels, predicted = np.load(path.with_name("labels.npy")), np.load(path)
    metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    return float(metrics.balanced_accuracy_score(labels, predicted))


def status(field: str) -> int:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(field + ":"):
            return int(text.split()[1]) * 1024
    return 0


def size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.iterdir())


def machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def line(row: dict[str, Any]) -> str:
    speed = row["rows"] / row["seconds"] / 1e6
    return (
        f"{row['file']:<22} {row['tool']:<13} {row['rows']:>11,} rows"
        f" {row['bytes'] / 2**20:6,.0f} MB  {speed:6.2f} M rows/s  {row['peak_mb']:5.0f} MB peak"
    )


if __name__ == "__main__":
    main()
