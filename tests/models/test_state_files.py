"""Files of weights as they are found in the wild."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.state_files import load_state

STATE = {"stem.conv.weight": torch.arange(6.0).reshape(2, 3), "classifier.1.bias": torch.ones(2)}


def assert_is_state(found: dict[str, Tensor]) -> None:
    assert found.keys() == STATE.keys() and all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE, "optimizer": {"lr": 0.1}},
        {"model": {"state_dict": STATE}},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}},
        {f"module.model.{key}": value for key, value in STATE.items()},
        {f"_orig_mod.{key}": value for key, value in STATE.items()},
    ],
    ids=["plain", "state_dict", "model", "nested", "module", "module.model", "compiled"],
)
def test_wrapped_checkpoints_are_unwrapped(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.PTH")
    assert_is_state(load_state(tmp_path / "weights.PTH"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "가중치 1.safetensors")
    assert_is_state(load_state(tmp_path / "가중치 1.safetensors"))


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["ATTACK_TARGET"],)


def test_a_pickled_object_is_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACK_TARGET", str(tmp_path / "attacked"))
    torch.save({"state_dict": STATE, "extra": Attack()}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"bad.pth can not be read.*torch.save\(model.state_dict\(\), path\)"):
        load_state(tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(WeightsError):
        load_state(tmp_path / "plain.pth")
    assert not (tmp_path / "attacked").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "whole.safetensors")
    torch.save(STATE, tmp_path / "whole.pth")
    for suffix in ("safetensors", "pth"):
        for length in (0, 10, -5):
            path = tmp_path / f"cut.{suffix}"
            path.write_bytes((tmp_path / f"whole.{suffix}").read_bytes()[:length])
            with pytest.raises(WeightsError, match=f"cut.{suffix} can not be read as weights"):
                load_state(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], STATE["classifier.1.bias"]])
def test_a_file_without_named_tensors_says_what_was_expected(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name; expected a state dict"):
        load_state(tmp_path / "empty.pth")


def test_wrong_paths_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"weights.h5: its name ends in '.h5'; weights end in .safetensors, .pth"):
        load_state(tmp_path / "weights.h5")
    with pytest.raises(WeightsError, match="a folder; expected a file of weights"):
        load_state(tmp_path)
    with pytest.raises(WeightsError, match=r"none.pth: no such file"):
        load_state(tmp_path / "none.pth")
