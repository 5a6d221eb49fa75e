"""Files that can not be read never stop an audit: each becomes a finding with its reason."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data import inspection
from pocketvision.errors import PocketVisionError
from pocketvision.workflows.check import check


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes with three readable pictures each."""
    dice = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.fromarray(dice.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / label / f"{number}.jpg")
    return tmp_path


def reasons(root: Path, **options: int) -> dict[str, tuple[str, str]]:
    """File -> kind and message of every file that could not be read."""
    found = check(root, **options)
    assert found.hurts and len(found.unreadable) == np.sum(~found.readable)
    result = {f.files[0]: (f.kind, f.message) for f in found.findings if f.kind in ("unreadable", "truncated")}
    assert set(result) == {found.samples.paths[index] for index in found.unreadable}
    assert all(not any(found.content_hashes[index].tobytes()) for index in found.unreadable)
    return result


def test_text_named_jpg(pictures: Path) -> None:
    (pictures / "a/text.jpg").write_text("this is no picture")
    assert reasons(pictures)["a/text.jpg"][0] == "unreadable"


@pytest.mark.parametrize(("name", "format_"), [("cut.jpg", "JPEG"), ("cut.png", "PNG")])
def test_truncated(pictures: Path, name: str, format_: str) -> None:
    whole = pictures / "whole"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(whole, format_)
    (pictures / "b" / name).write_bytes(whole.read_bytes()[:5000])
    kind, message = reasons(pictures)[f"b/{name}"]
    assert kind == "truncated" and "truncated" in message


def test_empty_file_and_missing_link(pictures: Path) -> None:
    (pictures / "a/empty.png").touch()
    (pictures / "b/gone.png").symlink_to(pictures / "nowhere.png")
    found = reasons(pictures)
    assert "empty" in found["a/empty.png"][1] and "no such file" in found["b/gone.png"][1]


def test_decompression_bomb_is_not_decoded(pictures: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(pictures / "a/bomb.png")
    message = reasons(pictures)["a/bomb.png"][1]
    assert "20000" in message.replace(" ", "").replace(",", "") and "pixels" in message
    assert set(reasons(pictures, max_pixels=64 * 64 - 1)) == {
        f"{label}/{n}.jpg" for label in "ab" for n in range(3)
    } | {"a/bomb.png"}


def test_all_files_broken(pictures: Path) -> None:
    for file in pictures.rglob("*.jpg"):
        file.write_bytes(b"\xff\xd8\xff\xe0 broken")
    found = check(pictures)
    assert found.hurts and not found.readable.any() and len(found.unreadable) == 6
    assert found.pairs.shape == (0, 2)
    assert set(found.counts) <= {"too_few_images", "unreadable", "truncated"} and found.counts["too_few_images"] == 2
    assert found.to_dict()["readable"] == 0


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="needs root, to give its rights up")
@pytest.mark.usefixtures("reachable")
def test_no_permission(pictures: Path) -> None:
    (pictures / "a/1.jpg").chmod(0)
    script = (
        "import os, sys\n"
        "from pocketvision.workflows.check import check\n"
        "check(sys.argv[1])\n"  # what is imported late may be out of reach without root's rights
        "os.setuid(65534)\n"
        "found = check(sys.argv[1])\n"
        "print(found.hurts, [(f.kind, f.files[0], f.message) for f in found.findings])\n"
    )
    pictures.chmod(0o755)
    answer = subprocess.run([sys.executable, "-c", script, str(pictures)], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("True [('unreadable', 'a/1.jpg', ") and "permission" in answer.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_said_to_be_one(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = partial(Path.open, Path("/dev/full"), "wb")
    monkeypatch.setattr(inspection.tempfile, "TemporaryFile", full)
    with pytest.raises(PocketVisionError, match=r"No space left on device.*TMPDIR"):
        check(pictures)
