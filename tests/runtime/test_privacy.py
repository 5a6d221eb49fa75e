"""Nothing here calls home: what a runtime would tell its maker is switched off before it is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pocketvision
from pocketvision.bundle import Bundle

# ONNX Runtime keeps quiet by itself where it believes to be in a test.
TEST_SIGNS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")


def test_onnx_runtime_leaves_no_identifier_behind(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in TEST_SIGNS}
    places = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home/cache")}
    script = (
        "import sys, numpy, pocketvision\n"
        "image = numpy.full((40, 30, 3), (250, 0, 0), dtype=numpy.uint8)\n"
        "print(pocketvision.load(sys.argv[1])(image).label)"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", script, str(tiny_bundle.folder)],
        text=True,
        timeout=60,
        env={**kept, **places, "PYTHONPATH": str(Path(pocketvision.__file__).parents[1])},
    )
    assert said.split()[0] == "red"
    assert list((tmp_path / "home").rglob("*.db")) == list((tmp_path / "home").rglob("deviceid")) == []
