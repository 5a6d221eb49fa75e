"""Indexing at scale: seconds and memory a row for an image folder, a CSV and a Parquet table, and how they grow.

    python benchmarks/index_scale.py                                   # 100,000 and 1,000,000 rows
    python benchmarks/index_scale.py --scratch /dev/shm --json out.json  # Linux: real files, without a disk

Makes that many empty files (synthetic names of about 50 characters, 100 classes, folders of 1,000), indexes them with
`read_samples`, the tables checking that every file is there, and splits the folder's samples in clusters. Each measurement
is a process of its own, run twice: once for time and resident memory, once for allocations (tracemalloc, which slows).

bytes_kept: what the index holds a row; the bar is 300. bytes_peak: the most that was held while reading.
growth: seconds of CPU a row at the largest size over those at the smallest; 1 is O(n).
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

CLASSES = 100
FILES_PER_FOLDER = 1000
BAR = 300
KINDS = ("folder", "csv", "parquet", "split")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--scratch", type=Path, help="where to make the files (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "PATH", "TRACE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, path, trace = arguments.measure
        print(json.dumps(measure(kind, Path(path), trace == "trace")))
        return
    results = {kind: [] for kind in KINDS}
    for rows in sorted(arguments.rows):
        folder = Path(tempfile.mkdtemp(prefix="index-scale-", dir=arguments.scratch))
        try:
            places = make(folder, rows)
            for kind in KINDS:
                results[kind].append(in_a_process(kind, places[kind]))
        finally:
            shutil.rmtree(folder)
    report = {
        "bar_bytes_kept": BAR,
        "results": results,
        "growth": {
            kind: round(found[-1]["cpu_seconds"] / found[-1]["rows"] * found[0]["rows"] / found[0]["cpu_seconds"], 2)
            for kind, found in results.items()
        },
        "within_bar": all(one["bytes_kept"] <= BAR for found in results.values() for one in found),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


def make(folder: Path, rows: int) -> dict[str, Path]:
    """Empty image files below folder/images and the tables that list them, with splits and groups of four."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, list[str]] = {"path": [], "label": [], "split": [], "group": []}
    for number in range(rows):
        label = f"class_{number // FILES_PER_FOLDER % CLASSES:03d}"
        session = f"{label}/session_{number // FILES_PER_FOLDER:05d}"
        if number % FILES_PER_FOLDER == 0:
            (folder / "images" / session).mkdir(parents=True)
        name = f"images/{session}/IMG_{number:010d}.jpg"
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))
        split = ("train", "train", "train", "val")[number // 4 % 4]
        for column, value in zip(columns.values(), (name, label, split, f"object {number // 4}"), strict=True):
            column.append(value)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "table.parquet")
    table, images = folder / "table.csv", folder / "images"
    return {"folder": images, "csv": table, "parquet": folder / "table.parquet", "split": table}


def in_a_process(kind: str, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for trace in ("time", "trace"):
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", kind, str(path), trace]
        found |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def measure(kind: str, path: Path, trace: bool) -> dict[str, Any]:
    """One kind of work on one source, in this process."""
    from pocketvision.data.sources.catalog import read_samples
    from pocketvision.data.splits import make_split, unite

    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401 (loading the library is not the index's time or memory)
    samples = read_samples(path) if kind == "split" else None
    if trace:
        tracemalloc.start()
    resident, started, worked = resident_bytes(), time.perf_counter(), time.process_time()
    result: Any
    if samples is None:
        result = read_samples(path)
    else:
        result = make_split(samples.labels, clusters=unite(len(samples), [], samples.groups), seed=0)
    rows = len(result)
    if trace:
        kept, peak = tracemalloc.get_traced_memory()
        return {"bytes_kept": round(kept / rows), "bytes_peak": round(peak / rows)}
    return {
        "rows": rows,
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "resident_growth_bytes": round((resident_bytes() - resident) / rows),
    }


def resident_bytes() -> int:
    """Memory of this process; 0 where the system has no /proc."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else 0


if __name__ == "__main__":
    main()
