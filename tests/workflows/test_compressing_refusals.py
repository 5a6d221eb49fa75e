"""What export, quantize and prune refuse: what is said, and that the bundle stays as it was and nothing is left beside it."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from pocketvision.bundle import Bundle, read_bundle, rewrite_bundle, write_bundle
from pocketvision.compression import quantize_openvino
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.errors import BundleError, MissingExtraError, UsageError
from pocketvision.export import to_program
from pocketvision.runtime.verify import verify_bundle
from pocketvision.workflows import prune as prune_workflow
from pocketvision.workflows.export import export
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.train import TrainResult

PRUNING = PruneSettings(keep_macs=0.8, rounds=1, epochs=0.0, max_accuracy_drop=100)
# Every verb that makes something of a bundle, writing to `out`.
VERBS: dict[str, Callable[[Path, Path], object]] = {
    "export": lambda bundle, out: export(bundle, ["program"], out=out, seconds=0),
    "quantize": lambda bundle, out: quantize(bundle, out=out, method="dynamic", max_accuracy_drop=100, seconds=0.02),
    "prune": lambda bundle, out: prune(bundle, PRUNING, out=out),
}
each_verb = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
def run(trained: TrainResult, tmp_path: Path) -> Path:
    """A run of the test's own: its bundle, and the split of its data."""
    folder = tmp_path / "run"
    shutil.copytree(trained.bundle.folder, folder / "bundle")
    shutil.copyfile(trained.run / "split.csv", folder / "split.csv")
    return folder


def content(folder: Path) -> dict[str, str]:
    """Every file and folder beneath one, files by their hash."""
    found = {str(each.relative_to(folder)): each for each in folder.rglob("*")}
    return {
        name: hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "" for name, each in found.items()
    }


def eight_bit(run: Path) -> Bundle:
    bundle = read_bundle(run / "bundle")
    manifest = replace(bundle.manifest, compression={"quantization": {"title": "8 bits"}}, files={}, versions={})
    golden = bundle.golden()
    files = {"model.onnx": bundle.path("model.onnx")}
    return write_bundle(run / "int8", manifest, files, golden.pop("images"), golden)


@each_verb
def test_a_bundle_that_is_quantized_already(verb: str, run: Path) -> None:
    small = eight_bit(run)
    before = content(run)
    with pytest.raises(UsageError, match=r"int8 .*quantized.*Take the bundle that it was made from"):
        VERBS[verb](small.folder, run / "out")
    assert content(run) == before


@each_verb
def test_a_damaged_bundle_names_the_file_and_both_hashes(verb: str, run: Path) -> None:
    weights = run / "bundle" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    before = content(run)
    with pytest.raises(BundleError, match=r"model\.safetensors: the file is damaged: its SHA-256 is .* manifest says"):
        VERBS[verb](run / "bundle", run / "out")
    assert content(run) == before


@each_verb
def test_classes_that_the_bundle_does_not_know_and_no_images(verb: str, run: Path, photos: Path) -> None:
    others = shutil.copytree(photos, run / "others")
    (others / "teasing").rename(others / "teesing")
    (run / "empty").mkdir()
    (run / "split.csv").unlink()
    before = content(run)
    calls: dict[str, Callable[[Path], object]] = {
        "export": lambda data: export(run / "bundle", ["program"], data=data, out=run / "out"),
        "quantize": lambda data: quantize(run / "bundle", data=data, out=run / "out"),
        "prune": lambda data: prune(run / "bundle", PRUNING, data=data, out=run / "out"),
    }
    with pytest.raises(UsageError, match="teesing"):
        calls[verb](others)
    with pytest.raises(UsageError, match="empty"):
        calls[verb](run / "empty")
    assert content(run) == before


@each_verb
def test_a_file_where_a_folder_should_be(verb: str, run: Path) -> None:
    """Permissions do not stop the superuser, who runs these tests in containers; this stops everybody."""
    (run / "file").write_text("mine")
    before = content(run)
    with pytest.raises(OSError, match="file") as raised:
        VERBS[verb](run / "bundle", run / "file" / "out")
    assert raised.value.errno in (errno.ENOTDIR, errno.EEXIST)
    with pytest.raises(UsageError, match="file exists and is not a bundle"):
        VERBS[verb](run / "bundle", run / "file")
    assert content(run) == before


@pytest.mark.parametrize(
    "verb", [pytest.param(verb, marks=pytest.mark.slow if verb == "prune" else ()) for verb in VERBS]
)
@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.ENOSPC, "No space")]
)
def test_a_place_that_can_not_be_written(verb: str, error: OSError, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise error

    before = content(run)
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"Permission denied|No space"):
        patch.setattr("pocketvision.bundle._flush", denied)
        VERBS[verb](run / "bundle", run / "out")
    assert content(run) == before


@pytest.mark.parametrize("renaming", [1, 2])
def test_ctrl_c_between_the_renames_puts_the_bundle_back(
    renaming: int, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old bundle steps aside, then the new one takes its place: stopped after either."""
    rename, done = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        if len(done) < renaming:
            found = rename(self, target)
            done.append(target)
            if len(done) == renaming:
                raise KeyboardInterrupt
            return found
        return rename(self, target)

    before = content(run)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupted)
        export(run / "bundle", ["program"], seconds=0)
    verify_bundle(read_bundle(run / "bundle"))
    if renaming == 1:
        assert content(run) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.slow
def test_a_real_ctrl_c_amid_the_files_leaves_the_bundle_whole(run: Path) -> None:
    before = content(run)
    slow = (
        "import shutil, signal, sys, time\n"
        # A shell's background jobs are born deaf to it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "copy = shutil.copyfile\n"
        "def slowly(source, target):\n"
        "    copy(source, target)\n"
        "    if target.name == 'model.pt2':\n"
        "        print('half', flush=True)\n"
        "        time.sleep(60)\n"
        "shutil.copyfile = slowly\n"
        "from pocketvision.cli.main import main\n"
        f"main(['export', {str(run / 'bundle')!r}, '--to', 'program,torchscript'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n", process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert content(run) == before
    verify_bundle(read_bundle(run / "bundle"))


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("openvino", "openvino", lambda run: export(run / "bundle", ["openvino"], seconds=0)),
        ("openvino", "openvino", lambda run: export(run / "bundle", ["openvino-fp16"], seconds=0)),
        ("executorch", "executorch", lambda run: export(run / "bundle", ["executorch"], seconds=0)),
        ("litert_torch", "litert", lambda run: export(run / "bundle", ["litert"], seconds=0)),
        ("coremltools", "coreml", lambda run: export(run / "bundle", ["coreml"], seconds=0)),
        ("torch_pruning", "prune", lambda run: prune(run / "bundle", PRUNING)),
    ],
    ids=["openvino", "openvino-fp16", "executorch", "litert", "coreml", "prune"],
)
def test_an_absent_extra_gives_its_install_line(
    module: str, extra: str, call: Callable[[Path], object], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module] or [module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    before = content(run)
    with pytest.raises(MissingExtraError, match=rf'pip install "pocketvision\[{extra}\]"'):
        call(run)
    assert content(run) == before


@pytest.mark.parametrize("module", ["nncf", "openvino"])
def test_quantizing_for_openvino_without_nncf(
    module: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = read_bundle(run / "bundle").path("model.onnx")
    with pytest.raises(MissingExtraError, match=r'pip install "pocketvision\[openvino\]"'):
        quantize_openvino.quantize_openvino(path, tmp_path / "out.xml", Settings("openvino"), [])
    assert not (tmp_path / "out.xml").exists()


def test_export_names_the_layer_that_a_target_can_not_hold(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_program = to_program.torch.export.export

    def without_norms(module: Any, *given: Any, **options: Any) -> object:
        if any(type(each).__name__ == "Linear" for each in module.modules()):
            raise RuntimeError("no word for it\nand how that came about")
        return export_program(module, *given, **options)

    before = content(run)
    with (
        monkeypatch.context() as patch,
        pytest.raises(UsageError, match=r"the layer .*heads\.classification\.linear \(Linear\)") as raised,
    ):
        patch.setattr(to_program.torch.export, "export", without_norms)
        export(run / "bundle", ["program"], seconds=0)
    assert "RuntimeError: no word for it)" in str(raised.value) and "came about" not in str(raised.value)
    assert content(run) == before


def test_quantize_names_the_operator_that_it_does_not_know(run: Path) -> None:
    bundle = read_bundle(run / "bundle")
    model = onnx.load(bundle.path("model.onnx"))
    next(node for node in model.graph.node if node.op_type == "Conv").op_type = "Convolute"
    rewrite_bundle(bundle, bundle.manifest, {"model.onnx": model.SerializeToString()})
    before = content(run)
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime .* can not load it .*Convolute"):
        quantize(run / "bundle", out=run / "out", seconds=0.02)
    assert content(run) == before


def test_prune_names_the_network_that_has_no_rows(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketvision.models.catalog import build

    vit = build("vit_tiny_16", num_classes=2)
    monkeypatch.setattr(prune_workflow, "rebuilt", lambda _: vit)
    before = content(run)
    with pytest.raises(
        UsageError, match="vit_tiny_16 is not made of convolutional rows, which are what is pruned here"
    ):
        prune(run / "bundle", PRUNING, out=run / "out")
    assert content(run) == before
