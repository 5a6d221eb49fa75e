"""Maps without torch, and whether maps are to be believed, on a graph whose answer can be worked out: 4 x a colour's mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seeing import SIZE

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.explain.choice import Choice
from pocketvision.explain.faithfulness import Faithfulness, SetFaithfulness, faithfulness, rank_correlation
from pocketvision.explain.heat_map import HeatMap, coloured, laid_over, on_image, positive
from pocketvision.explain.inner_values import InnerValues, model_bytes, randomised
from pocketvision.explain.methods import MapOptions, mapped
from pocketvision.explain.perturbed_maps import occlusion, score_cam
from pocketvision.explain.subject import Subject
from pocketvision.preprocessing import Placement
from pocketvision.runtime.onnx_part import with_weights

RED = Choice("classification", "classification", 0, "red")


@pytest.fixture
def image() -> np.ndarray:
    """Grey, with a red square at the top left."""
    pixels = np.zeros((1, 3, 16, 16), np.float32)
    pixels[0, 0, 2:6, 2:6] = 8
    return pixels


def test_occlusion_is_hottest_where_the_score_comes_from(shared_bundle: Bundle, image: np.ndarray) -> None:
    heat = occlusion(Subject.of(shared_bundle), image, RED, windows=4)
    # A window over the whole square takes all of the score, 4 x 8 x 16 / 256 = 2. Each pixel of the square lies under four
    # windows, which cover all, a half, a half and a quarter of it.
    assert heat.shape == (16, 16)
    assert heat[2:6, 2:6].min() > 0
    assert heat[10:, 10:].max() == heat[10:, 10:].min() == 0
    assert heat.max() == pytest.approx(2 * (1 + 0.5 + 0.5 + 0.25) / 4, abs=1e-4)
    with pytest.raises(UsageError, match="windows is 1"):
        occlusion(Subject.of(shared_bundle), image, RED, windows=1)


def test_a_right_map_passes_and_a_wrong_one_fails(shared_bundle: Bundle, image: np.ndarray) -> None:
    subject = Subject.of(shared_bundle)
    right = image[0, 0].copy()
    good = faithfulness(subject, image, RED, right, lambda: np.eye(16, dtype=np.float32))
    assert good.failures == ()
    bad = faithfulness(subject, image, RED, -right, lambda: -right)
    assert len(bad.failures) == 3
    both = SetFaithfulness.of([bad, bad])
    assert both.text.startswith("These maps FAIL: covering what they mark lowers the answers no more")
    assert "rank correlation 1.00" in both.text
    assert SetFaithfulness.of([good]).text.startswith("These maps pass.")


def test_where_nothing_depends_on_the_picture_nothing_is_measured(shared_bundle: Bundle) -> None:
    found = faithfulness(
        Subject.of(shared_bundle), np.zeros((1, 3, 16, 16), np.float32), RED, np.eye(16, dtype=np.float32)
    )
    assert found == Faithfulness(None, None, None, None)
    assert "could not be measured" in SetFaithfulness.of([found]).text


def test_ranks_share_ties() -> None:
    one = np.array([[0, 0, 1, 2]], np.float32)
    assert rank_correlation(one, one) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, np.zeros_like(one)) is None


def test_a_map_of_zeros_and_one_of_no_numbers_stay_dark() -> None:
    for values in (np.zeros((4, 4), np.float32), np.full((4, 4), np.nan, np.float32), -np.ones((4, 4), np.float32)):
        heat = HeatMap(values, "red", "grad-cam")
        assert heat.is_flat
        assert np.array_equal(positive(values), np.zeros((4, 4)))
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert np.array_equal(laid_over(grey, np.zeros((8, 8), np.float32)), grey)
    assert coloured(np.array([[0.0, 1.0]], np.float32)).tolist() == [[[20, 11, 52], [252, 255, 164]]]


def test_a_map_lies_where_the_input_lay_in_the_image() -> None:
    placement = Placement(
        (40, 20), np.array([[0.8, 0, -8], [0, 0.8, 0], [0, 0, 1]]), (16, 16)
    )  # the middle of a wide image
    found = on_image(np.ones((4, 4), np.float32), placement)
    assert found.shape == (20, 40)
    assert found[:, :9].max() == found[:, 31:].max() == 0
    assert found[2:18, 12:28].min() == 1


def test_score_cam_on_the_shipped_file(plain: Bundle) -> None:
    subject = Subject.of(plain)
    image = np.random.default_rng(5).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    choice = subject.choices("classification", subject.run(image), Placement((SIZE, SIZE), np.eye(3), (SIZE, SIZE)))[0]
    heat, layer = score_cam(subject, image, choice, channels=5)
    assert heat.shape == (4, 4) and heat.min() >= 0 and np.isfinite(heat).all()
    inner = subject.inner
    assert layer == inner.maps[-1]
    level = inner.run(image, (layer,))[layer][0]
    assert heat.max() <= level.max()
    with pytest.raises(UsageError, match="Unknown value of"):
        score_cam(subject, image, choice, layer="nowhere")
    with pytest.raises(UsageError, match="channels is 0"):
        score_cam(subject, image, choice, channels=0)


def test_a_file_without_convolutions_has_no_activations(shared_bundle: Bundle, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no convolution that gives a map"):
        score_cam(Subject.of(shared_bundle), image, RED)


def test_random_weights_are_the_same_numbers_elsewhere(plain: Bundle) -> None:
    model = model_bytes(plain)
    other = randomised(model)
    assert len(other) == len(model) and other != model
    image = np.random.default_rng(5).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    subject = Subject.of(plain)
    assert not np.allclose(subject.run(image)["logits"], subject.with_random_weights().run(image)["logits"])
    assert InnerValues(other, "model.onnx").maps == subject.inner.maps


def test_a_model_that_answers_no_number(plain: Bundle, tmp_path: Path) -> None:
    broken = with_weights(model_bytes(plain), lambda raw, _size: np.full(len(raw) // 4, np.nan, np.float32).tobytes())
    bundle = rewrite_bundle(plain, plain.manifest, {"model.onnx": broken}, folder=tmp_path / "broken")
    subject = Subject.of(bundle)
    pixels = np.ones((1, 3, SIZE, SIZE), np.float32)
    heat = mapped("occlusion", subject, pixels, replace(RED, words="left"), MapOptions())
    assert heat.is_flat and not heat.is_number
    assert faithfulness(subject, pixels, RED, heat.values).failures == ()


def test_a_bundle_without_the_file_says_how_to_add_it(plain: Bundle) -> None:
    files = {name: each for name, each in plain.manifest.files.items() if name != "model.onnx"}
    with pytest.raises(BundleError, match="--to onnx"):
        model_bytes(replace(plain, manifest=replace(plain.manifest, files=files)))
