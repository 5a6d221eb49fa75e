"""The curl lines of the guide, run as they are written against a real server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from served import picture, starting

from pocketvision.bundle import Bundle

GUIDE = Path(__file__).parents[2] / "docs/serve.md"
LINES = re.findall(r"^curl .*$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("base64") is None, reason="there is no curl here")
def test_the_guides_curl_lines_are_answered(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert len(LINES) >= 4
    (tmp_path / "new").mkdir()
    (tmp_path / "photo.jpg").write_bytes(picture("red"))
    (tmp_path / "new/one.jpg").write_bytes(picture("green"))
    with starting(tiny_bundle.folder, tmp_path, name="photos") as start:
        url = start().url
        for line in LINES:
            command = line.replace("http://127.0.0.1:8000", url).replace("curl ", "curl -sS ", 1)
            said = subprocess.run(
                ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
            )
            labels = [each["label"] for each in json.loads(said.stdout)["predictions"]]
            assert labels == (["red", "green"] if "one.jpg" in line else ["red"]), line
