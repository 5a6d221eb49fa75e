"""A checkpoint: one phase's state in one file that is written whole or not at all (safetensors, state as JSON in its header).

A phase keeps its last one, taken at each epoch's end and every 60 seconds within an epoch (`checkpoints.seconds`): that of the
default's last stages (EfficientNet-Lite0, 63 MB) takes 0.28 s, half a percent of the time, and all of EfficientNet-B0 (81 MB) 0.8
s, 1.3 % (0.11 s of CPU), on two cores with ten other programs.
"""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pocketvision.atomic_files import replacing
from pocketvision.errors import TrainingError
from pocketvision.progress import EpochRecord
from pocketvision.training.best_epoch import kept_epochs
from pocketvision.training.engine import State
from pocketvision.training.settings import CheckpointSettings
from pocketvision.training.underway import Underway
from pocketvision.utf8_path import utf8_path

FORMAT = "pocketvision-checkpoint-3"


@dataclass(frozen=True)
class PhaseCheckpoints:
    """Those of a phase, in a folder of its own: `checkpoint.safetensors`, the last, and `epoch-7.safetensors` of each of the
    settings' `best` best epochs."""

    folder: Path
    settings: CheckpointSettings

    @property
    def last(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def of_epoch(self, number: int) -> Path:
        return self.folder / f"epoch-{number}.safetensors"

    def read(self) -> State | None:
        """The last; None before the first. What a process that was killed had half written is removed. Raises TrainingError for
        a damaged one, naming the best epoch's where there is one."""
        for unfinished in self.folder.glob(f".{self.last.name}.*.part"):
            unfinished.unlink(missing_ok=True)
        if not self.last.exists():
            return None
        try:
            return read_checkpoint(self.last)
        except TrainingError as error:
            others = sorted(self.folder.glob("epoch-*.safetensors"), key=lambda path: path.stat().st_mtime)
            if not others:
                raise
            raise TrainingError(f"{error} Or rename {others[-1].name}, an earlier one, to {self.last.name}.") from error

    def write(self, state: State) -> None:
        """Raises TrainingError (full disk) and then leaves the previous checkpoint as it was."""
        write_checkpoint(self.last, state)
        if state.underway.steps or not self.settings.best:
            return
        best = {self.of_epoch(number) for number in kept_epochs(state.history, self.settings.best)}
        newest = self.of_epoch(len(state.history))
        if newest in best:
            _link(self.last, newest)
        for path in {*self.folder.glob("epoch-*.safetensors")} - best:
            path.unlink(missing_ok=True)


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
        "underway": asdict(state.underway),
        "updates": state.updates,
        "scaler": dict(state.scaler),
    }
    contiguous = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    try:
        with replacing(path) as temporary, utf8_path(temporary) as opened:
            text = json.dumps(header)
            checked = {"format": FORMAT, "state": text, "crc32": str(_checksum(text, contiguous))}
            save_file(contiguous, opened, metadata=checked)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can not be written: {error}. The one before it is whole: free some space."
        ) from error


def read_checkpoint(path: Path) -> State:
    """Read what write_checkpoint wrote. Raises TrainingError for a damaged file, naming it."""
    try:
        with utf8_path(path) as opened, safe_open(opened, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        if metadata.get("format") != FORMAT:
            raise TrainingError(f"{path} is not a checkpoint of this version (format {metadata.get('format')!r}).")
        if int(metadata["crc32"]) != _checksum(metadata["state"], tensors):
            raise ValueError("its checksum is another's")
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
        features={task: tuple(names) for task, names in header["features"].items()},
        balance=header["balance"],
        underway=Underway(**header["underway"]),
        updates=header["updates"],
        scaler=header.get("scaler", {}),  # those of 0.4 and before have none
    )


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    """Of the state and of every value, in the order of their names."""
    found = zlib.crc32(text.encode("utf-8", "surrogateescape"))
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, found)
    return found


def _link(path: Path, name: Path) -> None:
    """The same file under another name: the last checkpoint is replaced as a whole, so that this one stays as it is."""
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        with replacing(name) as temporary:
            shutil.copyfile(path, temporary)


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _mapping(value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, found {type(value).__name__}")
    return value
