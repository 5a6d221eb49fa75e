"""Images and masks of the same names, in folders beside each other or in one, with classes.txt for what the values mean."""

from pathlib import Path

from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.masks.class_table import class_table
from pocketvision.data.masks.folder import Masked, samples_of
from pocketvision.data.masks.pairing import is_folder_of_pairs, pairs_in
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import LAYOUT, Source
from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.truth import SEGMENTATION


def read(path: Path, options: SourceOptions) -> Samples:
    """Raises UsageError where no image has a mask, and as samples_of does."""
    counter = LeftOutCounter()
    pairs = pairs_in(path, counter)
    if not pairs.pairs:
        raise UsageError(
            f"{path}: no image in it has a mask. Expected images/ beside masks/ with files of the same names, or NAME_mask.png "
            "beside NAME.jpg."
        )
    folders = [path, *(path / folder for folder in dict.fromkeys(_above(each.mask) for each in pairs.pairs))]
    folders += [folder.parent for folder in folders[1:]]
    table = class_table(list(dict.fromkeys(folders)))
    reading = () if table is None else (f"Classes from {table.file.name}.",)
    return samples_of(
        Masked(path, path, pairs, table, labels=options.labels, reading=reading, ignore=options.ignore), counter
    )


def _above(path: str) -> str:
    return path.rpartition("/")[0]


MASK_FOLDER = Source(
    expects="a folder of images beside one of masks with the same names (images/ and masks/, or NAME_mask.png beside NAME.jpg)",
    evidence=lambda path: LAYOUT if is_folder_of_pairs(path) else None,
    kinds=(SEGMENTATION,),
    read=read,
    has_values=True,
)
