"""8 bits: what is quantized, the search among candidates, and the bundle that comes of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketvision.baseline import CONFIDENCE_EDGES, distribution
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.compression import search as search_module
from pocketvision.compression.quantize_onnx import decoding, prepare_onnx, quantize_onnx, weighted_layers
from pocketvision.compression.quantizing import float_file
from pocketvision.compression.search import SearchData, open_float, search
from pocketvision.compression.sensitivity import layer_sensitivities
from pocketvision.compression.settings import CANDIDATES, Settings
from pocketvision.errors import AgreementError, MissingExtraError, UsageError
from pocketvision.preprocessing import DecodedImage
from pocketvision.runtime.backends import BACKENDS, open_backend
from pocketvision.runtime.choice import choose
from pocketvision.runtime.golden_check import OTHER_CPU_TOLERANCE
from pocketvision.runtime.novelty import telling
from pocketvision.runtime.verify import verify_bundle
from pocketvision.tasks.classification.comparison import ClassComparison as Comparison
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.workflows import quantize as workflow
from pocketvision.workflows.load import load
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.train import TrainResult


@pytest.fixture(scope="module")
def bundle(trained: TrainResult) -> Bundle:
    return trained.bundle


@pytest.fixture(scope="module")
def data(bundle: Bundle) -> SearchData:
    """Random pixels: what is compared is graphs, not their worth."""
    rng = np.random.default_rng(0)
    size = bundle.preprocessing
    images, calibration = (rng.standard_normal((n, 3, size.height, size.width), dtype=np.float32) for n in (24, 8))
    placement = size.placement(DecodedImage(Image.new("RGB", (size.width, size.height))).placement)
    truth = class_truth(probabilities(bundle.path("model.onnx"), images).argmax(1), bundle.labels)
    found = SearchData(bundle.tasks, images, [placement] * len(images), truth, {}, calibration)
    return replace(found, reference=found.answered(open_float(bundle.path("model.onnx"))).records)


def probabilities(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return open_float(path).run(images)["probabilities"]


@pytest.fixture(scope="module")
def reference(bundle: Bundle, data: SearchData) -> NDArray[np.float32]:
    """What the float file answers to the images."""
    return probabilities(bundle.path("model.onnx"), data.images)


@pytest.fixture(scope="module")
def quantized(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> workflow.QuantizeResult:
    out = tmp_path_factory.mktemp("quantized") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CANDIDATES, "onnxruntime", CANDIDATES["onnxruntime"][:2])
        return quantize(bundle.folder, out=out, method="onnxruntime", max_accuracy_drop=30, seconds=0.05)


@pytest.fixture(scope="module")
def prepared(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "prepared.onnx"
    prepare_onnx(bundle.path("model.onnx"), out)
    return out


def node_types(path: Path) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for node in onnx.load(path).graph.node:
        kinds[node.op_type] = kinds.get(node.op_type, 0) + 1
    return kinds


@pytest.mark.parametrize("settings", CANDIDATES["onnxruntime"], ids=lambda settings: settings.title)
def test_every_static_candidate_holds_8_bit_weights_and_answers_much_alike(
    settings: Settings, bundle: Bundle, prepared: Path, data: SearchData, reference: NDArray[np.float32], tmp_path: Path
) -> None:
    path, out = bundle.path("model.onnx"), tmp_path / "small.onnx"
    quantize_onnx(prepared, out, settings, data.calibration_batches())
    weights = {each.name: each for each in onnx.load(out).graph.initializer}
    versions = onnx.load(out)
    assert versions.ir_version <= 8 and [(each.domain, each.version) for each in versions.opset_import] == [("", 18)]
    held = sum(np.prod(each.dims) for each in weights.values() if each.data_type == onnx.TensorProto.INT8)
    assert held > 0.95 * sum(weighted_layers(prepared).values())
    if settings.reduce_range:
        arrays = (
            onnx.numpy_helper.to_array(each) for each in weights.values() if each.data_type == onnx.TensorProto.INT8
        )
        assert max(int(np.abs(array).max()) for array in arrays) <= 64
    difference = np.abs(probabilities(out, data.images) - reference)
    assert 0 < difference.mean() < 0.2
    assert out.stat().st_size < 0.4 * path.stat().st_size


@pytest.mark.parametrize(("count", "sizes"), [(16, [8, 8]), (28, [7] * 4), (11, [1] * 11)])
def test_calibration_batches_are_equal(
    count: int, sizes: list[int], bundle: Bundle, data: SearchData, tmp_path: Path
) -> None:
    """ONNX Runtime stacks what it has seen for a histogram: a smaller last batch was a traceback."""
    few = replace(data, calibration=np.resize(data.calibration, (count, *data.calibration.shape[1:])))
    assert [len(batch) for batch in few.calibration_batches()] == sizes
    assert np.array_equal(np.concatenate(few.calibration_batches()), few.calibration)
    if count == 28:
        settings = Settings("onnxruntime", calibration="percentile")
        quantize_onnx(bundle.path("model.onnx"), tmp_path / "small.onnx", settings, few.calibration_batches())


def test_the_answer_itself_is_not_in_8_bits(quantized: workflow.QuantizeResult) -> None:
    graph = onnx.load(quantized.bundle.path("model.onnx")).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    assert made_by["probabilities"] == "Softmax"
    probabilities = load(quantized.bundle.folder).bundle.golden()["probabilities"]
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def test_boxes_and_what_makes_them_are_not_in_8_bits(tmp_path: Path) -> None:
    """A convolution, then one that answers for every place, and arithmetic in pixels. A linear layer at a graph's end is rounded,
    what follows it is not."""
    weights = {"w": np.zeros((4, 3, 1, 1), np.float32), "v": np.zeros((2, 4, 1, 1), np.float32)}
    weights |= {"u": np.zeros((2, 4), np.float32), "eight": np.float32(8)}
    nodes = [
        onnx.helper.make_node("Conv", ["images", "w"], ["wide"], "first"),
        onnx.helper.make_node("Relu", ["wide"], ["positive"], "relu"),
        onnx.helper.make_node("Conv", ["positive", "v"], ["distances"], "last"),
        onnx.helper.make_node("Softplus", ["distances"], ["sides"], "softplus"),
        onnx.helper.make_node("Mul", ["sides", "eight"], ["boxes"], "pixels"),
        onnx.helper.make_node("GlobalAveragePool", ["positive"], ["pooled"], "pool"),
        onnx.helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        onnx.helper.make_node("Gemm", ["flat", "u"], ["logits"], "linear", transB=1),
        onnx.helper.make_node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
    ]
    named = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", [1, 3, 8, 8]), ("boxes", [1, 2, 8, 8]), ("scores", [1, 2]))
    ]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "detector", named[:1], named[1:], constants)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g"
    )
    assert {*decoding(tmp_path / "g")} == {"last", "softplus", "pixels", "sigmoid"}
    quantize_onnx(tmp_path / "g", tmp_path / "q", Settings("onnxruntime"), [np.ones((1, 3, 8, 8), np.float32)])
    taken = {each.name: [*each.input] for each in onnx.load(tmp_path / "q").graph.node}
    assert not any("Dequantize" in name for part in ("softplus", "pixels") for name in taken[part])
    assert taken["last"][1] == "v" and taken["first"][1] != "w"


def test_dynamic_quantization_touches_linear_layers_only(
    bundle: Bundle, prepared: Path, data: SearchData, reference: NDArray[np.float32], tmp_path: Path
) -> None:
    out = tmp_path / "dynamic.onnx"
    quantize_onnx(prepared, out, CANDIDATES["dynamic"][0], [])
    before, after = node_types(bundle.path("model.onnx")), node_types(out)
    assert after["Conv"] == before["Conv"] and after["MatMulInteger"] >= 1
    assert np.abs(probabilities(out, data.images) - reference).max() < 0.05


def test_layers_are_measured_one_by_one_and_only_that_one_changes(
    prepared: Path, data: SearchData, tmp_path: Path
) -> None:
    path, some = prepared, dict(list(weighted_layers(prepared).items())[:3])
    progress: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketvision.compression.sensitivity.weighted_layers", lambda _: some)
        found = layer_sensitivities(
            data.tasks,
            path,
            CANDIDATES["onnxruntime"][0],
            data.calibration_batches(),
            data.images[:4],
            on_layer=lambda done, total: progress.append((done, total)),
        )
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert {each.layer: each.weights for each in found} == some
    assert [each.difference for each in found] == sorted((each.difference for each in found), reverse=True)
    assert found[0].difference > 0
    one = tmp_path / "one.onnx"
    quantize_onnx(path, one, CANDIDATES["onnxruntime"][0], data.calibration_batches(), only=(found[0].layer,))
    weights = [each for each in onnx.load(one).graph.initializer if each.data_type == onnx.TensorProto.INT8]
    assert sum(len(each.dims) == 4 for each in weights) == 1


def test_where_none_is_good_enough_whole_the_most_sensitive_layers_stay_in_float(
    bundle: Bundle, prepared: Path, data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CANDIDATES, "onnxruntime", (Settings("onnxruntime", per_channel=False),))
    layers = weighted_layers(prepared)
    ranked = tuple(
        search_module.Sensitivity(name, weights, 1 / (1 + place))
        for place, (name, weights) in enumerate(layers.items())
    )
    monkeypatch.setattr(search_module, "layer_sensitivities", lambda *_, **__: ranked)
    seen: list[float] = []

    def within(comparison: Comparison, _: float) -> bool:
        """A tenth less than the first candidate's difference: what leaving layers in float can really reach."""
        seen.append(comparison.mean_probability_difference)
        return comparison.mean_probability_difference <= 0.9 * seen[0]

    monkeypatch.setattr(Comparison, "within", within)
    progress: list[str] = []
    found = search(
        bundle.path("model.onnx"),
        tmp_path,
        CANDIDATES["onnxruntime"],
        data,
        max_drop=0.0,
        seconds=0.02,
        on_progress=progress.append,
    )
    first, *rest = found.candidates
    assert not first.settings.float_layers and first.latency is None
    assert [len(each.settings.float_layers) for each in rest] == [2**power for power in range(len(rest))] and rest
    assert all(each.settings.float_layers == tuple(layers)[: len(each.settings.float_layers)] for each in rest)
    assert found.sensitivities == ranked and any("left in float" in text for text in progress)
    assert found.chosen is not None and found.chosen.settings == rest[-1].settings
    floats = [each for each in onnx.load(tmp_path / "model.onnx").graph.initializer if len(each.dims) == 4]
    kept = sum(each.data_type == onnx.TensorProto.FLOAT for each in floats)
    assert kept == len(rest[-1].settings.float_layers)


def test_the_fastest_of_those_within_the_drop_is_taken(
    bundle: Bundle, data: SearchData, reference: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timings(runs: dict[str, object], *_: object, **__: object) -> dict[str, search_module.Latency]:
        return {name: search_module.Latency(9.0 - place, 9.0, 1.0) for place, name in enumerate(runs)}

    monkeypatch.setitem(CANDIDATES, "onnxruntime", CANDIDATES["onnxruntime"][:3])
    monkeypatch.setattr(search_module, "measure_latency", timings)
    found = search(
        bundle.path("model.onnx"),
        tmp_path,
        CANDIDATES["onnxruntime"],
        data,
        max_drop=100,
        seconds=1,
        on_progress=lambda _: None,
    )
    assert found.chosen == found.candidates[-1]
    assert found.float_latency.latency_ms == 9.0
    chosen = probabilities(tmp_path / "model.onnx", data.images)
    assert (chosen.argmax(1) == reference.argmax(1)).mean() == found.chosen.comparison.top1_agreement


def test_one_that_is_surely_within_the_drop_comes_before_a_faster_one_that_is_not(
    bundle: Bundle, data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timings(runs: dict[str, object], *_: object, **__: object) -> dict[str, search_module.Latency]:
        return {name: search_module.Latency(9.0 - place, 9.0, 1.0) for place, name in enumerate(runs)}

    sure = iter([True, True, False])
    candidates = CANDIDATES["onnxruntime"][:3]
    monkeypatch.setattr(search_module, "measure_latency", timings)
    monkeypatch.setattr(Comparison, "is_sure", lambda *_: next(sure))
    found = search(
        bundle.path("model.onnx"), tmp_path, candidates, data, max_drop=100, seconds=1, on_progress=lambda _: None
    )
    assert found.chosen == found.candidates[1], "the faster of the two; the third is faster still"


def test_the_search_stops_at_the_first_that_is_good_enough(bundle: Bundle, data: SearchData, tmp_path: Path) -> None:
    candidates = CANDIDATES["onnxruntime"][:3]
    found = search(
        bundle.path("model.onnx"),
        tmp_path,
        candidates,
        data,
        max_drop=100,
        seconds=0.02,
        on_progress=lambda _: None,
        stop_early=True,
    )
    assert [each.settings for each in found.candidates] == [candidates[0]] and found.untried == 2
    assert "2 more were not tried (--method all tries every one)" in found.reason


def test_by_default_only_what_every_installation_runs_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {each.tool for each in workflow._candidates("auto")} == {"onnxruntime"}
    assert {each.tool for each in workflow._candidates("all")} == {"onnxruntime", "openvino"}
    monkeypatch.setitem(BACKENDS, "openvino", replace(BACKENDS["openvino"], module="no_such_module"))
    assert {each.tool for each in workflow._candidates("all")} == {"onnxruntime"}


def test_what_was_taken_is_named_with_why_and_what_it_needs(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["quantize", str(bundle.folder.parent), "--out", str(tmp_path / "small"), "--max-accuracy-drop", "60"])
    printed = capsys.readouterr().out
    assert not done.value.code
    assert "Taken: onnxruntime, per channel, uint8, minmax: the first that is" in printed
    assert "Runs in: onnxruntime, part of every installation" in printed
    small = read_bundle(tmp_path / "small")
    assert small.manifest.compression["untried"] == 5 and small.manifest.compression["reason"]


def test_the_graph_is_prepared_once_for_all_candidates(
    bundle: Bundle, data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def counted(path: Path, out: Path) -> None:
        made.append(path)
        prepare_onnx(path, out)

    monkeypatch.setitem(CANDIDATES, "onnxruntime", CANDIDATES["onnxruntime"][:2])
    monkeypatch.setattr(search_module, "prepare_onnx", counted)
    search(
        bundle.path("model.onnx"),
        tmp_path,
        CANDIDATES["onnxruntime"],
        data,
        max_drop=100,
        seconds=0.02,
        on_progress=print,
    )
    assert made == [bundle.path("model.onnx")]


def golden_images(bundle: Bundle) -> np.ndarray:
    return bundle.golden()["images"]


def test_an_8_bit_bundle_is_small_verified_and_answers_as_measured(
    bundle: Bundle, quantized: workflow.QuantizeResult
) -> None:
    small = read_bundle(quantized.bundle.folder)
    files = {"model.onnx", "golden.safetensors", "learned_from.safetensors", "novelty.safetensors"}
    assert set(small.manifest.files) == files
    assert open_backend(telling(small)).run(golden_images(small))["novelty"].shape == (len(golden_images(small)),)
    assert small.path("model.onnx").stat().st_size <= 0.4 * bundle.path("model.onnx").stat().st_size
    assert small.labels == bundle.labels and small.preprocessing == bundle.preprocessing
    golden = small.golden()
    again = open_backend(small).run(golden["images"])["probabilities"]
    assert np.abs(again - golden["probabilities"]).max() < 1e-6
    # OpenVINO would run it too, but rounds 8-bit products its own way.
    verified = verify_bundle(small)
    assert list(verified.backends) == ["onnxruntime"] and verified.tolerance == OTHER_CPU_TOLERANCE
    assert list(choose(small, threads=1, batch=2, seconds=0.02).images_per_second) == ["onnxruntime"]
    record = json.loads((small.folder / "manifest.json").read_text(encoding="utf-8"))["compression"]
    assert record["quantization"]["title"] == quantized.chosen.settings.title
    assert len(record["candidates"]) == 2 and record["calibration_images"] > 0
    figures = small.manifest.agreement["model.onnx"]
    assert figures["bytes"] == small.path("model.onnx").stat().st_size
    assert figures["accuracy"] == quantized.chosen.comparison.accuracy and figures["latency_ms"] > 0
    judging = workflow.measuring_images(bundle, None, lambda _: None)
    answers = judging.answers(open_backend(small).run)["probabilities"]
    confidence, brightness = small.manifest.baseline["confidence"], small.manifest.baseline["brightness"]
    assert confidence == distribution(answers.max(axis=1), CONFIDENCE_EDGES, "val")
    assert brightness == bundle.manifest.baseline["brightness"] and brightness.images == len(judging)


def test_it_calibrates_on_training_images_and_judges_on_validation_images(bundle: Bundle) -> None:
    calibrating = workflow.calibration_images(bundle, None, lambda _: None)
    judging = workflow.measuring_images(bundle, None, lambda _: None)
    rows = [line.split(",") for line in (bundle.folder.parent / "split.csv").read_text().splitlines()[1:]]
    assert len(calibrating) == sum("train" in row for row in rows) and len(judging) == sum("val" in row for row in rows)
    assert not set(calibrating.files) & set(judging.files)


def test_openvino_quantizes_through_nncf(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CANDIDATES, "openvino", CANDIDATES["openvino"][:1])
    out = tmp_path / "small"
    found = quantize(bundle.folder, out=out, method="openvino", max_accuracy_drop=60, calibration=8, seconds=0.02)
    assert set(found.bundle.manifest.files) == {
        "model.xml",
        "model.bin",
        "golden.safetensors",
        "learned_from.safetensors",
    }
    assert found.bundle.path("model.bin").stat().st_size < 0.5 * bundle.path("model.onnx").stat().st_size
    assert "FakeQuantize" in found.bundle.path("model.xml").read_text()
    assert open_backend(found.bundle).outputs["probabilities"] == (len(bundle.labels),)


def test_nothing_within_the_drop_leaves_figures_and_no_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CANDIDATES, "onnxruntime", CANDIDATES["onnxruntime"][:1])
    monkeypatch.setattr("pocketvision.tasks.classification.comparison.ClassComparison.within", lambda *_: False)
    monkeypatch.setattr(search_module, "layer_sensitivities", lambda *_, **__: ())
    with pytest.raises(
        AgreementError, match=r"No bundle was written\. The best of 1 candidate is onnxruntime, per channel"
    ):
        quantize(bundle.folder, out=tmp_path / "small", method="onnxruntime", seconds=0.02)
    assert [path.name for path in tmp_path.iterdir()] == ["small.quantization-failed.json"]
    assert len(json.loads(next(tmp_path.iterdir()).read_text())["candidates"]) == 1


def test_an_absent_extra_is_reported_with_its_install_line(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> None:
        raise MissingExtraError("Quantizing for OpenVINO", "openvino")

    monkeypatch.setattr(search_module, "quantize_openvino", absent)
    with pytest.raises(AgreementError, match=r'pip install "pocketvision\[openvino\]"'):
        quantize(bundle.folder, out=tmp_path / "small", method="openvino", seconds=0.02)


def test_wrong_use(bundle: Bundle, quantized: workflow.QuantizeResult, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown method 'onnx'\. Did you mean onnxruntime"):
        quantize(bundle.folder, method="onnx")
    with pytest.raises(UsageError, match="is quantized already"):
        quantize(quantized.bundle.folder)
    with pytest.raises(UsageError, match="--max-accuracy-drop is -1"):
        quantize(bundle.folder, max_accuracy_drop=-1)
    with pytest.raises(UsageError, match="--calibration is 0"):
        quantize(bundle.folder, calibration=0)
    with pytest.raises(UsageError, match="is the bundle itself"):
        quantize(bundle.folder, out=bundle.folder)
    alone = shutil.copytree(bundle.folder, tmp_path / "alone")
    with pytest.raises(UsageError, match="give --data"):
        quantize(alone)
    others = tmp_path / "others"
    shutil.copytree(photos / "teasing", others / "cats")
    shutil.copytree(photos / "teasing", others / "dogs")
    with pytest.raises(UsageError, match=r"cats|dogs"):
        quantize(alone, data=others)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty"):
        quantize(alone, data=tmp_path / "empty")
    without = replace(bundle.manifest, files={k: v for k, v in bundle.manifest.files.items() if k != "model.onnx"})
    with pytest.raises(UsageError, match=r"pocketvision export .* --to onnx"):
        float_file(replace(bundle, manifest=without))


def test_a_graph_that_can_not_be_prepared_is_reported(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def incomplete(*_: object) -> None:
        raise Exception("Incomplete symbolic shape inference at /stem/Mystery")

    monkeypatch.setattr("onnxruntime.quantization.shape_inference.quant_pre_process", incomplete)
    with pytest.raises(UsageError, match=r"prepared\.onnx can not be quantized: Incomplete .* /stem/Mystery"):
        prepare_onnx(prepared, tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())
