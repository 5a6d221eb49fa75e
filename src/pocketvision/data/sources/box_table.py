"""A table of boxes: a row an object, or a row without a box for an image that holds none."""

from pathlib import Path

from pocketvision.data.boxes.box_columns import BoxColumns, box_columns, corners_of, find_box
from pocketvision.data.boxes.pictures import Pictures
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import number
from pocketvision.data.delimited_text import Record, open_delimited
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples, split_of_cell
from pocketvision.data.several_labels import LabelUse, refuse_several_labels
from pocketvision.data.sources.source import ASKED, LAYOUT, Source
from pocketvision.data.sources.table_look import is_table, look_into
from pocketvision.data.table_rows import DELIMITERS
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.detection.truth import DETECTION


def evidence(path: Path) -> int | None:
    """Four columns of a box beside one of paths."""
    if not is_table(path) or path.suffix.lower() not in DELIMITERS:
        return None
    look = look_into(path)
    return LAYOUT if look is not None and find_box([*look.columns]) is not None else ASKED


def read(path: Path, options: SourceOptions) -> Samples:
    """Pixels, or shares where all of an image's boxes are between 0 and 1. Raises UsageError, with the line, for a label
    without a box and a split that is none, and for what box_columns and Drawn.samples refuse."""
    pictures = Pictures(path.parent, options.images)
    drawn = Drawn(path, pictures)
    with open_delimited(path, options.columns.names, DELIMITERS.get(path.suffix.lower(), ",")) as text:
        names = options.columns
        columns = box_columns(
            path, text.header, path=names.path, label=names.label, split=names.split, group=names.group, box=names.box
        )
        uses: dict[str, LabelUse] = {}
        for record in text.records:
            if not any(map(str.strip, record.cells)):
                pictures.counter.add("blank_row", f"line {record.line}")
                continue
            name = record.cells[columns.label].strip()
            use = uses.get(name, LabelUse(0, f"line {record.line}"))
            uses[name] = use._replace(rows=use.rows + 1)
            _add(drawn, record, columns, [] if options.images is not None else [path.parent / "images"])
    uses.pop("", None)
    refuse_several_labels(path, uses, options.labels or (), "A box has one class: write a row for each.")
    return drawn.samples(Ending(options.labels))


def _add(drawn: Drawn, record: Record, columns: BoxColumns, near: list[Path]) -> None:
    cells = record.cells
    name, label = cells[columns.path], cells[columns.label].strip()
    where = f"{drawn.where}, line {record.line}"
    split = split_of_cell(cells[columns.split], where) if columns.split is not None else -1
    size = None if columns.size is None else (number(cells[columns.size[0]]), number(cells[columns.size[1]]))
    group = "" if columns.group is None else cells[columns.group].strip()
    path = drawn.pictures.find(name, near, split) or drawn.pictures.find(f"{name}.jpg", near, split)
    row = drawn.image(path, name, size=size, split=split, group=group, again=True)
    sides = [cells[place].strip() for place in columns.box]
    if row is None or not (label or any(sides)):
        return
    if not label or not any(sides):
        raise UsageError(
            f"{where}: {'a box without a label' if any(sides) else f'the label {quoted(label)} without a box'}. Give both, or "
            "neither for an image without objects."
        )
    drawn.box(row, label, corners_of([number(side) for side in sides], columns.form))


BOX_TABLE = Source(
    expects="a CSV of boxes with the columns path, label, x1, y1, x2, y2",
    evidence=evidence,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
