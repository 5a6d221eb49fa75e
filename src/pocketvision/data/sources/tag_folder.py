"""A folder of tags: a sub-folder a tag, and a picture with several tags in several of them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.image_folder import read_image_folder
from pocketvision.data.sources.source import ASKED, Source
from pocketvision.data.tag_column import tag_truth
from pocketvision.printable import counted
from pocketvision.tasks.tags.truth import TAGS


def read(path: Path, options: SourceOptions) -> Samples:
    """Files with the same bytes in one split are one picture, the first of them, with the tags of all. Files are only read where
    others are as large.

    Raises UsageError for what read_image_folder and tag_truth refuse.
    """
    samples = read_image_folder(path, labels=options.labels)
    names, labels = samples.class_names, samples.labels.tolist()
    same = list(_same(samples))
    kept = samples.select([rows[0] for rows in same])
    tags = [list(dict.fromkeys(names[labels[row]] for row in rows)) for rows in same]
    training = None if kept.splits is None else np.flatnonzero(kept.splits == 0).tolist()
    truth = tag_truth(str(path), tags, options.labels and names, training)
    several = sum(len(each) > 1 for each in tags)
    said = f"Read as tags: {counted(several, 'picture')} in several folders, {counted(len(tags), 'picture')} in all."
    return Samples(path, kept.paths, truth, None, kept.splits, samples.left_out, (*samples.reading, said))


def _same(samples: Samples) -> Iterator[list[int]]:
    """The rows of each picture, in the order of the first."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in range(len(samples)):
        split = -1 if samples.splits is None else int(samples.splits[row])
        by_size[split, samples.file(row).stat().st_size].append(row)
    groups: list[list[int]] = []
    for rows in by_size.values():
        by_content: dict[bytes, list[int]] = defaultdict(list)
        for row in rows:
            by_content[b"" if len(rows) == 1 else _digest(samples.file(row))].append(row)
        groups += by_content.values()
    yield from sorted(groups, key=lambda rows: rows[0])


TAG_FOLDER = Source(
    expects="a folder with one sub-folder of images for each tag, and pictures of several tags in several of them",
    evidence=lambda path: ASKED if path.is_dir() else None,
    kinds=(TAGS,),
    read=read,
)


def _digest(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()
