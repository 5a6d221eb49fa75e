"""Which columns of a table hold a box: names that are given, or those that tables of boxes have."""

from collections.abc import Sequence
from typing import NamedTuple

from pocketvision.errors import UsageError
from pocketvision.printable import quoted, shortened

CORNERS, SIZES, CENTRES = "corners", "sizes", "centres"

FORMS: tuple[tuple[tuple[str, str, str, str], str], ...] = (
    (("x1", "y1", "x2", "y2"), CORNERS),
    (("xmin", "ymin", "xmax", "ymax"), CORNERS),
    (("x_min", "y_min", "x_max", "y_max"), CORNERS),
    (("left", "top", "right", "bottom"), CORNERS),
    (("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), CORNERS),
    (("x", "y", "width", "height"), SIZES),
    (("x", "y", "w", "h"), SIZES),
    (("left", "top", "width", "height"), SIZES),
    (("bbox_x", "bbox_y", "bbox_width", "bbox_height"), SIZES),
    (("x_center", "y_center", "width", "height"), CENTRES),
    (("cx", "cy", "w", "h"), CENTRES),
)
"""Names in lower case, as they are found in headers, and what they say."""

PATHS = (
    "path",
    "filename",
    "file_name",
    "file",
    "image",
    "image_path",
    "image_name",
    "img",
    "filepath",
    "image_id",
    "name",
)
CLASSES = ("label", "class", "class_name", "category", "label_name", "name", "category_name", "object")
WIDTHS, HEIGHTS = (
    ("image_width", "img_width", "imagewidth", "width"),
    ("image_height", "img_height", "imageheight", "height"),
)


class BoxColumns(NamedTuple):
    """Places in a header. box: four, as `form` says; size: of the picture, none where the table says it not."""

    path: int
    label: int
    box: tuple[int, int, int, int]
    form: str
    split: int | None
    group: int | None
    size: tuple[int, int] | None


def find_box(header: Sequence[str]) -> tuple[tuple[int, int, int, int], str] | None:
    """The first of FORMS whose names are all in a header; None for none."""
    lower = [name.strip().lower() for name in header]
    for names, form in FORMS:
        if all(name in lower for name in names):
            one, two, three, four = map(lower.index, names)
            return (one, two, three, four), form
    return None


def box_columns(
    where: object, header: Sequence[str], *, path: str, label: str, split: str, group: str, box: Sequence[str] = ()
) -> BoxColumns:
    """Raises UsageError for a header that lacks one. box: four names, as corners; none finds them. path, label: a name that is
    not there may be another usual one, where it is the usual itself."""
    found = ", ".join(shortened(name, 40) for name in header[:30]) or "none"
    if box and len(box) != 4:
        raise UsageError(f"--box-columns has {len(box)} names; expected four, such as x1,y1,x2,y2.")
    absent = [name for name in box if name not in header]
    if absent:
        raise UsageError(f"{where}: no column {quoted(absent[0])} for a side of boxes. Columns found: {found}.")
    own = (tuple(header.index(name) for name in box), CORNERS) if box else find_box(header)
    if own is None:
        raise UsageError(
            f"{where}: no four columns for boxes, such as x1, y1, x2, y2. Columns found: {found}. Name them with --box-columns."
        )
    taken = set(own[0])
    places = {}
    for role, name, usual in (("path", path, PATHS), ("label", label, CLASSES)):
        lower = [each.strip().lower() for each in header]
        others = [lower.index(each) for each in usual if name == role and each in lower]
        free = [place for place in ([header.index(name)] if name in header else others) if place not in taken]
        if not free:
            raise UsageError(
                f"{where}: no column {quoted(name)} for the {role}. Columns found: {found}. Name the right one with "
                f"{role}_column "
                f"(--{role}-column)."
            )
        places[role] = free[0]
        taken.add(free[0])
    width, height = (
        next((place for name in names if name in lower and (place := lower.index(name)) not in taken), None)
        for names in (WIDTHS, HEIGHTS)
    )
    one, two, three, four = own[0]
    return BoxColumns(
        places["path"],
        places["label"],
        (one, two, three, four),
        own[1],
        header.index(split) if split in header else None,
        header.index(group) if group in header else None,
        None if width is None or height is None else (width, height),
    )


def corners_of(sides: Sequence[float], form: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom."""
    one, two, three, four = sides
    if form == SIZES:
        return one, two, one + three, two + four
    if form == CENTRES:
        return one - three / 2, two - four / 2, one + three / 2, two + four / 2
    return one, two, three, four
