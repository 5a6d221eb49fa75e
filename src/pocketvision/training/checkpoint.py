"""A checkpoint: one phase's state in one file that is written whole or not at all (safetensors, state as JSON in its header)."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pocketvision.atomic_files import replacing
from pocketvision.errors import TrainingError
from pocketvision.progress import EpochRecord
from pocketvision.training.engine import State
from pocketvision.utf8_path import utf8_path

FORMAT = "pocketvision-checkpoint-2"


def write_checkpoint(path: Path, state: State) -> None:
    """Write `state` to `path`. Raises TrainingError (full disk) and then leaves the previous checkpoint as it was."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.weights.items():
        tensors[f"weights/{name}"] = tensor
    for name, tensor in state.average.items():
        tensors[f"average/{name}"] = tensor
    for name, tensor in state.best_weights.items():
        tensors[f"best/{name}"] = tensor
    for index, entries in _mapping(state.optimizer["state"]).items():
        for key, tensor in _mapping(entries).items():
            if tensor is not None:  # sgd's without momentum
                tensors[f"optimizer/{index}/{key}"] = tensor
    header = {
        "param_groups": state.optimizer["param_groups"],
        "schedule": dict(state.schedule),
        "history": [asdict(record) for record in state.history],
        "best_epoch": state.best_epoch,
        "finished": state.finished,
        "features": dict(state.features),
        "balance": dict(state.balance),
    }
    contiguous = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    try:
        with replacing(path) as temporary, utf8_path(temporary) as opened:
            save_file(contiguous, opened, metadata={"format": FORMAT, "state": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can not be written: {error}. The one before it is whole: free some space and "
            "go on with --resume."
        ) from error


def read_checkpoint(path: Path) -> State:
    """Read what write_checkpoint wrote. Raises TrainingError for a damaged file, naming it."""
    try:
        with utf8_path(path) as opened, safe_open(opened, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        if metadata.get("format") != FORMAT:
            raise TrainingError(f"{path} is not a checkpoint of this version (format {metadata.get('format')!r}).")
        header = json.loads(metadata["state"])
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"The checkpoint {path} can not be read: {error}. Delete it to begin this phase anew."
        ) from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
    return State(
        weights=_with_prefix(tensors, "weights/"),
        average=_with_prefix(tensors, "average/"),
        best_weights=_with_prefix(tensors, "best/"),
        optimizer={"state": state, "param_groups": header["param_groups"]},
        schedule=header["schedule"],
        history=tuple(EpochRecord(**record) for record in header["history"]),
        best_epoch=header["best_epoch"],
        finished=header["finished"],
        features={task: tuple(names) for task, names in header.get("features", {}).items()},
        balance=header.get("balance", {}),
    )


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _mapping(value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, found {type(value).__name__}")
    return value
