"""Bundles of earlier formats go through every verb that takes one."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import pocketvision
from pocketvision.bundle import FORMAT_VERSION, Bundle, read_bundle
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import CANDIDATES
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.serving.app import create_app
from pocketvision.serving.models import BundleSource
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize


@pytest.fixture(params=["format1", "format2"])
def bundle(request: pytest.FixtureRequest, format1: Path, format2: Path) -> Bundle:
    """In a run: the bundle of the first form of format 2 takes the place of that of format 1."""
    folder = format1 / "finished/bundle"
    if request.param == "format2":
        shutil.rmtree(folder)
        shutil.copytree(format2, folder)
    return read_bundle(folder)


def as_today(found: Bundle) -> None:
    """Written in today's format, and verified."""
    manifest = read_bundle(found.folder).manifest
    assert manifest.format_version == FORMAT_VERSION
    assert manifest.tasks["classification"].outputs == {"logits": "logits", "probabilities": "probabilities"}
    assert pocketvision.verify(found.folder).images == 4


def test_served(bundle: Bundle, format1: Path) -> None:
    picture = next((format1 / "pictures").rglob("*.png"))
    with TestClient(create_app([BundleSource("golden", bundle.folder)])) as client:
        answer = client.post("/predict", content=picture.read_bytes(), headers={"content-type": "image/png"}).json()
    expected = pocketvision.load(bundle.folder)(picture)
    assert answer["predictions"][0]["label"] == expected.label
    assert answer["predictions"][0]["answers"]["classification"]["label"] == expected.label


def test_exported(bundle: Bundle) -> None:
    found = export(bundle.folder, ["program"], seconds=0.02)
    assert found.exported[0].comparison is not None and found.exported[0].comparison.images > 0
    as_today(found.bundle)


def test_quantized(bundle: Bundle, tmp_path: Path) -> None:
    found = quantize(
        bundle.folder,
        out=tmp_path / "small",
        candidates=CANDIDATES["onnxruntime"][:1],
        max_accuracy_drop=100,
        calibration=8,
        seconds=0.02,
    )
    as_today(found.bundle)


@pytest.mark.slow
def test_pruned(bundle: Bundle, tmp_path: Path) -> None:
    settings = PruneSettings(keep_macs=0.9, rounds=1, epochs=0, max_accuracy_drop=100)
    as_today(prune(bundle.folder, settings, out=tmp_path / "pruned").bundle)


def test_fitted(bundle: Bundle, tmp_path: Path) -> None:
    quick: dict[str, Any] = {"kinds": ("size",), "backends": ("onnxruntime",), "seconds": 0.02}
    budget = Budget(latency_ms=1000, bytes=None, max_accuracy_drop=100)
    found = fit(bundle.folder, budget, out=tmp_path / "fitted", settings=TrialSettings(batch=8), **quick)
    assert found.bundle is not None
    as_today(found.bundle)


def test_measured(bundle: Bundle, format1: Path) -> None:
    assert pocketvision.evaluate(bundle.folder, format1 / "pictures").metrics.images > 0
