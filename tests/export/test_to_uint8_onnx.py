"""ONNX that preprocesses by itself: sizes, pixels and answers beside those of our own preprocessing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from pocketvision.export.exportable import Exportable
from pocketvision.export.to_uint8_onnx import FILE, _graph, open_uint8_answers, write_uint8_onnx
from pocketvision.models.catalog import build
from pocketvision.preprocessing import SAMPLED, Fit, Interpolation, Preprocessing
from pocketvision.tasks.classification.task import classifying

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Pixels = NDArray[np.uint8]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@cache
def pictures() -> dict[str, Image.Image]:
    """Real photographs, landscape and portrait, and images of odd sizes, all as width x height."""
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    return {
        "china 640 x 427": china,
        "china 427 x 640": china.transpose(Image.Transpose.ROTATE_90),
        "flower 640 x 427": flower,
        "flower 427 x 640": flower.transpose(Image.Transpose.ROTATE_270),
        "china 1200 x 801": china.resize((1200, 801), Image.Resampling.LANCZOS),
        "flower 300 x 301": flower.resize((300, 301), Image.Resampling.LANCZOS),
        "china 64 x 64": china.resize((64, 64)),
        "china 63 x 65": china.resize((63, 65)),
        "flower 3 x 900": flower.resize((3, 900)),
        "china 900 x 3": china.resize((900, 3)),
        "china 20 x 17": china.resize((20, 17)),
        "flower 17 x 20": flower.resize((17, 20)),
        "flower 1 x 50": flower.resize((1, 50)),
        "china 2 x 1": china.resize((2, 1)),
        "china 1 x 1": china.resize((1, 1)),
        "noise 97 x 61": noise(97, 61),
        "noise 31 x 45": noise(31, 45),
        "noise 300 x 400": noise(300, 400),
    }


def preprocessing(size: tuple[int, int], interpolation: Interpolation, crop_share: float) -> Preprocessing:
    """size: height and width."""
    return Preprocessing(*size, crop_share, interpolation, MEAN, STD)


def quiet_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# Measured with Pillow 13 and ONNX Runtime 1.31, in grey levels: the largest difference of a pixel, and that of a whole image on
# average. Bilinear differs by rounding only. Pillow clips what bicubic overshoots after each of its passes, so edges differ more.
@pytest.mark.parametrize("crop_share", [0.875, 1.0])
@pytest.mark.parametrize(
    ("interpolation", "photographs", "noisy", "on_average"), [("bilinear", 2, 2, 0.3), ("bicubic", 6, 21, 0.36)]
)
@pytest.mark.parametrize("size", [(64, 64), (60, 96), (160, 160)], ids=str)
def test_pixels_are_those_of_our_preprocessing(
    size: tuple[int, int],
    interpolation: Interpolation,
    photographs: int,
    noisy: int,
    on_average: float,
    crop_share: float,
) -> None:
    """At the borders as in the middle."""
    ours = preprocessing(size, interpolation, crop_share)
    session = quiet_session(onnx.parser.parse_model(_graph(ours)))
    grey = 255 * np.array(STD).reshape(3, 1, 1)
    too_far = {}
    for name, picture in pictures().items():
        (images,) = session.run(None, {"image": np.asarray(picture)})
        assert images.shape == (1, 3, *size) and images.dtype == np.float32
        difference = np.abs(images[0] - ours(np.asarray(picture))) * grey
        largest, mean = round(float(difference.max()), 2), round(float(difference.mean()), 3)
        if largest > (noisy if name.startswith("noise") else photographs) or mean > on_average:
            too_far[name] = (largest, mean)
    assert too_far == {}


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(64, 64), (60, 96)], ids=str)
def test_pixels_that_are_padded_or_stretched_are_ours(
    size: tuple[int, int], interpolation: Interpolation, fit: Fit
) -> None:
    """As far as those of a crop are. Padding is exactly ours."""
    ours = replace(preprocessing(size, interpolation, 1.0), fit=fit)
    session = quiet_session(onnx.parser.parse_model(_graph(ours)))
    grey = 255 * np.array(STD).reshape(3, 1, 1)
    nothing = ours.normalise(Image.new("RGB", (1, 1), ours.fill))
    for name, picture in pictures().items():
        (images,) = session.run(None, {"image": np.asarray(picture)})
        expected = ours(np.asarray(picture))
        difference = np.abs(images[0] - expected) * grey
        limit = 2 if interpolation == "bilinear" else 21 if name.startswith("noise") else 6
        assert difference.max() <= limit and difference.mean() <= 0.36, name
        padding = (expected == nothing).all(axis=0)
        assert difference[:, padding].max(initial=0) < 1e-3, name
    assert padding.any() == (fit == "pad")


def test_pixels_that_are_looked_up_are_ours() -> None:
    """Without antialiasing nothing is rounded on either side, but ONNX Runtime's places are off by as much as float32 is."""
    ours = replace(preprocessing((60, 96), "bilinear", 1.0), interpolation=SAMPLED, fit="stretch")
    session = quiet_session(onnx.parser.parse_model(_graph(ours)))
    grey = 255 * np.array(STD).reshape(3, 1, 1)
    for name, picture in pictures().items():
        (images,) = session.run(None, {"image": np.asarray(picture)})
        assert (np.abs(images[0] - ours(np.asarray(picture))) * grey).max() <= 0.05, name


@pytest.mark.parametrize(
    ("size", "crop_share", "fit"),
    [
        ((64, 64), 0.875, "crop"),
        ((224, 224), 1.0, "crop"),
        ((60, 96), 0.9, "crop"),
        ((97, 61), 0.777, "crop"),
        ((1, 7), 0.3, "crop"),
        ((64, 64), 1.0, "pad"),
        ((60, 97), 1.0, "pad"),
        ((60, 97), 1.0, "stretch"),
    ],
)
def test_resized_size_and_crop_are_the_same_for_every_image_size(
    size: tuple[int, int], crop_share: float, fit: Fit
) -> None:
    ours = replace(preprocessing(size, "bilinear", crop_share), fit=fit)
    model = onnx.parser.parse_model(_graph(ours))
    wanted = ("resized", "begin")
    kept, needed = [], set(wanted)
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    graph = onnx.helper.make_graph(
        kept[::-1],
        "sizes",
        list(model.graph.input),
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [2]) for name in wanted],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    session = quiet_session(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10))
    generator = np.random.default_rng(0)
    height, width = size
    sizes = {(one, other) for one in range(1, 40) for other in (1, 2, 3, 5, 39, 40, 41)}
    sizes |= {(times * height, times * width) for times in range(1, 9)} | {(height, width + 1), (height + 1, width)}
    sizes |= set(map(tuple, generator.integers(1, 2500, (150, 2)).tolist()))
    differing = []
    for each in sizes:
        resized, begin = session.run(None, {"image": np.zeros((*each, 3), np.uint8)})
        across, down = ours.resized_size(each[1], each[0])
        expected = [[down, across], [round((down - height) / 2), round((across - width) / 2)]]
        if [resized.tolist(), begin.tolist()] != expected:
            differing.append((each, expected, resized, begin))
    assert len(sizes) > 300 and differing == []


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Short calls: threads that wait for each other take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class Written:
    """The file and what it was made of."""

    source: Exportable
    folder: Path

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.folder / FILE)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A small network whose answers differ from image to image."""
    torch.manual_seed(0)
    network = build("small_cnn", num_classes=4)
    ours = preprocessing((64, 80), "bicubic", 0.875)
    images = torch.from_numpy(np.stack([ours(np.asarray(each)) for each in pictures().values()]))
    with torch.no_grad():
        for norm in (each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)):
            norm.momentum = 0.5
        for _ in range(4):
            network.train()(images)
        network.eval().heads["classification"].linear.weight.mul_(2 / network(images).std(dim=0).mean())
    folder = tmp_path_factory.mktemp("uint8")
    source = Exportable(network, classifying(("개", "cat", "c", "d"), 1.4), ours)
    write_uint8_onnx(source, folder)
    return Written(source, folder)


def test_answers_are_the_networks(written: Written) -> None:
    """The largest difference of a probability was 0.0077, on a strip; 0.005 on photographs."""
    answers = open_uint8_answers(written.folder, written.source)
    found = np.concatenate([answers(np.asarray(picture)[None])["probabilities"] for picture in pictures().values()])
    images = np.stack([written.source.preprocessing(np.asarray(picture)) for picture in pictures().values()])
    with torch.no_grad():
        expected = torch.softmax(written.source.network(torch.from_numpy(images)) / 1.4, 1).numpy()
    assert expected.std(axis=0).max() > 0.1, "the images have to get different answers"
    difference = np.abs(found - expected).max(axis=1)
    assert difference.max() <= 0.01


def test_the_file_is_one_whole_valid_graph(written: Written) -> None:
    onnx.checker.check_model(written.model, full_check=True)
    assert [each.name for each in written.folder.iterdir()] == [FILE]
    assert b"/tmp" not in (written.folder / FILE).read_bytes()


def test_it_takes_one_image_of_bytes_and_is_described_so(written: Written) -> None:
    session = quiet_session(written.model)
    graph = written.source.pixel_graph_manifest("onnx-uint8", (FILE,))
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["height", "width", 3])
    assert [(each.name, each.type, each.shape) for each in graph.inputs] == [("image", "uint8", ("height", "width", 3))]
    outputs = session.run(None, {"image": np.asarray(pictures()["china 640 x 427"])})
    assert [(each.name, each.shape) for each in graph.outputs] == [
        (each.name, values.shape) for each, values in zip(session.get_outputs(), outputs, strict=True)
    ]


def test_it_keeps_what_the_plain_file_tells_of_itself(written: Written) -> None:
    found = {each.key: each.value for each in written.model.metadata_props}
    assert found.keys() >= {"labels", "preprocessing"} and "개" in found["labels"]


def test_loading_it_prints_nothing(written: Written, capfd: pytest.CaptureFixture[str]) -> None:
    """With ONNX Runtime's own settings, as an app would."""
    onnxruntime.InferenceSession(written.folder / FILE, providers=["CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")


def test_one_image_a_call(written: Written) -> None:
    answers = open_uint8_answers(written.folder, written.source)
    with pytest.raises(ValueError, match="unpack"):
        answers(np.zeros((2, 40, 40, 3), np.uint8))
