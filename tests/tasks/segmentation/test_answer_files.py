"""Answers as files: a palette PNG an image, and rows beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.runtime.predictor import ImageResult
from pocketvision.tasks.answer_files import ROWS, folder_sink, row_detail
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.rows import is_folder
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import decode
from pocketvision.tasks.task import Detail


def answer(mask: np.ndarray) -> Segmentation:
    values = np.stack([np.where(mask == place, 3.0, -3.0) for place in (0, 1, 2)])[None].astype(np.float32)
    task = TaskManifest("segmentation", ("sky", "road", "tree"), {"logits": "logits"})
    return decode({"logits": values}, [Placement.of_decoding((mask.shape[1], mask.shape[0]))], task, Detail())[0]


def test_masks_are_written_as_palette_pngs(tmp_path: Path) -> None:
    masks = [np.random.default_rng(seed).integers(0, 3, (4, 6)).astype(np.uint8) for seed in range(2)]
    folder = tmp_path / "answers"
    with folder_sink(folder, {"segmentation": "segmentation"}, row_detail(Detail(), None, folder)) as write:
        write(ImageResult("a/one.jpg", {"segmentation": answer(masks[0])}))
        write(ImageResult("b/one.jpg", {"segmentation": answer(masks[1])}))
        write(ImageResult("gone.jpg", error="there is no such file"))
    for name, mask in zip(("one.png", "one_2.png"), masks, strict=True):
        image = Image.open(folder / name)
        assert image.mode == "P" and (np.asarray(image) == mask).all()
    rows = [json.loads(line) for line in (folder / ROWS).read_text().splitlines()]
    assert [row["path"] for row in rows] == ["a/one.jpg", "b/one.jpg", "gone.jpg"] and rows[2]["error"]
    assert "mask" not in rows[0]["answers"]["segmentation"] and rows[0]["answers"]["segmentation"]["size"] == [6, 4]
    assert sorted(each.name for each in folder.iterdir()) == [ROWS, "one.png", "one_2.png"]
    with (
        pytest.raises(UsageError, match="nothing is ever overwritten"),
        folder_sink(folder, {"a": "segmentation"}, Detail()),
    ):
        pass


def test_rows_have_masks_as_they_are_asked_for(tmp_path: Path) -> None:
    said = row_detail(Detail(), "polygons", tmp_path / "new")
    assert said.masks and said.mask_form == "polygons"
    assert (
        row_detail(Detail(), None, tmp_path / "rows.jsonl") == Detail() and not row_detail(Detail(), "none", None).masks
    )
    with pytest.raises(UsageError, match="polygons"):
        row_detail(Detail(), "polygon", None)


def test_a_folder_takes_masks_alone(tmp_path: Path) -> None:
    assert is_folder(tmp_path) and is_folder(tmp_path / "new") and not is_folder(tmp_path / "rows.csv")
    with (
        pytest.raises(UsageError, match="takes masks"),
        folder_sink(tmp_path / "new", {"a": "classification"}, Detail()),
    ):
        pass
    assert not (tmp_path / "new").exists()
