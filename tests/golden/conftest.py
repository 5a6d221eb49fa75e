"""Golden runs and bundles of earlier formats, copied to where a test may write, with the pictures they were made from."""

import shutil
from pathlib import Path

import pytest
from golden_pictures import write_pictures

FOLDER = Path(__file__).parent
PLACE = "@GOLDEN@"


@pytest.fixture
def format1(tmp_path: Path) -> Path:
    """The folder of everything that PocketVision 0.1.0 wrote; see README.md."""
    folder = tmp_path / "format1"
    shutil.copytree(FOLDER / "format1", folder)
    write_pictures(folder / "pictures")
    for pattern in ("*/*.json", "*/*.csv"):
        for file in folder.glob(pattern):
            file.write_text(file.read_text(encoding="utf-8").replace(PLACE, str(folder)), encoding="utf-8")
    return folder


@pytest.fixture
def format2(tmp_path: Path) -> Path:
    """A bundle of the first form of format 2, whose outputs were listed and whose preprocessing had no fit; see README.md."""
    return Path(shutil.copytree(FOLDER / "format2/bundle", tmp_path / "format2"))
