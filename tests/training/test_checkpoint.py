"""A checkpoint that can not be written leaves the one before it."""

from pathlib import Path

import pytest
import torch

from pocketvision.errors import TrainingError
from pocketvision.training import checkpoint
from pocketvision.training.checkpoint import PhaseCheckpoints, read_checkpoint, write_checkpoint
from pocketvision.training.engine import State
from pocketvision.training.settings import CheckpointSettings


def state(value: float) -> State:
    weights = {"w": torch.full((2,), value)}
    return State(weights, weights, weights, {"state": {}, "param_groups": []}, {}, (), 0, False)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, state(1.0))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*The one before it is whole"):
        write_checkpoint(path, state(2.0))
    assert read_checkpoint(path).weights["w"].tolist() == [1.0, 1.0]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors can not be read"):
        read_checkpoint(path)


def test_a_half_written_checkpoint_is_never_picked_up(tmp_path: Path) -> None:
    """Whatever it was cut off at, or had changed in it; and what a process that was killed was writing is swept away."""
    kept = PhaseCheckpoints(tmp_path / "stage1", CheckpointSettings())
    assert kept.read() is None
    kept.write(state(1.0))
    whole = kept.last.read_bytes()
    for length in range(0, len(whole), 7):
        kept.last.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match=r"checkpoint\.safetensors can not be read.*Delete it"):
            kept.read()
    for place in range(len(whole) - 24, len(whole)):  # the values, which safetensors itself does not check
        kept.last.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(TrainingError, match="its checksum is another's"):
            kept.read()
    kept.last.write_bytes(whole)
    unfinished = kept.folder / ".checkpoint.safetensors.ab12.part"
    unfinished.write_bytes(whole[:100])
    found = kept.read()
    assert found is not None and found.weights["w"].tolist() == [1.0, 1.0] and not unfinished.exists()


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", "pocketvision-checkpoint-2")
        write_checkpoint(path, state(1.0))
    with pytest.raises(TrainingError, match="not a checkpoint of this version"):
        read_checkpoint(path)
