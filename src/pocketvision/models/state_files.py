"""Reading a file of weights, whoever wrote it, as a plain {key: tensor} dictionary. Foreign code is never imported or run."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.spec import ModelSpec
from pocketvision.models.torch_checkpoint import load_checkpoint
from pocketvision.models.weight_sets import WeightSet, choose
from pocketvision.utf8_path import utf8_path

PICKLED_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (".safetensors", *PICKLED_SUFFIXES)

_HEAD = 512
# What a file that is no checkpoint begins with, and what that means.
_FOREIGN = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the weights themselves. Fetch them with: git lfs pull"),
    (
        b"<!doctype html",
        "it is a web page, not weights: the address was answered with a page. Download the file itself",
    ),
    (b"<html", "it is a web page, not weights: the address was answered with a page. Download the file itself"),
    (b"<?xml", "it is XML, not weights: often a server's error message. Download the file again"),
    (b'{"', "it is JSON text, not weights: an index, a configuration or a server's error message"),
    (b"\x89hdf", "it is an HDF5 file (Keras or TensorFlow), which is not read here"),
    (b"\x1f\x8b", "it is compressed with gzip. Unpack it first"),
    (b"bzh", "it is compressed with bzip2. Unpack it first"),
    (b"\xfd7zxz", "it is compressed with xz. Unpack it first"),
    (b"7z\xbc\xaf", "it is a 7-Zip archive. Unpack it first"),
    (b"rar!", "it is a RAR archive. Unpack it first"),
    (b"\x93numpy", "it is a NumPy array, not a state dict"),
)
_LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
"""What torch before 1.6 wrote as the first object of a file."""
_MAGIC_WITHIN = 24
_SAVE_STATE = "Where it was made, save the state dict alone: torch.save(model.state_dict(), path)"
_EXPECTED = "Expected a .safetensors file, or a checkpoint that torch.save wrote"


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, unwrapped (`state_dict`, `model`, `module.` ...). Raises as load_weight_set does."""
    return load_weight_set(path).state


def load_weight_set(path: Path, key: str | None = None) -> WeightSet:
    """The tensors of a .safetensors file or of a checkpoint of torch's, by content and not by name.

    key: which of several sets of weights (None: plain ones before averaged ones). Raises WeightsError that names the exact
    reason for a missing, unreadable or damaged file, one of another kind, and one without weights; UsageError for an unknown key.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; expected a file of weights.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        with utf8_path(path) as opened:
            content = load_file(opened) if _is_safetensors(path, head) else _load_torch(opened, head)
    except WeightsError as error:
        raise WeightsError(f"{path} can not be read as weights: {error}") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} can not be read as weights: {_first_line(error)}") from error
    try:
        return choose(content, key)
    except WeightsError as error:
        raise WeightsError(
            f"{path}: {error}. Expected a state dict, as torch.save(model.state_dict()) writes it."
        ) from None


def rows_as_metadata(architecture: ModelSpec) -> dict[str, str]:
    """What our own safetensors files carry besides tensors: the network's rows, padding and epsilon included."""
    return {_ROWS: json.dumps(architecture.to_dict())}


def rows_of(path: Path) -> ModelSpec | None:
    """The rows that one of our own files, which load_state can read, carries; None for any other file.

    Raises WeightsError when the rows are damaged: without them the weights would run with other conventions.
    """
    with path.open("rb") as content:
        if not _is_safetensors(path, content.read(_HEAD)):
            return None
    with utf8_path(path) as opened, safe_open(opened, framework="pt") as file:
        text = (file.metadata() or {}).get(_ROWS)
    if text is None:
        return None
    try:
        return spec_from_dict(json.loads(text))
    except (ValueError, UsageError) as error:
        raise WeightsError(f"{path}: the architecture's rows in it can not be read: {error}") from error


_ROWS = "pocketvision_architecture"


def _is_safetensors(path: Path, head: bytes) -> bool:
    """By its content: the length of a JSON header, and the header. Raises WeightsError for one that is cut off."""
    if len(head) > 8 and head[8:9] == b"{":
        needed, found = 8 + int.from_bytes(head[:8], "little"), path.stat().st_size
        if needed > found:
            raise WeightsError(f"it is cut off: its header alone has {needed:,} bytes, the file {found:,}")
        return True
    if path.suffix.lower() == ".safetensors":
        _refuse_foreign(head)
        if not head.startswith((b"PK", b"\x80")):
            raise WeightsError("it is cut off or damaged: no header of a safetensors file")
    return False


def _load_torch(path: Path, head: bytes) -> Any:
    _refuse_foreign(head)
    if head[257:262] == b"ustar":
        raise WeightsError("it is a tar archive. Unpack it, and give the file of weights in it")
    if head.startswith(b"PK"):
        _check_archive(path)
    elif head.startswith(b"\x80") and len(head) > _MAGIC_WITHIN and _LEGACY_MAGIC not in head:
        raise WeightsError(f"it is a plain pickle (pickle.dump), which is never loaded. {_SAVE_STATE}")
    elif not head.startswith(b"\x80"):
        raise WeightsError(f"it begins like no file of weights ({head[:12]!r}). {_EXPECTED}")
    try:
        return load_checkpoint(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(error)) from error
    except EOFError as error:
        raise WeightsError(
            f"it is cut off: it ends after {path.stat().st_size:,} bytes, before its content does"
        ) from error
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise WeightsError(f"it is damaged or cut off ({_first_line(error)})") from error


def _refuse_foreign(head: bytes) -> None:
    """Raise WeightsError for the beginning of a file of another kind."""
    if not head:
        raise WeightsError("it is empty (0 bytes)")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, meaning in _FOREIGN:
        if start.startswith(beginning):
            raise WeightsError(meaning)


def _check_archive(path: Path) -> None:
    """Raise WeightsError for a zip file that torch.save did not write, or that is cut off."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise WeightsError(
            f"it is cut off or damaged: after {path.stat().st_size:,} bytes the table of contents is missing"
        ) from None
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            "it is a TorchScript program. Save its weights: torch.save(torch.jit.load(path).state_dict(), 'weights.pth')"
        )
    if names and all(name.endswith(".npy") for name in names):
        raise WeightsError("it is a NumPy archive (.npz), not a state dict")
    if not any(name.endswith("data.pkl") for name in names):
        inside = next((name for name in names if name.lower().endswith(SUFFIXES)), None)
        hint = f" Unpack it, and give {inside}." if inside else f" {_EXPECTED}"
        raise WeightsError(f"it is a zip archive that torch.save did not write.{hint}")


def _refusal(error: pickle.UnpicklingError) -> str:
    """torch's reason without its advice to load the file unsafely, and what to do."""
    lines = [line.replace("WeightsUnpickler error:", "").strip() for line in str(error).splitlines()]
    said = [
        line
        for line in lines
        if line and not line.startswith(("Weights only load failed", "(1)", "(2)", "Please file"))
    ]
    reason = said[0].partition(" Please use")[0][:200] if said else "no reason given"
    if reason.startswith("Unsupported operand"):
        return f"it is damaged, or was saved with another pickle_protocol than torch.save's own, 2. {_SAVE_STATE}"
    return f"it is damaged, or holds Python objects that can run code, which are never loaded ({reason}). {_SAVE_STATE}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
