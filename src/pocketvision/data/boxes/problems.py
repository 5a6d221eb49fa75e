"""What may be wrong or odd in files of boxes: a row a kind, with what is done about it and the way out."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from pocketvision.data.finding import Finding
from pocketvision.printable import counted, shortened

_FILES = 10


class Problem(NamedTuple):
    """noun: what is counted. text: goes on after the count. way_out: what is done about it, and what to do."""

    noun: str
    text: str
    way_out: str


PROBLEMS: dict[str, Problem] = {
    "missing_images": Problem(
        "image", "listed and not there", "Left out. Put them back, or say where pictures are with --images FOLDER."
    ),
    "unknown_category": Problem(
        "box", "of a class number that stands for no class", "Left out. Add the class to the list, or mend the number."
    ),
    "repeated_category": Problem(
        "class",
        "listed more than once, by number or by name",
        "Boxes of one number are of the first class listed with it, boxes of one name of one class. Number and name "
        "classes once.",
    ),
    "unreadable_box": Problem(
        "box",
        "that can not be read (no numbers, not finite, too few of them)",
        "Left out. Mend the file, or draw anew.",
    ),
    "box_of_no_image": Problem(
        "box", "of an image that is not listed", "Left out. List the image, or remove the boxes."
    ),
    "box_outside": Problem(
        "box",
        "outside the picture as a whole",
        "Left out. Were the pictures cropped or resized after they were drawn? Draw them anew.",
    ),
    "no_area": Problem("box", "without area", "Left out: a click without a drag draws one. Remove them, or draw anew."),
    "size_differs": Problem(
        "image",
        "of another size than the file says",
        "Boxes are scaled where the shape is the same or they fit no other way, else kept. Export them again from the pictures.",
    ),
    "beyond_border": Problem(
        "box", "reaching over the picture's border by more than a pixel", "Cut there. Draw them anew where it is much."
    ),
    "reversed_corners": Problem(
        "box", "with right and left, or top and bottom, the wrong way round", "Turned round. Nothing has to be done."
    ),
    "shares_as_pixels": Problem(
        "image",
        "whose boxes are all between 0 and 1, where pixels are expected",
        "Read as shares of width and height. Write pixels to be sure.",
    ),
    "pixels_as_shares": Problem(
        "image", "whose boxes go far beyond 1, where shares are expected", "Read as pixels. Write shares to be sure."
    ),
    "repeated_boxes": Problem(
        "box", "there twice, with the same class and corners", "One is kept. Save the file again without copies."
    ),
    "repeated_images": Problem(
        "image", "listed more than once in a split", "Their boxes are joined. List every image once."
    ),
    "unlisted_images": Problem(
        "image",
        "beside the listed ones that no annotation names",
        "Kept as backgrounds: pictures without objects. Move away those that hold some.",
    ),
    "turned_images": Problem(
        "image",
        "turned by EXIF whose boxes were drawn on the unturned pixels",
        "Turned with the picture, as which fits inside tells. Save the pictures upright and export again to be sure.",
    ),
    "unsure_turn": Problem(
        "image",
        "turned by EXIF where boxes fit both ways",
        "Taken as drawn on the upright picture. Look at one: `pocketvision convert` into labelme shows it in any editor.",
    ),
    "category_gaps": Problem(
        "gap",
        "in the numbers of classes",
        "Classes are counted from 0 without gaps, and known by their names. Nothing has to be done.",
    ),
    "unused_classes": Problem(
        "class", "listed without any box", "Left out of the list. Add boxes, or give all names with --labels."
    ),
    "other_shapes": Problem(
        "shape",
        "that is no area (points, lines, skeletons)",
        "Left out: a detector learns boxes. Draw boxes around them.",
    ),
    "other_opinions": Problem(
        "image", "annotated by several people", "The first that was not cancelled is taken. Export the final one alone."
    ),
    "confident_boxes": Problem(
        "box", "with a score, as answers of a model have", "The score is passed over. Did a person look at these boxes?"
    ),
}
"""By kind, as in finding.KINDS."""


class Problems:
    """Counts while files are read. rows: the kinds there are."""

    def __init__(self, rows: Mapping[str, Problem] = PROBLEMS) -> None:
        self._rows = rows
        self._counts: dict[str, int] = defaultdict(int)
        self._examples: dict[str, str] = {}
        self._files: dict[str, dict[str, None]] = defaultdict(dict)

    def add(self, kind: str, example: str, file: str = "", count: int = 1) -> None:
        """Count `count` more of a kind, one of the rows. example: what it looks like; the first is shown. file: where it is."""
        self._counts[kind] += count
        self._examples.setdefault(kind, example)
        if file and len(self._files[kind]) < _FILES:
            self._files[kind][file] = None

    def count(self, kind: str) -> int:
        """How many there were so far."""
        return self._counts.get(kind, 0)

    def findings(self) -> tuple[Finding, ...]:
        """One a kind, in the order of the rows."""
        return tuple(
            Finding(kind, self._message(kind, row), tuple(self._files[kind]), self._counts[kind])
            for kind, row in self._rows.items()
            if self._counts.get(kind)
        )

    def _message(self, kind: str, row: Problem) -> str:
        example = self._examples[kind]
        shown = f" ({shortened(example)})" if example else ""
        return f"{plural(self._counts[kind], row.noun)} {row.text}{shown}. {row.way_out}"


def plural(number: int, noun: str) -> str:
    """As printable.counted, with boxes."""
    return f"{number:,} boxes" if noun == "box" and number != 1 else counted(number, noun)
