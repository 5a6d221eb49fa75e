"""The split overlay: a table of splits over the source that its images have their truth from.

A table's columns hold classes. Samples with other truth, such as boxes or masks, are written beside a file that names their
source (splits.py), and are read from there again, found by their paths relative to it.
"""

import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.data.class_names import ordered_class_names
from pocketvision.data.origin import Origin
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.splits import origin_file
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

_NAMED = 3


def read_origin(table: Path) -> tuple[Origin, tuple[str, ...]]:
    """The source of a table of splits, and the classes of its images in index order.

    Raises UsageError where what is beside the table does not say, or the source is not there.
    """
    file = origin_file(table)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        origin, class_names = Origin.from_dict(values), tuple(map(str, values["class_names"]))
        origin = replace(origin, path=table.parent / origin.path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: it can not be read ({error}), so the truth of {table} is not known.") from error
    if not origin.path.exists():
        raise UsageError(
            f"{table} has the truth of its images from {origin.path}, which is not there. Put it back, or write into {file} "
            "where it is now."
        )
    return origin, class_names


def over_source(table: Path, source: Samples, class_names: tuple[str, ...], labels: tuple[str, ...] | None) -> Samples:
    """The images of `table`, in its order and splits, with all their truth in `source`.

    class_names: theirs in index order; labels: in which other order they are wanted, or None. Raises UsageError that names
    images which are not in the source, or have another class there.
    """
    try:
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = [(row["path"], row.get("label", ""), SPLITS.index(row["split"])) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{table}: it can not be read as a table of splits ({error!r}).") from error
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in reversed(range(len(source))):
        places[source.paths[index], source.class_name(index)].append(index)
    gone = [path for path, label, _ in rows if (path, label) not in places]
    if gone or not rows:
        some = f" ({', '.join(map(quoted, gone[:_NAMED]))}{' ...' if len(gone) > _NAMED else ''})" if gone else ""
        raise UsageError(
            f"{table}: {len(gone)} of its {len(rows)} images{some} are not in {source.root}, or have another class there. Put "
            "the data back as it was."
        )
    taken = source.select([places[path, label].pop() for path, label, _ in rows])
    taken = taken.in_classes(class_names).with_splits(np.array([split for *_, split in rows], np.int8))
    if labels is None:
        return taken
    present = [name for name, count in zip(class_names, taken.class_counts().tolist(), strict=True) if count]
    return taken.in_classes(ordered_class_names(present, labels, str(table)))
