"""The map over HTTP and over a stream's frames, without torch."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeing import SIZE, run
from served import serving

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError
from pocketvision.explain.heat_map import positive
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.predictor import Predictor
from pocketvision.streaming.frame_maps import FrameMaps


def picture() -> tuple[bytes, np.ndarray]:
    pixels = np.random.default_rng(4).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), pixels


def test_a_prediction_has_the_map_that_was_asked_for(mapped: Bundle) -> None:
    content, pixels = picture()
    with serving(mapped.folder) as client:
        assert client.get("/models").json()["models"][0]["tasks"]["classification"]["maps"] is True
        plain = client.post("/predict", files={"file": content}).json()["predictions"][0]
        assert "maps" not in plain
        told = client.post("/predict?map=true", files={"file": content}).json()["predictions"][0]
        both = client.post("/predict?map=true&models=tiny", files={"file": content}).json()["predictions"][0]
    own = told["maps"]["classification"]
    assert own["class"].startswith(told["label"]) and own["layer"] == "head_conv"
    assert own["box"] == pytest.approx([22.5, 2.5, 57.5, 37.5], abs=1)  # the middle, as the crop takes it
    outputs = open_backend(mapped).run(mapped.preprocessing(pixels)[None])
    place = int(outputs["logits"][0].argmax())
    assert np.allclose(own["values"], positive(outputs["map"][0, place]), atol=2e-2)
    assert both["maps"] == told["maps"]


def test_a_model_without_a_map_says_how_to_add_it(plain: Bundle) -> None:
    with serving(plain.folder) as client:
        for query in ("map=true", "map=true&models=tiny"):
            refused = client.post(f"/predict?{query}", files={"file": picture()[0]})
            assert refused.status_code == 422
            assert "export BUNDLE --with-map" in refused.json()["detail"]
        assert client.post("/predict?map=maybe", files={"file": picture()[0]}).status_code == 422


def test_frames_of_a_stream_have_their_own_map(mapped: Bundle, plain: Bundle) -> None:
    predictor = Predictor(mapped)
    maps = FrameMaps(predictor)
    frames = [np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8) for seed in (1, 2)]
    answers = [maps.answers(frame) for frame in frames]
    assert answers[0]["classification"].label == predictor(frames[0]).label
    first, second = maps.laid(frames[0]), maps.laid(frames[1])
    assert not np.array_equal(first, frames[0]) and not np.array_equal(second, frames[1])
    other = maps.wanting(maps.detail)
    assert np.array_equal(other.laid(frames[0]), first)
    unseen = frames[0].copy()
    assert maps.laid(unseen) is unseen
    with pytest.raises(BundleError, match="--with-map"):
        FrameMaps(Predictor(plain))


def test_stream_refuses_what_has_no_map(plain: Bundle, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stream", plain.folder, "--source", picture.parent, "--map", "--out", "none", "--seconds", 1) == 1
    assert "--with-map" in " ".join(capsys.readouterr().err.split())
