"""Open Images CSV: a row a box, as shares of the sides, classes by code (storage.googleapis.com/openimages, "Data formats")."""

import csv
from pathlib import Path

from pocketvision.data.boxes.places import Place, files_in, index_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import number
from pocketvision.data.boxes.upright import SHARES
from pocketvision.data.delimited_text import open_delimited
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import OWN_FILE, Source
from pocketvision.data.split_folders import split_in_name
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION

_NEEDED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_DESCRIPTIONS = "class-descriptions"
_GROUP = "IsGroupOf"


def is_open_images(file: Path) -> bool:
    """Whether a CSV's header has Open Images' columns."""
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        header = opened.readline(2000).strip().replace('"', "").split(",")
    return set(_NEEDED) <= set(header)


def places_of(path: Path) -> list[Place]:
    """Such files."""
    return index_files(path, (".csv",), is_open_images)


def read(path: Path, options: SourceOptions) -> Samples:
    """A box of a group of objects (IsGroupOf) is a crowd. Codes get the names of a file class-descriptions*.csv, where one is
    beside. Raises UsageError as open_delimited and Drawn.samples do."""
    places = places_of(path)
    if not places:
        raise UsageError(f"{path}: there is no CSV of Open Images ({', '.join(_NEEDED)}) in it.")
    pictures, starts = pictures_of(path, places, options.images)
    drawn = Drawn(path, pictures)
    names = _descriptions(places)
    for place in places:
        split = place.split if place.split >= 0 else split_in_name(place.path.stem)
        folders = starts(place)
        with open_delimited(place.path, _NEEDED) as text:
            columns = [text.header.index(name) for name in (*_NEEDED[:3], "YMin", "XMax", "YMax")]
            group = text.header.index(_GROUP) if _GROUP in text.header else None
            for record in text.records:
                image, code, *sides = (record.cells[column].strip() for column in columns)
                own = -1 if split is None else split
                found = pictures.find(f"{image}.jpg", folders, own) or pictures.of_stem(image, folders, own)
                row = drawn.image(found, image, split=own, again=True)
                if row is not None:
                    crowd = group is not None and record.cells[group].strip() == "1"
                    drawn.box(row, names.get(code, code), [number(side) for side in sides], crowd=crowd)
    unnamed = () if names else (f"No {_DESCRIPTIONS}*.csv is beside: classes are called by their codes.",)
    return drawn.samples(Ending(options.labels, unit=SHARES, reading=unnamed))


def _descriptions(places: list[Place]) -> dict[str, str]:
    """Names by code; a file without a header."""
    for folder in dict.fromkeys(each for place in places for each in (place.path.parent, place.base)):
        for file in files_in(folder, (".csv",)):
            if file.name.lower().removeprefix("oidv6-").removeprefix("oidv7-").startswith(_DESCRIPTIONS):
                with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
                    return {row[0].strip(): row[1].strip() for row in csv.reader(opened) if len(row) >= 2}
    return {}


OPEN_IMAGES = Source(
    expects="a CSV of Open Images (ImageID, LabelName, XMin, XMax, YMin, YMax), or a folder with one",
    evidence=lambda path: OWN_FILE if places_of(path) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
