"""Drift on /metrics: what is answered, beside the baseline in the bundle."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageFilter, ImageOps
from prometheus_client.parser import text_string_to_metric_families
from served import picture, serving

import pocketvision
from pocketvision.baseline import BRIGHTNESS_EDGES, CONFIDENCE_EDGES, Distribution, baseline_of
from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.data.demo_faces import faces_folder
from pocketvision.preprocessing import decode
from pocketvision.serving.drift import MIN_WINDOW, UPDATE_EVERY, WINDOW, DriftMonitor
from pocketvision.serving.keys import new_key
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.telemetry import Telemetry

if TYPE_CHECKING:
    from pocketvision.workflows.training_run import TrainResult

PSI, SHARE = "pocketvision_drift_psi", "pocketvision_baseline_share"
JPEG = {"content-type": "image/jpeg"}
Figures = dict[tuple[str, ...], float]


def figures(text: str | bytes, name: str, *labels: str) -> Figures:
    """A metric's values by these labels."""
    text = text if isinstance(text, str) else text.decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples if each.name == name]
    return {tuple(each.labels[label] for label in labels): each.value for each in samples}


def metric(client: TestClient, name: str = PSI, *labels: str) -> Figures:
    return figures(client.get("/metrics").text, name, *(labels or ("feature",)))


def with_baseline(bundle: Bundle, images: int = 400, brightness: float = 0.5) -> Bundle:
    """In its place: a baseline of made-up images, as bright as a picture of that brightness, give or take."""
    chance = np.random.default_rng(0)
    found = baseline_of(
        {"classification": chance.uniform(0.4, 1, images)}, chance.normal(brightness, 0.1, images), "val"
    )
    return rewrite_bundle(bundle, replace(bundle.manifest, baseline=found))


def painted(chance: np.random.Generator, brightness: float = 1.0) -> bytes:
    """A picture of one of all colours."""
    colour = (chance.uniform(0, 255, 3) * brightness).astype(int).tolist()
    file = io.BytesIO()
    Image.new("RGB", (16, 16), tuple(colour)).save(file, "PNG")
    return file.getvalue()


def send(client: TestClient, contents: Sequence[bytes]) -> None:
    for start in range(0, len(contents), 32):
        some = contents[start : start + 32]
        answer = client.post("/predict?top_k=1", files=[("file", (f"{n}", each)) for n, each in enumerate(some)])
        assert answer.status_code == 200
        assert all("label" in each for each in answer.json()["predictions"])


def test_the_index_stays_low_until_the_pictures_change(tiny_bundle: Bundle, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    for number in range(400):
        file = tmp_path / "photos" / tiny_bundle.labels[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(painted(chance))
    pocketvision.evaluate(tiny_bundle.folder, tmp_path / "photos", baseline=True)
    with serving(tiny_bundle.folder) as client:
        send(client, [painted(chance) for _ in range(MIN_WINDOW - 1)])
        assert metric(client) == {}
        send(client, [painted(chance)])
        assert metric(client).keys() == {("confidence",), ("brightness",)}
        assert max(metric(client).values()) < 0.1
        send(client, [painted(chance, 0.6) for _ in range(MIN_WINDOW)])
        assert metric(client)["brightness",] > 0.25  # by half of the window already


def as_they_are(image: Image.Image) -> Image.Image:
    return image


def darkened(image: Image.Image) -> Image.Image:
    return image.point(lambda value: int(0.6 * value))


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(image.width / 12))


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    """Real pictures that no training of these tests saw, each in two hands, in no order."""
    files = [file for file in sorted(faces_folder().glob("*/*.png")) if "-noto" not in file.name]
    # A white border keeps a blur from spilling a face over the edge, which would darken or brighten the picture.
    images = [ImageOps.expand(decode(file).resize((48, 48)), 8, "white") for file in files]
    images += [ImageOps.mirror(image) for image in images]
    order = np.random.default_rng(3).permutation(len(images)).tolist()
    return [images[place] for place in order]


@pytest.fixture(scope="module")
def measured(
    trained: "TrainResult", faces: list[Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A trained bundle with a baseline of one half of the faces."""
    root = tmp_path_factory.mktemp("measured")
    folder = rewrite_bundle(trained.bundle, trained.bundle.manifest, folder=root / "faces").folder
    (root / "photos/teasing").mkdir(parents=True)
    for number, image in enumerate(faces[::2]):
        image.save(root / f"photos/teasing/{number}.png")
    pocketvision.evaluate(folder, root / "photos", baseline=True)
    yield folder


@pytest.mark.parametrize(
    ("change", "moved", "still"),
    [
        (as_they_are, set(), {"confidence", "brightness"}),
        (darkened, {"brightness"}, set()),
        (blurred, {"confidence"}, {"brightness"}),
    ],
)
def test_real_pictures_darkened_or_blurred_move_it(
    change: Callable[[Image.Image], Image.Image],
    moved: set[str],
    still: set[str],
    measured: Path,
    faces: list[Image.Image],
) -> None:
    contents = []
    for image in faces[1::2]:
        file = io.BytesIO()
        change(image).save(file, "PNG")
        contents.append(file.getvalue())
    with serving(measured) as client:
        send(client, (2 * contents)[: MIN_WINDOW + UPDATE_EVERY])
        found = {feature: index for (feature,), index in metric(client).items()}
        assert found.keys() == {"confidence", "brightness"}
        assert all(found[feature] > 0.25 for feature in moved) and all(found[feature] < 0.1 for feature in still), found


def test_the_baseline_is_drawn_in_the_histograms_buckets(tiny_bundle: Bundle) -> None:
    bundle = with_baseline(tiny_bundle)
    with serving(bundle.folder) as client:
        send(client, [picture("red")])
        shares = metric(client, SHARE, "feature", "le")
        for feature, edges in (("confidence", CONFIDENCE_EDGES), ("brightness", BRIGHTNESS_EDGES)):
            mine = [share for (name, _), share in shares.items() if name == feature]
            assert mine == bundle.manifest.baseline[feature].cumulative_shares() and mine[-1] == 1
            buckets = metric(client, f"pocketvision_{feature}_bucket", "le")
            assert [edge for name, edge in shares if name == feature] == [edge for (edge,) in buckets][:-1]
            assert [float(edge) for (edge,) in buckets][:-1] == list(edges)
        # Red, (250, 0, 0): its luma is 75 of 255.
        buckets = metric(client, "pocketvision_brightness_bucket", "le")
        assert (buckets["0.25",], buckets["0.3",]) == (0, 1)


def test_answers_are_as_they_were_and_tensors_have_no_brightness(tiny_bundle: Bundle) -> None:
    with serving(with_baseline(tiny_bundle).folder) as client:
        (answer,) = client.post("/predict", content=picture("red"), headers=JPEG).json()["predictions"]
        assert answer.keys() == {"label", "probability", "top", "answers", "timings"}
        images = tiny_bundle.golden()["images"]
        tensor = {"name": "images", "datatype": "FP32", "shape": list(images.shape), "data": images.ravel().tolist()}
        assert client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).status_code == 200
        assert metric(client, "pocketvision_confidence_count", "model") == {("tiny",): 4}
        assert metric(client, "pocketvision_brightness_count", "model") == {("tiny",): 1}


def test_a_bundle_without_a_baseline_says_so_once_and_has_its_histograms(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pocketvision.serving.drift"), serving(tiny_bundle.folder) as client:
        send(client, [picture("red")] * (MIN_WINDOW + UPDATE_EVERY))
        assert metric(client) == {} and metric(client, SHARE) == {}
        for feature in ("confidence", "brightness"):
            assert metric(client, f"pocketvision_{feature}_count", "model") == {("tiny",): MIN_WINDOW + UPDATE_EVERY}
    (line,) = [record.getMessage() for record in caplog.records if record.name == "pocketvision.serving.drift"]
    assert line.startswith("tiny: the bundle has no baseline") and "--baseline" in line


def test_too_small_a_baseline_is_shown_and_not_judged_by(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    bundle = with_baseline(tiny_bundle, images=150)
    with caplog.at_level(logging.INFO, "pocketvision.serving.drift"), serving(bundle.folder) as client:
        send(client, [picture("red")] * MIN_WINDOW)
        assert metric(client) == {} and metric(client, SHARE)
    assert sorted(record.getMessage() for record in caplog.records if record.name == "pocketvision.serving.drift") == [
        f"tiny: drift of {feature} is not measured: the baseline is of 150 images; 200 are the least"
        for feature in ("brightness", "confidence")
    ]


def test_a_baseline_in_other_bins_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    with caplog.at_level(logging.INFO):
        monitor = DriftMonitor("tiny", {"confidence": Distribution((0.5, 1.0), (300, 300))}, telemetry.drift)
    for _ in range(MIN_WINDOW):
        monitor.record("confidence", 0.1)
    assert figures(telemetry.exposition(), PSI, "feature") == {}
    assert "tiny: the bundle's baseline is in other bins" in caplog.text


def test_a_baseline_all_in_one_bin_can_not_be_judged_by(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    with caplog.at_level(logging.INFO):
        monitor = DriftMonitor(
            "tiny",
            baseline_of({"classification": np.full(300, 0.9999)}, np.linspace(0, 1, 300), "val"),
            telemetry.drift,
        )
    for _ in range(MIN_WINDOW):
        monitor.record("confidence", 0.1)
        monitor.record("brightness", 0.1)
    assert figures(telemetry.exposition(), PSI, "feature").keys() == {("brightness",)}
    assert "drift of confidence is not measured: nearly all" in caplog.text


def test_a_reloaded_bundle_brings_its_baseline_and_an_empty_window(tiny_bundle: Bundle) -> None:
    key, kept = new_key("admin")
    bundle = with_baseline(tiny_bundle, brightness=0.9)
    with serving(bundle.folder, settings=ServerSettings(keys=(kept,))) as client:
        client.headers["x-api-key"] = key
        send(client, [picture("red")] * MIN_WINDOW)
        assert metric(client)["brightness",] > 1
        before = metric(client, SHARE, "feature", "le")
        bundle = with_baseline(bundle, brightness=0.3)
        client.post("/models/tiny/reload")
        after = metric(client, SHARE, "feature", "le")
        assert after.keys() == before.keys() and after["brightness", "0.6"] > 0.9 > before["brightness", "0.6"]
        assert metric(client) == {}
        send(client, [picture("red")] * MIN_WINDOW)
        assert len(metric(client)) == 2
        rewrite_bundle(bundle, replace(bundle.manifest, baseline={}))
        client.post("/models/tiny/reload")
        send(client, [picture("red")] * MIN_WINDOW)
        assert metric(client) == metric(client, SHARE) == {}


def test_the_window_forgets_what_is_long_ago() -> None:
    telemetry = Telemetry()
    chance = np.random.default_rng(0)
    usual = chance.uniform(0.4, 1, 2000)
    monitor = DriftMonitor("tiny", baseline_of({"classification": usual[:400]}, usual[:400], "val"), telemetry.drift)
    for value in chance.uniform(0.2, 0.6, WINDOW):
        monitor.record("confidence", value)
    assert figures(telemetry.exposition(), PSI, "feature")["confidence",] > 1
    for value in usual[400 : 400 + WINDOW]:
        monitor.record("confidence", value)
    assert figures(telemetry.exposition(), PSI, "feature")["confidence",] < 0.1


def test_what_an_exchanged_model_still_answers_is_unknown() -> None:
    telemetry = Telemetry()
    chance = np.random.default_rng(0)
    old = DriftMonitor(
        "tiny",
        baseline_of({"classification": chance.uniform(0.4, 1, 400)}, chance.uniform(0, 1, 400), "val"),
        telemetry.drift,
    )
    for _ in range(MIN_WINDOW):
        old.record("confidence", 0.5)
    before = figures(telemetry.exposition(), PSI, "feature")
    old.close()
    for _ in range(WINDOW):
        old.record("confidence", 0.99)
    assert figures(telemetry.exposition(), PSI, "feature") == before != {}


def test_of_several_versions_the_one_that_answers_by_default_is_watched(tiny_bundle: Bundle, tmp_path: Path) -> None:
    newer = rewrite_bundle(tiny_bundle, tiny_bundle.manifest, folder=tmp_path / "newer")
    with_baseline(tiny_bundle, brightness=0.9)
    newer = with_baseline(newer, brightness=0.3)
    with serving(tiny_bundle.folder, newer.folder) as client:
        assert metric(client, SHARE, "feature", "le")["brightness", "0.3"] > 0.4
        older, _ = client.get("/models").json()["models"]
        for _ in range(MIN_WINDOW // 32 + 1):
            files = [("file", ("red.jpg", picture("red")))] * 32
            assert client.post(f"/predict?version={older['version']}", files=files).status_code == 200
        assert metric(client) == {}
        send(client, [picture("red")] * MIN_WINDOW)
        assert metric(client)["brightness",] > 1


def test_the_documents_name_metrics_that_exist(client: TestClient) -> None:
    send(client, [picture("red")])
    text = (Path(__file__).parents[2] / "docs/serve.md").read_text(encoding="utf-8")
    section = text.partition("## Drift\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"pocketvision_[a-z_]+[a-z]", section))
    assert {PSI, SHARE, "pocketvision_brightness"} <= named
    shown = {line.split()[2] for line in client.get("/metrics").text.splitlines() if line.startswith("# TYPE")}
    assert {re.sub("_(bucket|count)$", "", name) for name in named} <= shown


SEVERAL = """
import sys
from pocketvision.baseline import Distribution, CONFIDENCE_EDGES
from pocketvision.serving.drift import DriftMonitor
from pocketvision.serving.telemetry import Telemetry

counts = tuple(range(100, 100 - 5 * len(CONFIDENCE_EDGES), -5))
telemetry = Telemetry()
measured = {"confidence": Distribution(CONFIDENCE_EDGES, counts)}
monitor = DriftMonitor("tiny", measured, telemetry.drift)
for _ in range(500):
    monitor.record("confidence", float(sys.argv[1]))
if sys.argv[2] == "reloaded":
    DriftMonitor("tiny", measured, telemetry.drift)
print(telemetry.exposition().decode())
"""


def test_of_several_processes_the_most_drifted_is_reported(tmp_path: Path) -> None:
    """Whether or not one of them has seen enough since its model was exchanged."""
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(pocketvision.__file__).parents[1]),
    }
    indices = []
    for confidence, then in (("0.15", ""), ("0.95", ""), ("0.95", "reloaded")):
        child = subprocess.run(
            [sys.executable, "-c", SEVERAL, confidence, then],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        (index,) = figures(child.stdout, PSI, "feature").values()
        assert figures(child.stdout, SHARE, "le")["1.0",] == 1
        indices.append(index)
    assert indices[1] > indices[0] > 1
    assert indices[2] == indices[1]
