"""A picture of augmented batches: what is on it, and that nothing is trained."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.main import main
from pocketvision.preprocessing import Placement
from pocketvision.tasks.colours import class_colour
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels
from pocketvision.training.batch_picture import _with_truth

WHOLE = Placement((32, 32), np.eye(3), (32, 32))


def test_the_command_saves_a_batch_and_trains_nothing(
    photos: Path, small_network: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = [
        "train",
        str(photos),
        "--model",
        small_network["model"],
        "--weights",
        small_network["weights"],
        "--batch",
        "9",
    ]
    seen = []
    for name, settings in (
        ("one.png", []),
        ("again.png", []),
        ("mixed.png", ["--set", "regularisation.mixup=1.0"]),
        ("grey.png", ["--set", "augment.greyscale=1", "--preset", "two_stage"]),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*plain, "--show-batch", name, *settings])
        assert not stopped.value.code
        seen.append(np.asarray(Image.open(tmp_path / name)))
    one, again, mixed, grey = seen
    assert np.array_equal(one, again) and not np.array_equal(one, mixed)
    assert np.ptp(grey[30:], axis=2).max() == 0 < np.ptp(one[30:], axis=2).max()
    assert {each.name for each in tmp_path.iterdir()} == {"one.png", "again.png", "mixed.png", "grey.png"}
    with pytest.raises(SystemExit) as stopped:
        main([*plain, "--show-batch", "batch.txt"])
    assert stopped.value.code


def test_boxes_and_masks_lie_where_their_truth_does() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    boxes = BoxLabels.of([([(4.0, 16.0, 20.0, 30.0)], [1])], ("a", "b"))
    drawn = _with_truth(pixels, 0, WHOLE, {"detection": boxes})
    factor = drawn.shape[0] // 32
    assert tuple(drawn[16 * factor, 12 * factor]) == class_colour(1) == tuple(drawn[20 * factor, 4 * factor])
    assert not drawn[24 * factor, 12 * factor].any()
    mask = np.full((32, 32), NOTHING, np.uint8)
    mask[20:, 8:] = 1
    tinted = _with_truth(pixels, 0, WHOLE, {"segmentation": MaskLabels.of_arrays([mask], ("a", "b"))})
    assert tinted[26 * factor, 16 * factor].any() and not tinted[26 * factor, 2 * factor].any()
