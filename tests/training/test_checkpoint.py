"""A checkpoint that can not be written leaves the one before it."""

from pathlib import Path

import pytest
import torch

from pocketvision.errors import TrainingError
from pocketvision.training import checkpoint
from pocketvision.training.checkpoint import read_checkpoint, write_checkpoint
from pocketvision.training.engine import State


def state(value: float) -> State:
    weights = {"w": torch.full((2,), value)}
    return State(weights, weights, weights, {"state": {}, "param_groups": []}, {}, (), 0, False)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, state(1.0))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*--resume"):
        write_checkpoint(path, state(2.0))
    assert read_checkpoint(path).weights["w"].tolist() == [1.0, 1.0]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors can not be read"):
        read_checkpoint(path)
