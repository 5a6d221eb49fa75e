"""What every row of TARGETS promises, over a ResNet-18, which timm and torchvision have too."""

import logging
import os
import site
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from networks import calibrated, randomised
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import nn

import pocketvision
from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import TARGETS, Target, target_named
from pocketvision.export.to_weights import LABELS
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.models.other_names import name_in
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.agreement import agreement
from pocketvision.tasks.classification.task import classifying

HEIGHT, WIDTH = 64, 96
TEMPERATURE = 1.7
NAMES = ("개", "cat, domestic", "c", "d", "e")
each_target = pytest.mark.parametrize(
    "written",
    [
        pytest.param(
            name, marks=pytest.mark.slow if target.calibrated or name in ("executorch", "openvino-fp16") else ()
        )  # tests/workflows/test_export.py has one too
        for name, target in TARGETS.items()
    ],
    indirect=True,
)

# Of the targets that may differ: the largest difference of a probability, measured on the ten pictures below, twice over for
# the sake of other machines. Float16 weights: 1.1e-3. Pixels that ONNX resized: 8.5e-3. 8 bits: 6.3e-2.
BOUNDS = {"openvino-fp16": 2.2e-3, "onnx-uint8": 1.7e-2, "executorch-int8": 0.13}


@dataclass(frozen=True, eq=False)
class SourceNetwork:
    """The network, and real images of several sizes with what it answers to them. Its calibration images are none of them."""

    source: Exportable
    pictures: list[NDArray[np.uint8]]
    images: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(eq=False)
class Written:
    """A target's files, what was printed while they were written and opened, and what they answer."""

    name: str
    target: Target
    folder: Path
    noise: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    answers: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Many short calls: threads that wait for each other take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def given() -> SourceNetwork:
    torch.manual_seed(0)
    network = randomised(build("resnet18", num_classes=len(NAMES)))
    preprocessing = Preprocessing(HEIGHT, WIDTH, 0.875, "bilinear", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    pictures = [
        photo[top : top + height, left : left + width]
        for photo in load_sample_images().images
        for top, left, height, width in (
            (0, 0, 427, 640),
            (0, 0, 300, 200),
            (50, 80, 64, 96),
            (100, 200, 40, 50),
            (100, 400, 240, 240),
        )
    ]
    images = np.stack([preprocessing(picture) for picture in pictures])
    others = [photo[top:, left:] for photo in load_sample_images().images for top in (20, 90) for left in (0, 150, 340)]
    calibration = np.stack([preprocessing(picture) for picture in others])
    calibrated(network, torch.from_numpy(images))
    with torch.no_grad():
        probabilities = torch.softmax(network(torch.from_numpy(images)) / TEMPERATURE, 1).numpy()
    assert isinstance(network, Network)
    assert probabilities.std(axis=0).max() > 0.1, "the answers have to differ from image to image"
    source = Exportable(network, classifying(NAMES, TEMPERATURE), preprocessing, calibration)
    return SourceNetwork(source, pictures, images, probabilities)


@contextmanager
def captured_output(into: list[str]) -> Iterator[None]:
    """Collects what goes to the terminal, or to Python's streams where they are others, as in a notebook;
    and warnings and log records that are shown by default."""

    class RecordingHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            into.append(record.getMessage())

    handler = RecordingHandler(logging.WARNING)
    logging.root.addHandler(handler)
    with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sys.stdout.flush(), sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        python = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = os.fdopen(os.dup(file.fileno()), "w")
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.close()
            sys.stdout, sys.stderr = python
            for stream, original in zip((1, 2), kept, strict=True):
                os.dup2(original, stream)
                os.close(original)
            logging.root.removeHandler(handler)
            file.seek(0)
            into.extend(file.read().decode(errors="replace").splitlines())
    hidden = (DeprecationWarning, PendingDeprecationWarning)  # Python shows them to developers only
    into.extend(str(each.message) for each in caught if not issubclass(each.category, hidden))


def fingerprint(network: nn.Module) -> dict[str, object]:
    """All that an exporter could change."""
    found: dict[str, object] = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    found |= {f"{name} is": (type(module), module.training) for name, module in network.named_modules()}
    found |= {f"{name} needs": each.requires_grad for name, each in network.named_parameters()}
    return found | {"gradients are on": torch.is_grad_enabled()}


@pytest.fixture(scope="module")
def written(given: SourceNetwork, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Written:
    """One target's files, written and opened once for the module: that takes seconds. LiteRT's converter, 700 MB, is not among
    what the tests install; docs/export.md says with which versions these tests passed."""
    if request.param == "litert":
        pytest.importorskip("litert_torch")
    found = Written(request.param, TARGETS[request.param], tmp_path_factory.mktemp("target"))
    before = fingerprint(given.source.network)
    with captured_output(found.noise):
        found.target.write(given.source, found.folder)
        if found.target.runs_here:
            found.answers = found.target.open_answers(found.folder, given.source)
    after = fingerprint(given.source.network)
    found.changed.extend(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return found


def answered(written: Written, given: SourceNetwork, batch: int | None) -> NDArray[np.float32]:
    """The probabilities of all images, asked for as the row says, or in batches of `batch`."""
    if not written.target.runs_here:
        pytest.skip(f"only {written.target.system} runs it")
    assert written.answers is not None
    if written.target.takes_pixels:
        return np.concatenate([written.answers(picture[None])["probabilities"] for picture in given.pictures])
    batches = np.array_split(given.images, len(given.images) // (batch or len(given.images)))
    return np.concatenate([written.answers(images)["probabilities"] for images in batches])


@each_target
def test_its_files_and_no_others_are_written(written: Written) -> None:
    files = (each for each in written.folder.rglob("*") if each.is_file())
    assert sorted(each.relative_to(written.folder).as_posix() for each in files) == sorted(written.target.files)
    assert all((written.folder / file).stat().st_size > 10 for file in written.target.files)
    assert written.target.what and target_named(written.name) is written.target


@each_target
def test_it_answers_as_the_network(written: Written, given: SourceNetwork) -> None:
    """All at once and one by one, where any number is taken."""
    for batch in (1,) if written.target.batch == 1 else (None, 1):
        found = answered(written, given, batch)
        assert found.dtype == np.float32
        if written.target.lossless:
            agreement(given.probabilities, found).require(written.name)
        else:
            assert np.abs(found - given.probabilities).max() <= BOUNDS[written.name]


def test_every_target_that_may_differ_has_a_bound() -> None:
    assert set(BOUNDS) == {name for name, target in TARGETS.items() if not target.lossless}


def test_8_bits_without_calibration_images_are_refused(given: SourceNetwork, tmp_path: Path) -> None:
    """Ranges found on no images would be those of the example, which is black."""
    calibrated_targets = [name for name, target in TARGETS.items() if target.calibrated]
    assert calibrated_targets == ["executorch-int8"]
    for images in (None, given.images[:0]):
        with pytest.raises(UsageError, match=r"executorch-int8 .* training images, and there are none: give --data"):
            TARGETS["executorch-int8"].write(replace(given.source, calibration=images), tmp_path)
    assert list(tmp_path.iterdir()) == []


@each_target
def test_the_network_stays_as_it_was(written: Written) -> None:
    assert written.changed == []


@each_target
def test_nothing_is_printed(written: Written) -> None:
    assert written.noise == []


def contents(file: Path) -> Iterator[tuple[str, bytes]]:
    """What a file holds, and what is packed in it."""
    yield file.name, file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                yield f"{file.name}: {name}", name.encode() + archive.read(name)


@each_target
def test_no_file_holds_a_path_of_where_it_was_made(written: Written) -> None:
    source = Path(pocketvision.__file__).parents[2]
    places = {"site-packages", "dist-packages", "/work/", str(source), str(written.folder), f"{Path.home()}/"}
    places |= {str(Path(tempfile.gettempdir()) / "tmp"), sys.prefix, *site.getsitepackages()}
    places |= {f".{file}." for file in written.target.files}  # its name until it is whole (atomic_files.py)
    assert any(len(content) > 1e6 for file in written.target.files for _, content in contents(written.folder / file))
    found_places = {
        (where, place)
        for file in written.target.files
        for where, content in contents(written.folder / file)
        for place in places
        if place.encode() in content
    }
    assert not found_places


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_weights_come_with_the_class_names(library: str, given: SourceNetwork, tmp_path: Path) -> None:
    TARGETS[library].write(given.source, tmp_path)
    assert (tmp_path / LABELS).read_text(encoding="utf-8").splitlines() == list(NAMES)
    state = safetensors.torch.load_file(tmp_path / f"weights_{library}.safetensors")
    assert {"conv1.weight", "layer4.1.bn2.running_var", "fc.weight"} <= state.keys()


@pytest.mark.parametrize("label", ["two\nlines", "ends with one\n", "\nbegins", "a\rb", "a\u2028b"])
def test_a_class_name_with_a_line_break_is_refused(label: str, given: SourceNetwork, tmp_path: Path) -> None:
    source = Exportable(given.source.network, classifying((label, *NAMES[1:])), given.source.preprocessing)
    with pytest.raises(UsageError, match="has a line break"):
        TARGETS["timm"].write(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_network_that_the_library_lacks_writes_nothing(library: str, given: SourceNetwork, tmp_path: Path) -> None:
    source = Exportable(build("small_cnn", num_classes=5).eval(), classifying(NAMES), given.source.preprocessing)
    with pytest.raises(UsageError, match=f"{library} has no network that computes what small_cnn does"):
        TARGETS[library].write(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_those_of_the_libraries(given: SourceNetwork) -> None:
    row = given.source.network.architecture
    assert [name_in(library, row) for library in ("timm", "torchvision")] == ["resnet18", "resnet18"]
