"""Reading a file of weights, whoever wrote it, as a plain {key: tensor} dictionary. Nothing is unpickled."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.spec import ModelSpec

PICKLED_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
SUFFIXES = (".safetensors", *PICKLED_SUFFIXES)

# Under which names training scripts put the weights into a checkpoint, and what wrappers put before every key.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt, .bin or .ckpt file, unwrapped (`state_dict`, `model`, `module.` ...).

    Raises WeightsError for a missing, unreadable or damaged file, another suffix, and a file that holds more than
    tensors (a whole pickled model).
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; expected a file of weights.")
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{path}: its name ends in {path.suffix!r}; weights end in {', '.join(SUFFIXES)}.")
    try:
        content: Any = load_file(path) if path.suffix.lower() == ".safetensors" else _load_pickled(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} can not be read as weights: {_reason(error)}") from error
    state = _without_prefixes(_unwrapped(content))
    if not state:
        raise WeightsError(
            f"{path} holds no tensors by name; expected a state dict, as torch.save(model.state_dict()) writes it."
        )
    return state


def rows_as_metadata(architecture: ModelSpec) -> dict[str, str]:
    """What our own safetensors files carry besides tensors: the network's rows, padding and epsilon included."""
    return {_ROWS: json.dumps(architecture.to_dict())}


def rows_of(path: Path) -> ModelSpec | None:
    """The rows that one of our own files, which load_state can read, carries; None for any other file.

    Raises WeightsError when the rows are damaged: without them the weights would run with other conventions.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_ROWS)
    if text is None:
        return None
    try:
        return spec_from_dict(json.loads(text))
    except (ValueError, UsageError) as error:
        raise WeightsError(f"{path}: the architecture's rows in it can not be read: {error}") from error


_ROWS = "pocketvision_architecture"


def _load_pickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return (
            "it is damaged, or holds Python objects besides tensors (a whole pickled model), which are never loaded "
            "because they can run code. Save the state dict instead: torch.save(model.state_dict(), path)."
        )
    return (str(error) or type(error).__name__).splitlines()[0]


def _unwrapped(content: Any) -> dict[str, Tensor]:
    """The innermost dictionary that has tensors for values."""
    while isinstance(content, Mapping):
        tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
        if tensors:
            return tensors
        content = next((content[name] for name in _WRAPPERS if name in content), None)
    return {}


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip what DataParallel, torch.compile or a trainer's wrapper put before all keys."""
    for prefix in _PREFIXES * 2:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
