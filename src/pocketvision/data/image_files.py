"""What is a picture, and which folders are passed over: one rule for every verb."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import words_of
from pocketvision.data.signatures import HEAD_BYTES, HEIC, format_of
from pocketvision.errors import UsageError

SUFFIXES: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".jif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
}
"""Lower-case suffixes that make a file a picture whatever it holds; what it holds is recognised by its content."""

_HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".heics"})
_UNREAD_SUFFIXES = words_of(
    ".jp2 .j2k .jpx .jpf .jxl .jxr .wdp .psd .xcf .svg .svgz .eps .ai .ico .cur .icns .tga .exr .hdr .dcm .dicom .nii .dds "
    ".pcx .sgi .ras .xbm .xpm .fits .cr2 .cr3 .nef .nrw .arw .srf .dng .orf .rw2 .raf .pef .srw .raw .3fr .erf .kdc .mrw "
    ".x3f .wmf .emf .djvu .qoi .bpg .flif .mng"
)
_UNFINISHED_SUFFIXES = frozenset({".part", ".crdownload", ".download", ".partial", ".aria2", ".!ut"})
# Never opened: a data set may hold as many label files as pictures. Suffixes in no table: its content decides.
_OTHER_SUFFIXES = words_of(
    ".txt .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .md .rst .html .htm .css .js .ts .py .ipynb .log .pdf .doc .docx "
    ".xls .xlsx .ppt .pptx .odt .zip .rar .7z .tar .gz .tgz .bz2 .xz .mp4 .avi .mov .mkv .webm .mp3 .wav .npy .npz .mat .pkl "
    ".pt .pth .ckpt .onnx .h5 .hdf5 .safetensors .parquet .arrow .tfrecord .db .sqlite .ini .cfg .lnk .url .exe .dll .so .sh "
    ".bat .c .cpp .h .java"
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "zbthumbnail.info"})
_SYSTEM_FOLDERS = frozenset(
    {
        "__macosx",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "lost.dir",
        "found.000",
        "__pycache__",
        "node_modules",
    }
)


class Listing(NamedTuple):
    """What one folder holds that is not left out: sub-folders and images by name, each sorted."""

    folders: list[str]
    images: list[str]


def is_skipped_folder(name: str) -> bool:
    """Whether a folder of this name is never looked into: hidden ones, and those of systems, archives and notebooks."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def why_left_out(file: str | Path) -> str | None:
    """None for a picture; otherwise the reason, a key of `left_out.REASONS`. Only a file of an unknown suffix is opened.

    A known suffix makes a picture, whatever the file holds: that it is damaged is for the audit to find and to name.
    """
    path = str(file)
    name = os.path.basename(path)  # noqa: PTH119
    if name.startswith((".", "~$")) or name.casefold() in _SYSTEM_FILES:
        return "hidden"
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if suffix in SUFFIXES:
        return None
    if suffix in _OTHER_SUFFIXES:
        return "not_an_image"
    if suffix in _UNFINISHED_SUFFIXES:
        return "unfinished"
    held = format_of(_head(path))
    if suffix in _HEIC_SUFFIXES or held == HEIC:
        return "heic" if held in (HEIC, None) else None
    if suffix in _UNREAD_SUFFIXES:  # camera raw files are TIFF files in form
        return "other_format" if held in (None, "TIFF") else None
    return None if held else "not_an_image"


def list_folder(folder: Path, counter: LeftOutCounter, shown: str = "") -> Listing:
    """The sub-folders and images of `folder`; everything else goes into `counter`, named with `shown` before it.

    Raises UsageError for what is no folder or can not be read.
    """
    folders: list[str] = []
    images: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                name = entry.name
                if _leads_to_folder(entry):
                    if is_skipped_folder(name):
                        counter.add("system_folder", f"{shown}{name}/")
                    else:
                        folders.append(name)
                elif reason := why_left_out(entry.path):
                    counter.add(reason, shown + name)
                else:
                    images.append(name)
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: no such folder.") from error
    except NotADirectoryError as error:
        raise UsageError(
            f"{folder}: not a folder. Expected a folder with one sub-folder of images per class."
        ) from error
    except OSError as error:
        raise UsageError(f"{folder}: the folder can not be read ({error.strerror}).") from error
    return Listing(folders, images)


def images_below(
    root: Path, start: str, counter: LeftOutCounter, *, passed: set[tuple[int, int]], skip_unreadable: bool = False
) -> Iterator[str]:
    """The images in root/start and below, folder by folder, relative to `root` with "/" between parts.

    Links are followed, but no folder is read twice, and none of those in `passed` (see `folder_identity`).
    skip_unreadable: count a folder that can not be read instead of raising UsageError.
    """
    # By identity and not by path: a link to a folder above it would otherwise be followed for ever.
    seen = set(passed)
    pending = [start]
    while pending:
        relative = pending.pop()
        folder = root / relative
        shown = f"{relative}/" if relative else ""
        try:
            identity = folder_identity(folder)
            if identity in seen:
                counter.add("read_already", shown)
                continue
            seen.add(identity)
            listing = list_folder(folder, counter, shown)
        except (OSError, UsageError) as error:
            if not skip_unreadable:
                if isinstance(error, OSError):
                    raise UsageError(f"{folder}: the folder can not be read ({error.strerror}).") from error
                raise
            counter.add("no_permission", shown)
            continue
        yield from (shown + name for name in listing.images)
        pending.extend([shown + name for name in reversed(listing.folders)])


def folder_identity(folder: Path) -> tuple[int, int]:
    """The same for every path that leads to one folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def existing_form(path: Path) -> Path:
    """`path`, or the same name in Unicode's other form (NFC, NFD) where that one exists and `path` does not."""
    for form in ("NFC", "NFD"):
        other = Path(unicodedata.normalize(form, str(path)))
        if os.path.lexists(other):
            return other
    return path


def no_images(what: str, counter: LeftOutCounter) -> UsageError:
    """The error for a place that holds no image, with what was there instead."""
    left = [each for each in counter.result() if each.reason not in ("hidden", "system_folder")]
    instead = f" {left[0].line}" if left else ""
    return UsageError(f"{what}.{instead} Expected files that end in {', '.join(SUFFIXES)}, or hold such an image.")


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look: not a folder that can be listed
        return False


def _head(path: str) -> bytes:
    """The first bytes of a regular file; none of anything else (a named pipe would block for ever)."""
    try:
        if os.path.isfile(path):  # noqa: PTH113
            with open(path, "rb") as file:  # noqa: PTH123
                return file.read(HEAD_BYTES)
    except (OSError, ValueError):
        pass
    return b""
