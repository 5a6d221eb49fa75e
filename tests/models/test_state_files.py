"""Files of weights as they are found in the wild."""

import argparse
import collections
import datetime
import enum
import functools
import gzip
import os
import pickle
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.state_files import load_state, load_weight_set

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


def test_what_could_run_code_is_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACK_TARGET", str(tmp_path / "attacked"))
    torch.save({"state_dict": STATE, "extra": Attack()}, tmp_path / "bad.pth")
    with pytest.raises(
        WeightsError, match=r"bad.pth can not be read.*posix.mkdir.*torch.save\(model.state_dict\(\), path\)"
    ):
        load_state(tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(WeightsError):
        load_state(tmp_path / "plain.pth")
    assert not (tmp_path / "attacked").exists()


class Evaluates:
    """What a hostile file would do with the most harmless looking globals."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call  # type: ignore[return-value]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "hostile",
    [
        Evaluates(eval, "open({path!r}, 'w')"),
        Evaluates(exec, "open({path!r}, 'w')"),
        Evaluates(Path.touch, Path("{path}")),
        Evaluates(subprocess.call, ["touch", "{path}"]),
        Evaluates(getattr, Path("{path}"), "touch"),
    ],
    ids=["eval", "exec", "method", "subprocess", "getattr"],
)
def test_beside_hostile_objects_the_weights_are_read_and_nothing_is_called(
    hostile: Evaluates, legacy: bool, tmp_path: Path
) -> None:
    target = tmp_path / "attacked"
    function, arguments = hostile.call
    filled = (each.format(path=str(target)) if isinstance(each, str) else each for each in arguments)
    content = {"state_dict": STATE, "extra": Evaluates(function, *filled)}
    torch.save(content, tmp_path / "bad.pth", _use_new_zipfile_serialization=not legacy)
    assert_is_state(load_state(tmp_path / "bad.pth"))
    assert not target.exists()


class Options(dict[str, object]):
    """A dictionary of a training script's own class, as EasyDict is."""


class Plain:
    def __init__(self) -> None:
        self.rate, self.names = 0.1, ["a"]


class Colour(enum.Enum):
    RED = 1


FOREIGN = {
    "namespace": argparse.Namespace(lr=0.1, data=Path("/data"), names=["a", "b"]),
    "numpy scalar": np.float64(0.93),
    "numpy array": np.arange(3),
    "path": Path("/somewhere/best"),
    "set and bytes": {"a", b"b", 1.5},
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "own dictionary": Options(lr=1, inner=Options(depth=2)),
    "own object": Plain(),
    "enum": Colour.RED,
    "date": datetime.datetime(2026, 1, 2),
    "partial": functools.partial(int, base=2),
    "class": Plain,
    "deque": collections.deque([1, 2]),
    "complex": 1 + 2j,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", FOREIGN)
def test_objects_beside_the_weights_do_not_matter(name: str, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "best.pth.tar"
    content = {"epoch": 3, "args": FOREIGN[name], "best": np.float32(0.5), "state_dict": STATE}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_is_state(load_state(path))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickled_model_gives_its_tensors(wrapped: bool, tmp_path: Path) -> None:
    class Local(torch.nn.Module):
        """Its class can not be found again."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
            self.register_buffer("hidden", torch.ones(1), persistent=False)

    model = Local()
    Local.__qualname__ = "Local"
    Local.__module__ = "somebodys.networks"
    module = types.ModuleType("somebodys.networks")
    module.Local = Local  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "somebodys", types.ModuleType("somebodys"))
        patch.setitem(sys.modules, "somebodys.networks", module)
        torch.save({"model": model, "epoch": 1} if wrapped else model, tmp_path / "whole.pt")
    found = load_state(tmp_path / "whole.pt")
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())


OTHER = {key: value + 1 for key, value in STATE.items()}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("content", "taken", "other"),
    [
        ({"state_dict_ema": OTHER, "state_dict": STATE}, "state_dict", "state_dict_ema"),
        ({"ema_state_dict": OTHER, "model_state_dict": STATE}, "model_state_dict", "ema_state_dict"),
        (
            {"model": STATE, "model_ema": {**under("module.", OTHER), "n_averaged": torch.tensor(3)}},
            "model",
            "model_ema",
        ),
        ({"ckpt": {"params": STATE, "params_ema": OTHER}}, "ckpt.params", "ckpt.params_ema"),
        ({"student": STATE, "teacher": under("module.", OTHER)}, "student", "teacher"),
        (
            {"state_dict": {**under("model.", STATE), **under("ema_model.", OTHER)}},
            "state_dict[model.]",
            "state_dict[ema_model.]",
        ),
        ({"net": STATE, "swa": OTHER, "rng_state": torch.zeros(9)}, "net", "swa"),
        ({"model": STATE, "head": OTHER}, "model", "head"),
    ],
)
def test_of_several_sets_the_plain_one_is_taken_and_another_can_be_chosen(
    content: object, taken: str, other: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "two.pth")
    found = load_weight_set(tmp_path / "two.pth")
    assert_is_state(found.state)
    assert found.note == f"2 sets of weights: {taken} is taken, not {other}. Choose with --weights-key {other}."
    chosen = load_weight_set(tmp_path / "two.pth", other)
    assert chosen.state.keys() == STATE.keys() and all(torch.equal(chosen.state[key], OTHER[key]) for key in OTHER)
    with pytest.raises(UsageError, match=r"Unknown set of weights \(--weights-key\) 'emma'"):
        load_weight_set(tmp_path / "two.pth", "emma")


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (STATE, ""),
        ({"state_dict": STATE, "schema": {"version": 2}}, ""),
        ({"torch_rng_state": torch.zeros(16), "state_dict": STATE}, ""),
        ({"model": STATE, "optimizer": {"state": {"0": {"exp_avg": torch.ones(3)}}, "lr": 1}}, ""),
        ({"ema": STATE}, "only averaged weights: ema is taken."),
    ],
)
def test_what_is_no_network_is_no_choice(content: object, note: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "one.pth")
    found = load_weight_set(tmp_path / "one.pth")
    assert_is_state(found.state)
    assert found.note == note


def test_keys_beside_the_network_are_left_out_and_named(tmp_path: Path) -> None:
    """Lightning keeps the loss's and the metrics' tensors in the same dictionary."""
    many = {f"layer{number}.weight": torch.ones(1) for number in range(9)}
    torch.save({"state_dict": {**under("model.", many), "criterion.weight": torch.ones(3)}}, tmp_path / "last.ckpt")
    found = load_weight_set(tmp_path / "last.ckpt")
    assert found.state.keys() == many.keys()
    assert found.note == "keys beside the network are left out: criterion.weight."


def test_damaged_files_are_named(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "whole.safetensors")
    torch.save(STATE, tmp_path / "whole.pth")
    torch.save(STATE, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    for name in ("whole.safetensors", "whole.pth", "legacy.pth"):
        for length, reason in (
            (0, "empty"),
            (10, "cut off|damaged"),
            (-5, "cut off|damaged|buffer|Incomplete|incomplete"),
        ):
            path = tmp_path / f"cut-{name}"
            path.write_bytes((tmp_path / name).read_bytes()[:length])
            with pytest.raises(WeightsError, match=rf"cut-{name} can not be read as weights: .*({reason})"):
                load_state(path)


def archive(path: Path, **members: bytes) -> bytes:
    with zipfile.ZipFile(path, "w") as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path.read_bytes()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_another_pickle_protocol_is_named_where_it_is_not_read(protocol: int, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(STATE, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    if protocol == 3:
        assert_is_state(load_state(path))
        return
    with pytest.raises(
        WeightsError, match=r"another pickle_protocol.*torch.save\(model.state_dict\(\), path\)"
    ) as raised:
        load_state(path)
    assert "run code" not in str(raised.value)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_named(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "model_final.pth").write_bytes(pickle.dumps({"model": {"w": [1.0]}}, protocol))
    with pytest.raises(WeightsError, match="a plain pickle"):
        load_state(tmp_path / "model_final.pth")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LFS, "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>Not found</body>", "a web page, not weights"),
        (b"<HTML><head>", "a web page"),
        (b"<?xml version='1.0'?><Error>", "XML, not weights"),
        (b'{"error": "Invalid credentials"}', "JSON text"),
        (gzip.compress(b"weights", mtime=0), "compressed with gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file"),
    ],
)
def test_what_is_no_file_of_weights_is_named(content: bytes, reason: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"best{suffix}").write_bytes(content)
    with pytest.raises(WeightsError, match=f"can not be read as weights: .*{reason}"):
        load_state(tmp_path / f"best{suffix}")


def test_archives_of_other_kinds_are_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "program.pt")  # type: ignore[no-untyped-call]
    np.savez(tmp_path / "arrays.npz", weight=np.ones(3))
    archive(tmp_path / "packed.pth", folder__best_dot_pth=b"x")
    with tarfile.open(tmp_path / "packed.pth.tar", "w") as packed:
        packed.add(tmp_path / "packed.pth", "best.pth")
    for name, reason in (
        ("program.pt", "TorchScript program"),
        ("arrays.npz", "NumPy archive"),
        ("packed.pth", "zip archive that torch.save did not write. Unpack it, and give folder/best.pth"),
        ("packed.pth.tar", "tar archive. Unpack it"),
    ):
        with pytest.raises(WeightsError, match=reason):
            load_state(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({}, "but an empty dictionary"),
        ({"epoch": 3, "args": argparse.Namespace()}, r"only epoch \(int\), args \(argparse.Namespace\)"),
        ([1, 2], "but list of 2"),
        (STATE["classifier.1.bias"], "but Tensor"),
        ({"model": {"weight": np.ones(3)}}, r"only model \(dict of 1\)"),
    ],
)
def test_a_file_without_named_tensors_says_what_it_holds(content: object, held: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match=f"holds no tensors by name,? ?{held}.*Expected a state dict"):
        load_state(tmp_path / "empty.pth")


@pytest.mark.parametrize("name", ["weights", "weights.pth.tar", "weights.pkl", "model_best.pt.bak"])
def test_the_content_decides_not_the_name(name: str, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "torch")
    save_file(STATE, tmp_path / "tensors")
    for kind in ("torch", "tensors"):
        (tmp_path / name).write_bytes((tmp_path / kind).read_bytes())
        assert_is_state(load_state(tmp_path / name))


def test_wrong_paths_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"weights.h5 can not be read as weights: it begins like no file of weights"):
        load_state(tmp_path / "weights.h5")
    with pytest.raises(WeightsError, match="a folder; expected a file of weights"):
        load_state(tmp_path)
    with pytest.raises(WeightsError, match=r"none.pth: no such file"):
        load_state(tmp_path / "none.pth")
