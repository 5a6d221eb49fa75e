"""The orders in which pictures may have been taken."""

from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.data.capture_orders import NAME, PATH, TIME, capture_orders
from pocketvision.data.sources.catalog import read_samples


def photo(path: Path, taken: str | None = None, camera: str = "A") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken is not None:
        exif[0x0110] = camera
        exif.get_ifd(0x8769)[0x9003] = taken
    Image.new("RGB", (8, 8), "red").save(path, exif=exif)


def test_names_run_over_all_folders_paths_folder_by_folder_and_times_camera_by_camera(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "IMG_9.jpg", "2024:05:01 10:00:09")
    photo(tmp_path / "a" / "IMG_11.jpg", "2024:05:01 10:00:01")
    photo(tmp_path / "b" / "IMG_10.jpg", "2024:05:01 10:00:05", camera="B")
    photo(tmp_path / "b" / "IMG_12.jpg")
    photo(tmp_path / "b" / "IMG_13.png")
    samples = read_samples(tmp_path)
    orders = capture_orders(samples)

    def names(order: str) -> list[str]:
        return [Path(samples.paths[index]).stem.removeprefix("IMG_") for index in orders[order].tolist()]

    assert names(NAME) == ["9", "10", "11", "12", "13"]
    assert names(PATH) == ["9", "11", "10", "12", "13"]
    assert names(TIME) == ["11", "9", "10"]


def test_a_damaged_file_and_an_unset_clock_have_no_time(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "1.jpg", "0000:00:00 00:00:00")
    photo(tmp_path / "b" / "2.jpg", "2024:05:01 10:00:05")
    (tmp_path / "b" / "3.jpg").write_bytes(b"\xff\xd8\xff\xe1 broken")
    assert np.array_equal(capture_orders(read_samples(tmp_path))[TIME], [1])
