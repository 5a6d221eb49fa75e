"""What every row of BACKENDS promises, over one bundle that the export workflow gave files for all of them."""

import gc
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest
import torch
from networks import calibrated, randomised
from numpy.typing import NDArray
from plain_backbone import PLAIN

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import BundleError, MissingExtraError, UsageError
from pocketvision.export.shipping import ship
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.runtime.backends import BACKENDS, Backend, open_backend
from pocketvision.runtime.onnx_backend import CPU, DEVICES, providers_for
from pocketvision.runtime.silenced import silenced
from pocketvision.tasks.classification.task import classifying
from pocketvision.workflows.export import export

HEIGHT, WIDTH = 32, 40
CLASSES = 5
TENSORRT = "TensorrtExecutionProvider"
Images = NDArray[np.float32]
each_backend = pytest.mark.parametrize(  # compiling takes some 20 s of CPU
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "torch-compiled" else ()) for name in BACKENDS]
)


def tiny_network() -> Network:
    """Two stages, 0.7 MB of weights: compiled in seconds, and large enough that a hundred lost copies would be seen."""
    stages = (replace(PLAIN.stages[0], repeats=1), PLAIN.stages[2])
    torch.manual_seed(0)
    network = randomised(build(replace(PLAIN, name="tiny", stages=stages), num_classes=CLASSES))
    found = calibrated(network, torch.randn(16, 3, HEIGHT, WIDTH))
    assert isinstance(found, Network)
    return found


def shipped(network: Network, folder: Path) -> Bundle:
    preprocessing = Preprocessing(HEIGHT, WIDTH, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    pictures = some_pictures(8)
    return ship(
        network,
        folder,
        tasks=classifying(list("abcde")),
        preprocessing=preprocessing,
        load=lambda index: preprocessing.place(pictures[index]),
        names=[each.name for each in pictures],
    ).bundle


@dataclass(frozen=True, eq=False)
class Case:
    """The bundle, and the network that it was made of."""

    bundle: Bundle
    network: Network

    def images(self, count: int = 32) -> Images:
        """Noise on a colour and of a contrast of its own, so that answers differ."""
        generator = np.random.default_rng(7)
        colours, contrasts = generator.normal(size=(count, 3, 1, 1)), generator.uniform(0.1, 2, size=(count, 1, 1, 1))
        return (colours + contrasts * generator.normal(size=(count, 3, HEIGHT, WIDTH))).astype(np.float32)

    def assert_answers(self, backend: Backend, images: Images) -> None:
        with torch.no_grad():
            logits = self.network(torch.from_numpy(images.copy(order="C")))
            expected = {"logits": logits.numpy(), "probabilities": torch.softmax(logits, 1).numpy()}
        assert expected["logits"].std(axis=0).max() > 0.3 or len(images) < 2, "the images have to differ"
        found = backend.run(images)
        assert list(found) == ["logits", "probabilities"]
        for output, values in expected.items():
            assert found[output].dtype == np.float32 and found[output].shape == (len(images), CLASSES)
            assert np.abs(found[output] - values).max() <= 1e-4


@pytest.fixture(scope="module", autouse=True)
def own_threads() -> Iterator[None]:
    """PyTorch has one pool of threads, whose size every opening sets. Of short calls, one thread makes the shortest work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    network = tiny_network()
    bundle = shipped(network, tmp_path_factory.mktemp("backends") / "bundle")
    return Case(export(bundle.folder, ["openvino", "executorch"], seconds=0).bundle, network)


@pytest.fixture(scope="module")
def opened(case: Case) -> Callable[[str], Backend]:
    """Each backend once for the module: compiling takes seconds."""
    backends: dict[str, Backend] = {}

    def get(name: str) -> Backend:
        if name not in backends:
            backends[name] = open_backend(case.bundle, name, threads=1)
        return backends[name]

    return get


@each_backend
def test_it_answers_the_golden_inputs_and_knows_its_size(
    name: str, case: Case, opened: Callable[[str], Backend]
) -> None:
    golden, backend = case.bundle.golden(), opened(name)
    found = backend.run(golden["images"])
    for output in ("logits", "probabilities"):
        assert np.abs(found[output] - golden[output]).max() <= 1e-4
    assert (backend.size, dict(backend.outputs)) == (
        (HEIGHT, WIDTH),
        {"logits": (CLASSES,), "probabilities": (CLASSES,)},
    )


@pytest.mark.parametrize("batch", [0, 5, 1, 32])
@pytest.mark.parametrize(
    "name",  # the compiler begins anew at some of these sizes
    [pytest.param(name, marks=pytest.mark.slow if name == "torch-compiled" else ()) for name in BACKENDS],
)
def test_batches_of_any_size(name: str, batch: int, case: Case, opened: Callable[[str], Backend]) -> None:
    if batch == 0:
        found = opened(name).run(case.images()[:0])
        assert {output: values.shape for output, values in found.items()} == {
            "logits": (0, CLASSES),
            "probabilities": (0, CLASSES),
        }
        assert all(values.dtype == np.float32 for values in found.values())
    else:
        case.assert_answers(opened(name), case.images()[:batch])


def read_only(images: Images) -> Images:
    images = images.copy()
    images.flags.writeable = False
    return images


@pytest.mark.parametrize(
    "laid_out",
    [
        lambda images: np.asfortranarray(images[:5]),
        lambda images: np.ascontiguousarray(images[:5].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        lambda images: images[:10:2],
        lambda images: images[4::-1, ::-1, ::-1, ::-1],
        lambda images: np.broadcast_to(images[:1], (5, 3, HEIGHT, WIDTH)),
        lambda images: read_only(images[:5]),
    ],
    ids=["fortran", "channels last", "every second", "backwards", "broadcast", "read only"],
)
@each_backend
def test_arrays_of_any_layout(
    name: str, laid_out: Callable[[Images], Images], case: Case, opened: Callable[[str], Backend]
) -> None:
    images = laid_out(case.images(10))
    torch.set_warn_always(True)  # else it warns of a thing once a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = opened(name).run(images)
    finally:
        torch.set_warn_always(False)
    assert np.isfinite(found["logits"]).all()
    if len(np.unique(images)) > 5000:  # one image five times over tells no layouts apart
        case.assert_answers(opened(name), images)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, HEIGHT, WIDTH)),
        np.zeros((2, 3, HEIGHT, WIDTH), np.uint8),
        np.zeros((2, 3, HEIGHT, WIDTH), np.float16),
        np.zeros((2, 3, HEIGHT, WIDTH), ">f4"),
        np.zeros((3, HEIGHT, WIDTH), np.float32),
        np.zeros((2, 3, WIDTH, HEIGHT), np.float32),
        np.zeros((2, HEIGHT, WIDTH, 3), np.float32),
        np.zeros((2, 1, HEIGHT, WIDTH), np.float32),
        np.zeros((0, 3, HEIGHT, WIDTH + 1), np.float32),
    ],
    ids=lambda images: f"{images.dtype} {images.shape}",
)
@each_backend
def test_wrong_input_says_what_is_expected(name: str, images: Images, opened: Callable[[str], Backend]) -> None:
    with pytest.raises(ValueError, match=rf"expected float32 with \(images, 3, {HEIGHT}, {WIDTH}\)") as raised:
        opened(name).run(images)
    assert str(images.dtype) in str(raised.value) and str(images.shape) in str(raised.value)


@each_backend
def test_four_threads_at_once_each_get_their_own_answers(
    name: str, case: Case, opened: Callable[[str], Backend]
) -> None:
    backend, images = opened(name), case.images()
    alone = [backend.run(images[4 * place : 4 * place + 4]) for place in range(4)]
    together = threading.Barrier(4, timeout=60)

    def work(place: int) -> float:
        together.wait()
        worst = 0.0
        for _ in range(10):
            found = backend.run(images[4 * place : 4 * place + 4])
            worst = max(worst, *(float(np.abs(found[each] - alone[place][each]).max()) for each in found))
        return worst

    assert max(np.abs(alone[0]["logits"] - other["logits"]).max() for other in alone[1:]) > 0.1
    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) <= 1e-5


@each_backend
def test_an_answer_outlives_the_next_call(name: str, case: Case, opened: Callable[[str], Backend]) -> None:
    backend, images = opened(name), case.images(10)
    first = backend.run(images[:5])
    kept = {output: values.copy() for output, values in first.items()}
    backend.run(images[5:])
    assert all(np.array_equal(first[output], kept[output]) for output in kept)


@pytest.mark.parametrize(
    "name", [name if name == "onnxruntime" else pytest.param(name, marks=pytest.mark.slow) for name in BACKENDS]
)
def test_opening_a_hundred_times_keeps_no_memory(name: str, case: Case) -> None:
    """torch-compiled is opened as often, but only the others also run: the compiler's own memory is not what is meant."""
    images, process = case.images(2), psutil.Process()

    def open_and_close(times: int) -> int:
        for _ in range(times):
            backend = open_backend(case.bundle, name, threads=1)
            if name != "torch-compiled":
                backend.run(images)
            del backend
        gc.collect()
        return process.memory_info().rss

    early = open_and_close(20)
    late = open_and_close(80)
    weights = case.bundle.manifest.files["model.safetensors"].size
    assert 80 * weights > 50e6
    assert late - early <= 10e6


@each_backend
def test_a_missing_package_gives_the_install_line(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec, row = importlib.util.find_spec, BACKENDS[name]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda module, *rest: None if module == row.module else find_spec(module, *rest)
    )
    assert not row.installed
    kind = MissingExtraError if row.extra else UsageError
    with pytest.raises(kind, match=f"The backend {name} needs ") as raised:
        open_backend(case.bundle, name)
    message = str(raised.value)
    assert "pip install" in message
    assert '""' not in message and "[]" not in message, "an extra without a name is no install line"
    assert not row.extra or f'pip install "pocketvision[{row.extra}]"' in message


@each_backend
def test_a_package_that_can_not_be_loaded_is_reported(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Backend:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setitem(BACKENDS, name, replace(BACKENDS[name], open=broken))
    with pytest.raises(UsageError, match=rf"{name} is installed but can not be loaded: libcudart\.so\.12"):
        open_backend(case.bundle, name)


@pytest.mark.parametrize("device", ["warp9", "", "gpu.7", "cpu.7"])
@each_backend
def test_an_unknown_device_is_named(name: str, device: str, case: Case) -> None:
    with pytest.raises(UsageError) as raised:
        open_backend(case.bundle, name, device=device)
    assert repr(device) in str(raised.value) and "\n" not in str(raised.value)


@each_backend
def test_a_bundle_without_its_file_lists_who_has_one(name: str, case: Case) -> None:
    row = BACKENDS[name]
    files = {file: known for file, known in case.bundle.manifest.files.items() if file not in row.files}
    lacking = replace(case.bundle, manifest=replace(case.bundle.manifest, files=files))
    with pytest.raises(BundleError, match=rf"no file for the {name} backend \({row.files[0]}") as raised:
        open_backend(lacking, name)
    assert "pocketvision export" in str(raised.value)


@each_backend
def test_a_damaged_file_is_a_bundle_error(name: str, case: Case, tmp_path: Path) -> None:
    for file in case.bundle.manifest.files:
        (tmp_path / file).write_bytes(case.bundle.path(file).read_bytes()[:100])
    with pytest.raises(BundleError, match=str(tmp_path)):
        open_backend(replace(case.bundle, folder=tmp_path), name)


@pytest.mark.slow
def test_opening_and_running_prints_nothing(case: Case) -> None:
    """In a process where each is loaded for the first time. Compiling is left out: it tells which compilers it found."""
    names = [name for name in BACKENDS if name != "torch-compiled"]
    lines = (
        "from pathlib import Path",
        "from pocketvision.bundle import read_bundle",
        "from pocketvision.runtime.backends import open_backend",
        f"bundle = read_bundle(Path({str(case.bundle.folder)!r}))",
        f"print([len(open_backend(bundle, name).run(bundle.golden()['images'])['logits']) for name in {names}])",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == (f"{[len(case.bundle.golden()['images'])] * len(names)}\n", "")


def test_openvino_runs_the_onnx_file_too(case: Case) -> None:
    files = {file: known for file, known in case.bundle.manifest.files.items() if not file.startswith("model.xml")}
    bundle = replace(case.bundle, manifest=replace(case.bundle.manifest, files=files))
    assert BACKENDS["openvino"].file(bundle) == "model.onnx"
    case.assert_answers(open_backend(bundle, "openvino"), case.images(5))


def test_threads_that_load_executorch_files_leave_the_streams_as_they_were() -> None:
    """One is still loading when the next begins."""
    before = [os.fstat(stream) for stream in (1, 2)]
    entered, leave = threading.Event(), threading.Event()
    kept = os.dup(1), os.dup(2)

    def second() -> None:
        with silenced():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=second)
    try:
        with silenced():
            other.start()
            entered.wait(1)  # it may also have to wait until the first is done
        leave.set()
        other.join(10)
        after = [os.fstat(stream) for stream in (1, 2)]
    finally:
        for stream, original in zip((1, 2), kept, strict=True):
            os.dup2(original, stream)
            os.close(original)
    assert not other.is_alive()
    assert [(each.st_dev, each.st_ino) for each in after] == [(each.st_dev, each.st_ino) for each in before]


@pytest.mark.parametrize("device", sorted(set(DEVICES) - {"cpu"}))
def test_a_provider_that_is_absent_falls_back_to_the_cpu_aloud(device: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert providers_for(device, [CPU], Path(__file__)) == [(CPU, {})]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for words in (DEVICES[device][0], f"device {device} ", "running on the CPU", CPU, "onnxruntime-gpu"):
        assert words in record.getMessage()


@pytest.mark.parametrize(
    ("device", "precision"),
    [("tensorrt", None), ("tensorrt-fp16", "trt_fp16_enable"), ("tensorrt-int8", "trt_int8_enable")],
)
def test_tensorrt_gets_its_precision_and_keeps_its_engines(
    device: str,
    precision: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (provider, options), last = providers_for(device, [TENSORRT, "CUDAExecutionProvider", CPU], Path(__file__))
    assert provider == TENSORRT and last == (CPU, {})
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path / "pocketvision")
    found = {name for name in ("trt_fp16_enable", "trt_int8_enable") if options.get(name) == "1"}
    assert found == ({precision} if precision else set())
    assert not caplog.records


def test_a_provider_that_is_there_comes_before_the_cpu() -> None:
    assert providers_for("cuda", ["CUDAExecutionProvider", CPU], Path(__file__)) == [
        ("CUDAExecutionProvider", {}),
        (CPU, {}),
    ]
    assert providers_for("cpu", ["CUDAExecutionProvider", CPU], Path(__file__)) == [(CPU, {})]


def test_near_matches_of_a_device_are_listed(case: Case) -> None:
    with pytest.raises(UsageError, match=r"'tensorrt-fp61'\. Did you mean tensorrt-fp16"):
        providers_for("tensorrt-fp61", [CPU], Path(__file__))
    with pytest.raises(UsageError, match=r"'warp9'\. Known: cpu, cuda, tensorrt"):
        open_backend(case.bundle, "onnxruntime", device="warp9")


def test_a_device_that_is_absent_still_answers(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it is there")
    case.assert_answers(open_backend(case.bundle, "onnxruntime", device="cuda"), case.images(5))
    assert "running on the CPU" in caplog.text


@pytest.fixture
def engine_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """As if ONNX Runtime had TensorRT, and the user's cache had never been used: the folders that sessions get for engines."""
    session, folders = onnxruntime.InferenceSession, []

    def recorded(path: Path, options: object, providers: list[tuple[str, dict[str, str]]]) -> object:
        if providers[0][0] == CPU:
            return session(path, options, providers=[CPU])
        folders.append(Path(providers[0][1]["trt_engine_cache_path"]))
        # ONNX Runtime makes this one folder by itself, not those above it: `fs::create_directory` in its TensorRT provider.
        assert folders[-1].parent.is_dir(), f"there is no {folders[-1].parent}, so ONNX Runtime can not make its folder"
        return session(path, options, providers=[CPU])

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "never used"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    return folders


def test_tensorrt_can_keep_engines_in_a_new_cache(case: Case, engine_folders: list[Path]) -> None:
    open_backend(case.bundle, "onnxruntime", device="tensorrt")
    assert len(engine_folders) == 1


def test_tensorrt_engines_of_other_weights_lie_elsewhere(
    case: Case, engine_folders: list[Path], tmp_path: Path
) -> None:
    """ONNX Runtime names an engine after the file's name, the inputs and the nodes, not after the weights (`TRTGenerateId`), and
    all bundles' files are called model.onnx: with one folder for all, a network trained anew would get the old one's engine."""
    (tmp_path / "never used" / "pocketvision").mkdir(parents=True)  # see the test before
    model = onnx.load(case.bundle.path("model.onnx"))
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(1.5)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    files = {"model.onnx": model.SerializeToString()}
    retrained = rewrite_bundle(case.bundle, case.bundle.manifest, files, folder=tmp_path / "retrained")
    for bundle in (case.bundle, case.bundle, retrained):
        open_backend(bundle, "onnxruntime", device="tensorrt")
    first, again, other = engine_folders
    assert first == again
    assert first != other
