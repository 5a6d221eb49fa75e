"""Large pictures of masks learned from in tiles: cut as prediction cuts them, each a picture of its own."""

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.audit import audit
from pocketvision.data.augment import apply_view
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.segmentation.tiles import Tiling
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels
from pocketvision.training import tiled_data
from pocketvision.training.inputs import ImageViews
from pocketvision.training.recipe import Recipe
from pocketvision.training.tiled_data import in_tiles, kept_in_small, sizes_of, tile_of, viewed
from pocketvision.training.training_data import TrainingData

STRETCH = Preprocessing(16, 16, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="stretch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """A picture of 90 x 70 and a small one to learn from, one of 64 x 64 to validate on, one to test. The masks say where a
    picture is bright; that of the first has half its size."""
    root, generator = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    for name, (width, height) in (
        ("train/a", (90, 70)),
        ("train/b", (30, 20)),
        ("val/c", (64, 64)),
        ("test/d", (90, 90)),
    ):
        pixels = (
            generator.integers(0, 256, (height // 10, width // 10), dtype=np.uint8)
            .repeat(10, 0)
            .repeat(10, 1)[:height, :width]
        )
        pixels = np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1])), mode="edge")
        for folder, content in (("images", pixels[..., None].repeat(3, 2)), ("masks", (pixels > 127).astype(np.uint8))):
            file = root / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content[::2, ::2] if folder == "masks" and name == "train/a" else content).save(file)
    samples = read_samples(root)
    return TrainingData(samples, np.arange(len(samples)), audit(samples, workers=0))


def test_pictures_become_tiles_and_small_ones_stay(data: TrainingData) -> None:
    parts = in_tiles(data, 32)
    assert in_tiles(data, 32) is parts  # masks are not read again
    assert in_tiles(data, None) is data and in_tiles(data, 0) is data
    expected = [*Tiling(32).windows((90, 70)), (0, 0, 30, 20)]
    windows = parts.samples.windows
    assert windows is not None
    train = parts.indices("train")
    assert [tuple(each) for each in windows[train].tolist()] == expected
    assert len(parts.indices("val")) == len(Tiling(32).windows((64, 64))) and len(parts.indices("test")) == 0
    assert sizes_of(parts)[train][-1].tolist() == [30, 20] and sizes_of(data).tolist() == [
        [90, 90],
        [90, 70],
        [30, 20],
        [64, 64],
    ]
    chosen = parts.samples.select(np.array([1]))
    assert chosen.windows is not None and chosen.windows.tolist() == [list(expected[1])]


def test_a_tile_s_pixels_and_mask_are_those_of_its_window(data: TrainingData) -> None:
    parts = in_tiles(data, 32)
    truth = parts.learned[SEGMENTATION]
    assert isinstance(truth, MaskLabels)
    images = ImageViews(parts.samples, parts.content_hashes, STRETCH, "standard", seed=0, workers=0)
    for index in (0, 5, len(parts.indices("train")) - 1):
        left, top, right, bottom = parts.samples.windows[index].tolist()  # type: ignore[index]
        whole = Image.open(parts.samples.file(index)).convert("RGB")
        expected = apply_view(whole.crop((left, top, right, bottom)), images.view((index, 2)), STRETCH)
        assert (images.load([(index, 2)])[0] == expected).all()
        assert images.placement((index, 0)).image_size == (right - left, bottom - top)
        bright = np.asarray(whole)[top:bottom, left:right, 0] > 127
        share = truth.pixels[index, 1] / truth.pixels[index].sum()
        assert share == pytest.approx(bright.mean(), abs=0.1)
        assert (truth.mask(index) == 1).mean() == pytest.approx(share)
    assert len({images.key((index, 0)) for index in range(len(parts.samples))}) == len(parts.samples)
    some = truth.select(np.array([3, 4]))
    assert (some.mask(1) == truth.mask(4)).all() and (some.digests == truth.digests[[3, 4]]).all()


def test_there_are_only_so_many(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_data, "MOST", 8)
    parts = in_tiles.__wrapped__(data, 32)
    assert len(parts.indices("train")) == 8 and len(parts.indices("val")) == 2
    assert len(set(parts.samples.paths)) == 3


def test_pictures_are_cut_where_masks_would_be_lost_in_small(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tile_of(data) is None  # none is large
    monkeypatch.setattr(tiled_data, "USUAL", 24)
    monkeypatch.setattr(tiled_data, "FINEST", 4)
    found = tile_of(data)
    assert found is not None and found[0] == 24 and "--tile says otherwise" in found[1]
    monkeypatch.setattr(tiled_data, "FINEST", 60)
    assert tile_of(data) is None
    halves = np.zeros((40, 40), np.uint8)
    halves[:, 20:] = 1
    assert (
        kept_in_small([halves], 2) == 1 and kept_in_small([np.indices((300, 300)).sum(0).astype(np.uint8) % 2], 2) < 0.6
    )


def test_the_bundle_keeps_how_pictures_were_cut(data: TrainingData) -> None:
    from pocketvision.tasks.segmentation.task import segmenting

    recipe = Recipe(data=Recipe().data.__class__(tile=64))
    tasks = segmenting(["dark", "bright"], {})
    assert viewed(tasks, recipe)[SEGMENTATION].postprocessing == {"tile": 64} and viewed(tasks, Recipe()) == tasks
    with pytest.raises(UsageError, match="expected 32 pixels or more"):
        in_tiles(data, 8)
