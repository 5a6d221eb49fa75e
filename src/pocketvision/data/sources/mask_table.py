"""A table of pairs: a row an image and its mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.boxes.box_columns import PATHS
from pocketvision.data.delimited_text import open_delimited
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.masks.class_table import class_table
from pocketvision.data.masks.folder import Masked, samples_of
from pocketvision.data.masks.pairing import Pair, Pairs
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples, split_of_cell
from pocketvision.data.sources.source import LAYOUT, Source
from pocketvision.data.sources.table_look import is_table, look_into
from pocketvision.data.table_paths import TablePaths
from pocketvision.data.table_rows import DELIMITERS
from pocketvision.errors import UsageError
from pocketvision.printable import quoted, shortened
from pocketvision.tasks.segmentation.truth import SEGMENTATION

MASKS = ("mask", "mask_path", "mask_file", "mask_filename", "maskpath", "masks", "segmentation", "annotation_path")
"""Names of the column of masks, in lower case."""


class MaskColumns(NamedTuple):
    """Places in a header."""

    path: int
    mask: int
    split: int | None
    group: int | None


def evidence(path: Path) -> int | None:
    """A column of masks beside one of paths."""
    if not is_table(path) or path.suffix.lower() not in DELIMITERS:
        return None
    look = look_into(path)
    return LAYOUT if look is not None and _mask_column([*look.columns]) is not None else None


def read(path: Path, options: SourceOptions) -> Samples:
    """Paths start at the table's folder, or at --images. A pair of which one is not there is told and left out. Raises
    UsageError, with the line, for a split that is none, and as samples_of does."""
    root = path.parent if options.images is None else options.images
    places, counter = TablePaths(root, given=options.images is not None), LeftOutCounter()
    pairs: dict[str, tuple[str, int, str]] = {}
    several, no_mask, no_image = [], [], []
    names = options.columns
    with open_delimited(path, names.names, DELIMITERS.get(path.suffix.lower(), ",")) as text:
        columns = _columns(path, text.header, names.path, names.split, names.group)
        for record in text.records:
            cells = record.cells
            if not any(map(str.strip, cells)):
                counter.add("blank_row", f"line {record.line}")
                continue
            image, mask = places.find(cells[columns.path]), places.find(cells[columns.mask])
            if image is None:
                no_image.append(cells[columns.mask])
            elif mask is None:
                no_mask.append(image)
            elif image in pairs:
                several.append(mask)
            else:
                split = (
                    -1 if columns.split is None else split_of_cell(cells[columns.split], f"{path}, line {record.line}")
                )
                group = "" if columns.group is None else cells[columns.group].strip()
                pairs[image] = mask, split, group
    found = Pairs(
        tuple(Pair(image, mask, split) for image, (mask, split, _) in pairs.items()),
        tuple(no_mask),
        tuple(no_image),
        tuple(several),
    )
    folders = dict.fromkeys([path.parent, root, *(root / each.mask.rpartition("/")[0] for each in found.pairs)])
    groups = tuple(group for _, _, group in pairs.values())
    table = class_table([*folders])
    masked = Masked(path, root, found, table, labels=options.labels, groups=groups, ignore=options.ignore)
    return samples_of(masked, counter)


def _mask_column(header: Sequence[str]) -> int | None:
    lower = [name.strip().lower() for name in header]
    return next((lower.index(name) for name in MASKS if name in lower), None)


def _columns(table: Path, header: Sequence[str], path: str, split: str, group: str) -> MaskColumns:
    mask, lower = _mask_column(header), [name.strip().lower() for name in header]
    found = ", ".join(shortened(name, 40) for name in header[:30]) or "none"
    if mask is None:
        raise UsageError(f"{table}: no column for masks, such as mask. Columns found: {found}.")
    usual = [lower.index(name) for name in PATHS if path == "path" and name in lower and lower.index(name) != mask]
    places = [header.index(path)] if path in header else usual
    if not places:
        raise UsageError(
            f"{table}: no column {quoted(path)} for the images. Columns found: {found}. Name it with --path-column."
        )
    return MaskColumns(
        places[0],
        mask,
        header.index(split) if split in header else None,
        header.index(group) if group in header else None,
    )


MASK_TABLE = Source(
    expects="a CSV with the columns path and mask",
    evidence=evidence,
    kinds=(SEGMENTATION,),
    read=read,
    names_files=True,
    has_values=True,
)
