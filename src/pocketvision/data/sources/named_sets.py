"""Published data sets by name (cifar10, fashion_mnist …): fetched and read by torchvision, written once as a table of files.

Under the root lie then what torchvision keeps there, `NAME.csv` (path, label, split) and, for sets that are no files,
`NAME-pictures/` with a PNG each. So they are a source like any other: for the audit, for a run that goes on, for an evaluation.
What was published as training and test stays so; validation images are drawn from the training's where none were published.

Without a network the archives are put into the root by hand, and have to have the published MD5. CIFAR's batches are pickles,
which torchvision loads after comparing their MD5; nothing else is unpickled.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from pocketvision.atomic_files import replacing
from pocketvision.csv_text import csv_bytes
from pocketvision.errors import MissingExtraError, UsageError

Archive = tuple[str, str]
"""Where torchvision looks for a file, under the root with "/" between parts, and the MD5 that it was published with."""


@dataclass(frozen=True)
class NamedSet:
    """A set as torchvision has it. dataset: its class there. archives: what is fetched, from that class. parts: its arguments by
    split; the split "" says that there are none. files, labels: its lists of the pictures' paths (None: they are no files) and
    of their classes' numbers."""

    dataset: str
    archives: Callable[[Any], tuple[Archive, ...]]
    parts: Mapping[str, Mapping[str, Any]]
    files: str | None = None
    labels: str = "targets"


def _of_mnist(dataset: Any) -> tuple[Archive, ...]:
    return tuple((f"{dataset.__name__}/raw/{name}", md5) for name, md5 in dataset.resources)


def _of_cifar(dataset: Any) -> tuple[Archive, ...]:
    return ((dataset.filename, dataset.tgz_md5),)


_BOTH: Mapping[str, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}

NAMED_SETS: dict[str, NamedSet] = {
    "cifar10": NamedSet("CIFAR10", _of_cifar, _BOTH),
    "cifar100": NamedSet("CIFAR100", _of_cifar, _BOTH),
    "fashion_mnist": NamedSet("FashionMNIST", _of_mnist, _BOTH),
    "mnist": NamedSet("MNIST", _of_mnist, _BOTH),
    "oxford_pets": NamedSet(
        "OxfordIIITPet",
        lambda dataset: tuple((f"oxford-iiit-pet/{url.rpartition('/')[2]}", md5) for url, md5 in dataset._RESOURCES),
        {"train": {"split": "trainval"}, "test": {"split": "test"}},
        files="_images",
        labels="_labels",
    ),
    "flowers102": NamedSet(
        "Flowers102",
        lambda dataset: tuple((f"flowers-102/{name}", md5) for name, md5 in dataset._file_dict.values()),
        {split: {"split": split} for split in ("train", "val", "test")},
        files="_image_files",
        labels="_labels",
    ),
    "food101": NamedSet(
        "Food101",
        lambda dataset: ((dataset._URL.rpartition("/")[2], dataset._MD5),),
        {split: {"split": split} for split in ("train", "test")},
        files="_image_files",
        labels="_labels",
    ),
    "eurosat": NamedSet(
        "EuroSAT", lambda _: (("eurosat/EuroSAT.zip", "c8fa014336c82ac7804f0398fcb19387"),), {"": {}}, files="imgs"
    ),
}


def named_set(data: Any, root: str | Path | None, *, download: bool) -> Any:
    """The table of the set that `data` names; what names none, or is a path that exists, is given back as it is.

    root: where archives are looked for and everything is written; None is the cache folder. download: fetch what is not there.

    Raises UsageError that names a missing or wrong file, where it is expected, and root or download without a named set;
    MissingExtraError without torchvision.
    """
    name = str(data) if isinstance(data, str | Path) else ""
    if name not in NAMED_SETS or Path(name).exists():
        if root is not None or download:
            raise UsageError(
                f"--root and --download are for a published data set by name ({', '.join(NAMED_SETS)}), not for {name or 'data'}."
            )
        return data
    folder = user_cache_path("pocketvision") / "datasets" if root is None else Path(root).expanduser()
    table = folder / f"{name}.csv"
    return table if table.is_file() else _write(name, NAMED_SETS[name], folder, table, download)


def _write(name: str, row: NamedSet, root: Path, table: Path, download: bool) -> Path:
    try:
        import torchvision.datasets
    except ImportError:
        raise MissingExtraError(f"The data set {name}", "train") from None
    dataset = getattr(torchvision.datasets, row.dataset)
    parts = _opened(name, row, dataset, root, download)
    with replacing(table) as written, written.open("wb") as file:
        file.write(csv_bytes(["path", "label", *(["split"] if "" not in parts else [])]))
        for split, part in parts.items():
            for path, label in _pictures(name, row, part, root, split):
                file.write(csv_bytes([path, label, *([split] if split else [])]))
    return table


def _opened(name: str, row: NamedSet, dataset: Any, root: Path, download: bool) -> dict[str, Any]:
    """torchvision's data sets by split. What it has to fetch is fetched only where that is allowed."""
    try:
        return {split: dataset(str(root), **arguments) for split, arguments in row.parts.items()}
    except (RuntimeError, OSError):
        missing = [archive for archive in row.archives(dataset) if not _is_there(name, root, archive)]
    if missing and not download:
        files = "; ".join(f"{root / path} (MD5 {md5})" for path, md5 in missing)
        raise UsageError(
            f"{name} is not under {root}. Expected there, or by the same name in {root} itself: {files}. --download fetches "
            "what is missing, where there is a network; --root says where else to look."
        )
    try:
        return {split: dataset(str(root), **arguments, download=True) for split, arguments in row.parts.items()}
    except (RuntimeError, OSError, EOFError) as error:  # URLError is an OSError
        place = root / missing[0][0] if missing else root
        raise UsageError(
            f"{name} can not be fetched or unpacked under {root}: {error}. Without a network, put the published file at {place}."
        ) from error


def _is_there(name: str, root: Path, archive: Archive) -> bool:
    """Whether the published file lies where torchvision looks for it; one in the root itself is put there."""
    place, md5 = root / archive[0], archive[1]
    beside = root / place.name
    found = next((each for each in (place, beside) if each.is_file()), None)
    if found is None:
        return False
    with found.open("rb") as file:
        own = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if own != md5:
        anew = f" Or, if it was only packed anew (as Debian's is), unpack it to {place.with_suffix('')}, which is read as it is."
        raise UsageError(
            f"{found} is not the file that {name} was published as (MD5 {own}, expected {md5}): it is cut short, or another "
            f"version. Remove it, and fetch it again.{anew if place.suffix == '.gz' and '.tar' not in place.name else ''}"
        )
    if found is beside and beside != place:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(beside, place)
        except OSError:
            shutil.copyfile(beside, place)
    return True


def _pictures(name: str, row: NamedSet, part: Any, root: Path, split: str) -> Iterator[tuple[str, str]]:
    """Path under the root and class of each; those that are no files are written."""
    labels = [int(label) for label in getattr(part, row.labels)]
    names = [str(each) for each in part.classes]
    if row.files is not None:
        files = [each[0] if isinstance(each, tuple) else each for each in getattr(part, row.files)]
        for path, label in zip(files, labels, strict=True):
            yield Path(path).relative_to(root).as_posix(), names[label]
        return
    folder = root / f"{name}-pictures" / split
    folder.mkdir(parents=True, exist_ok=True)
    for number, label in enumerate(labels):
        path = folder / f"{number:05d}.png"
        part[number][0].save(path, "PNG", compress_level=1)
        yield path.relative_to(root).as_posix(), names[label]
