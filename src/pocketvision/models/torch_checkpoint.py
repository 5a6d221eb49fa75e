"""Reading a file that torch.save wrote with `weights_only=True`, whatever Python objects lie beside the tensors.

torch's weights-only unpickler imports nothing and calls only what it is told to allow. Every global that a file names and torch
does not know (argparse.Namespace, numpy.dtype, pathlib.PosixPath, the classes of a whole pickled model ...) is answered with an
inert placeholder, so nothing foreign is imported or called. What a placeholder was given is kept: a pickled module's tensors
lie in it by name.
"""

import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

# A legacy file (torch before 1.6) begins with three small pickles: magic number, protocol, system.
_LEGACY_PICKLES = 4


class Placeholder(list[Any]):
    """Stands for an object of a class that is not imported. `state` is what it would have been built from. A list, because the
    unpickler appends to nothing else."""

    global_name = ""

    def __new__(cls, *arguments: object, **options: object) -> "Placeholder":
        """Whatever the class would be called with."""
        del arguments, options
        return super().__new__(cls)

    def __init__(self, *arguments: object, **options: object) -> None:
        del arguments, options
        super().__init__()
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def tensors(self) -> dict[str, Tensor]:
        """A pickled torch.nn.Module's state dict; empty for any other object."""
        return dict(_module_tensors(self, ""))


class MappingPlaceholder:
    """Stands for an object that is a dictionary (collections.defaultdict, EasyDict ...): becomes an OrderedDict."""

    def __new__(cls, *arguments: object, **options: object) -> Any:
        """An empty OrderedDict, which the unpickler fills."""
        del arguments, options
        return OrderedDict()


class AttributePlaceholder:
    """Stands for the built-in getattr, by which methods are pickled: whatever is called with it can be called again."""

    def __new__(cls, *arguments: object, **options: object) -> Any:
        """The class itself."""
        del arguments, options
        return cls


def load_checkpoint(path: Path) -> Any:
    """The content of the file, with placeholders for foreign objects.

    Raises pickle.UnpicklingError for a pickle that torch's unpickler refuses (a global of `os` or `sys`, an operation that
    torch.save never writes), RuntimeError, EOFError, OSError, ValueError or KeyError for a damaged file.
    """
    names = globals_of(path)
    mappings: set[str] = set()
    while True:
        placeholders = {name: _placeholder(name, name in mappings) for name in names}
        allowed: list[Any] = [(placeholder, name) for name, placeholder in placeholders.items()]
        try:
            with safe_globals(allowed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # Only the unpickler knows that it was about to set an item of a placeholder.
            filled = {
                name for name, each in placeholders.items() if "SETITEM" in str(error) and repr(each) in str(error)
            }
            if not filled - mappings:
                raise
            mappings |= filled


def globals_of(path: Path) -> set[str]:
    """Every "module.name" that the file's pickles refer to. Nothing of it is run. Raises as load_checkpoint does."""
    found: set[str] = set()
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            for _ in range(_LEGACY_PICKLES):
                found |= set(_globals_in(file))
            return found
        with zipfile.ZipFile(file) as archive:
            for record in archive.namelist():
                if record.endswith("data.pkl"):
                    with archive.open(record) as pickled:
                        found |= set(_globals_in(pickled))
    return found


def _globals_in(file: IO[bytes]) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield f"{module}.{name}"
            # Python 2 had other names for some, and torch translates most of them.
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            yield f"{module}.{name}"


def _placeholder(name: str, is_mapping: bool) -> type:
    if name == "builtins.getattr":
        return AttributePlaceholder
    if is_mapping:
        return MappingPlaceholder
    return type(name, (Placeholder,), {"global_name": name})


def _module_tensors(module: Placeholder, prefix: str) -> Iterator[tuple[str, Tensor]]:
    fields = module.state if isinstance(module.state, dict) else {}
    transient = fields.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (fields.get(kind) or {}).items():
            if isinstance(value, Tensor) and name not in transient:
                yield f"{prefix}{name}", value.detach()
    for name, child in (fields.get("_modules") or {}).items():
        if isinstance(child, Placeholder):
            yield from _module_tensors(child, f"{prefix}{name}.")
