"""The predictor: one image, a few, a stream; and backends and the golden check beneath it."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.bundle import Bundle, write_bundle
from pocketvision.cli.main import main
from pocketvision.errors import BundleError, ImageError, UsageError
from pocketvision.runtime.backends import BACKENDS, open_backend, open_onnx, usable_cores
from pocketvision.runtime.choice import choose
from pocketvision.runtime.predictor import Predictor
from pocketvision.runtime.verify import verify_bundle

COLOURS = {"red": (220, 30, 40), "green": (20, 200, 60), "파랑": (10, 40, 240)}


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Eleven pictures in turn red, green and blue, and every picture a little different."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = []
    for index, (label, colour) in zip(range(11), itertools.cycle(COLOURS.items()), strict=False):
        paths.append(folder / f"{index:02d} {label}.png")
        Image.new("RGB", (20 + index, 30), tuple(max(value - index, 0) for value in colour)).save(paths[-1])
    return paths


def label_in(path: str | Path) -> str:
    return Path(path).stem.split()[1]


def test_one_image_in_every_form(tiny_bundle: Bundle, pictures: list[Path]) -> None:
    predictor = Predictor(tiny_bundle)
    path = pictures[2]
    with Image.open(path) as image:
        forms = [path, str(path), path.read_bytes(), np.asarray(image), image]
        answers = [predictor(form) for form in forms]
    assert {answer.label for answer in answers} == {"파랑"}
    assert all(np.array_equal(answer.probabilities, answers[0].probabilities) for answer in answers)
    assert answers[0].labels == predictor.labels == tiny_bundle.labels


def test_an_image_that_can_not_be_read_raises(tiny_bundle: Bundle, pictures: list[Path], tmp_path: Path) -> None:
    predictor = Predictor(tiny_bundle)
    with pytest.raises(ImageError, match=r"no\.png: there is no such file"):
        predictor(tmp_path / "no.png")
    with pytest.raises(ImageError, match="image 1: the file is empty"):
        predictor.predict_many([pictures[0], b""])
    with pytest.raises(ImageError, match="20 x 30 pixels"):
        predictor(pictures[0], max_pixels=10)


def test_predict_many_keeps_the_order(tiny_bundle: Bundle, pictures: list[Path]) -> None:
    answers = Predictor(tiny_bundle).predict_many(pictures)
    assert [answer.label for answer in answers] == [label_in(path) for path in pictures]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_answers_do_not_depend_on_batch_or_workers(
    batch: int, workers: int, tiny_bundle: Bundle, pictures: list[Path]
) -> None:
    predictor = Predictor(tiny_bundle)
    rows = list(predictor.stream(pictures, batch=batch, workers=workers))
    assert [row.path for row in rows] == [str(path) for path in pictures]
    for row, path in zip(rows, pictures, strict=True):
        alone = predictor(path)
        assert row.prediction is not None and row.error is None
        assert np.abs(row.prediction.probabilities - alone.probabilities).max() <= 1e-5
        assert row.outputs["logits"][0].argmax() == alone.index


def test_a_bad_image_is_a_row_and_spoils_no_other(tiny_bundle: Bundle, pictures: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:60])
    sources = [bad, *pictures[:2], tmp_path / "no.png", bad, pictures[2], bad]
    rows = list(Predictor(tiny_bundle).stream(sources, batch=3, workers=2))
    assert [row.path for row in rows] == [str(path) for path in sources]
    assert [row.error is None for row in rows] == [False, True, True, False, False, True, False]
    assert [row.prediction.label for row in rows if row.prediction] == [label_in(path) for path in pictures[:3]]
    assert rows[0].prediction is None and rows[0].outputs == {}
    assert str(bad) not in str(rows[0].error)
    assert rows[3].error == "there is no such file"


def test_a_stream_reads_no_further_ahead_than_it_must(tiny_bundle: Bundle, pictures: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for path in itertools.cycle(pictures):
            taken += 1
            yield path

    stream = Predictor(tiny_bundle).stream(endless(), batch=2, workers=2)
    for _ in range(100):
        next(stream)
    assert taken <= 100 + 2 * 2 * 2 + 2
    stream.close()  # type: ignore[attr-defined]


def test_an_empty_stream(tiny_bundle: Bundle) -> None:
    assert list(Predictor(tiny_bundle).stream([])) == []


def test_fewer_than_one_thread_or_image_is_refused(tiny_bundle: Bundle) -> None:
    for wrong in (0, -1):
        for opened in (Predictor, open_backend, choose):
            with pytest.raises(UsageError, match=f"threads is {wrong}; expected 1 or more"):
                opened(tiny_bundle, threads=wrong)
        with pytest.raises(UsageError, match=f"batch is {wrong}; expected 1 or more"):
            list(Predictor(tiny_bundle).stream([], batch=wrong))


def test_backends(tiny_bundle: Bundle) -> None:
    golden = tiny_bundle.golden()
    for backend in (open_backend(tiny_bundle, threads=1), open_onnx(tiny_bundle.path("model.onnx"))):
        outputs = backend.run(golden["images"])
        assert set(outputs) == {"logits", "probabilities"}
        assert np.abs(outputs["probabilities"] - golden["probabilities"]).max() < 1e-6
        assert np.abs(outputs["logits"] - golden["logits"]).max() < 1e-5
    assert usable_cores() >= 1
    with pytest.raises(UsageError, match=r"Unknown backend 'onnx'\. Did you mean onnxruntime"):
        open_backend(tiny_bundle, "onnx")


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 3, 8, 8), np.float32), np.zeros((3, 16, 16), np.float32), np.zeros((1, 3, 16, 16), np.float64)],
)
def test_a_wrong_input_says_what_is_expected(images: np.ndarray, tiny_bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"expected float32 with \(images, 3, 16, 16\)"):
        open_backend(tiny_bundle).run(images)


def test_a_file_that_onnx_runtime_can_not_load(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime [\d.]+ can not load it"):
        open_onnx(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="no file that any backend runs"):
        open_backend(replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, files={})))
    with pytest.raises(
        BundleError, match=r"no file for the torch backend \(model\.safetensors\); it has some for onnxruntime, open"
    ):
        open_backend(tiny_bundle, "torch")


def test_verify(tiny_bundle: Bundle) -> None:
    found = verify_bundle(tiny_bundle)
    assert (found.files, found.images) == (2, 3)
    assert found.max_probability_difference < 1e-6
    assert found.to_dict()["backends"].keys() == {"onnxruntime", "openvino"}


def without(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, backend, replace(BACKENDS[backend], module="no_such_module"))


def with_graph(bundle: Bundle, *files: str, only: bool = False) -> Bundle:
    """The bundle with another graph, whose files hold nothing that is run here, beside its own or alone."""
    graphs = (replace(bundle.manifest.graphs[0], name=files[0], files=files),)
    contents: dict[str, Path | bytes] = dict.fromkeys(files, b"x")
    if not only:
        graphs, contents = (*bundle.manifest.graphs, *graphs), {"model.onnx": bundle.path("model.onnx"), **contents}
    golden = bundle.golden()
    manifest = replace(bundle.manifest, graphs=graphs, files={})
    return write_bundle(bundle.folder.with_name("other"), manifest, contents, golden.pop("images"), golden)


@pytest.mark.parametrize(
    ("files", "backend", "install"),
    [(("model.xml", "model.bin"), "openvino", "openvino"), (("model.pte",), "executorch", "executorch")],
)
def test_verify_names_what_it_can_not_run(
    files: tuple[str, ...],
    backend: str,
    install: str,
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without(backend, monkeypatch)
    reason = f'{backend} is not installed: pip install "pocketvision[{install}]"'
    beside = with_graph(tiny_bundle, *files)
    found = verify_bundle(beside)
    assert found.unverified == {files[0]: reason} and "onnxruntime" in found.backends
    assert found.to_dict()["unverified"] == found.unverified
    with pytest.raises(SystemExit) as done:
        main(["verify", str(beside.folder)])
    printed = capsys.readouterr().out
    assert not done.value.code and f"Not run, its hash is intact: {files[0]} ({reason})" in printed
    alone = with_graph(tiny_bundle, *files, only=True)
    with pytest.raises(SystemExit) as done:
        main(["verify", str(alone.folder)])
    assert done.value.code == 1
    said = capsys.readouterr().err
    assert "nothing was verified" in said and reason in said and "Traceback" not in said


def test_verify_goes_on_where_an_installed_runtime_can_not_be_loaded(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise ImportError("libopenvino.so is missing")

    monkeypatch.setitem(BACKENDS, "openvino", replace(BACKENDS["openvino"], open=damaged))
    found = verify_bundle(with_graph(tiny_bundle, "model.xml", "model.bin"))
    assert list(found.backends) == ["onnxruntime"]
    assert "can not be loaded: libopenvino.so is missing" in found.unverified["model.xml"]
    with pytest.raises(UsageError, match=r"libopenvino\.so is missing"):
        verify_bundle(tiny_bundle, backends=["openvino"])


@pytest.mark.parametrize(("fitted_to", "run"), [("", ["onnxruntime"]), ("openvino", ["openvino"])])
def test_8_bits_are_verified_in_the_runtime_that_answered(fitted_to: str, run: list[str], tiny_bundle: Bundle) -> None:
    manifest = replace(tiny_bundle.manifest, backend=fitted_to, compression={"quantization": {"tool": "onnxruntime"}})
    assert list(verify_bundle(replace(tiny_bundle, manifest=manifest)).backends) == run


def test_verify_names_a_file_that_no_backend_runs(tiny_bundle: Bundle) -> None:
    assert verify_bundle(with_graph(tiny_bundle, "model.tflite")).unverified == {"model.tflite": "no backend runs it"}


def test_verify_names_the_image_that_is_answered_differently(tiny_bundle: Bundle) -> None:
    golden = tiny_bundle.golden()
    golden["probabilities"][1] += [0.01, -0.01, 0]
    images = golden.pop("images")
    files = {"model.onnx": tiny_bundle.path("model.onnx")}
    other = write_bundle(tiny_bundle.folder, tiny_bundle.manifest, files, images, golden)
    with pytest.raises(BundleError, match=r"onnxruntime does not answer .* golden image 1 differs by 0\.01"):
        verify_bundle(other)
