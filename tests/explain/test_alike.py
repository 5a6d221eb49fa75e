"""Pictures that look alike to a model."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from seeing import LABELS, run

from pocketvision.bundle import Bundle
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.explain.embeddings import Embedded, kept_embeddings, nearest, principal_components
from pocketvision.explain.training_pictures import umap_places


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of each class: a plain colour, and nearly the same one."""
    folder = tmp_path_factory.mktemp("pictures")
    for place, name in enumerate(LABELS):
        (folder / name).mkdir()
        for shade in (200, 210):
            pixels = np.zeros((40, 40, 3), np.uint8)
            pixels[..., place] = shade
            Image.fromarray(pixels).save(folder / name / f"{shade}.png")
    return folder


def test_nearest_by_angle_and_components_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    among = Embedded((Path("a"), Path("b"), Path("c")), ("x", "y", "z"), vectors)
    (found,) = nearest(np.array([[0.8, 0.6]], np.float32), among, 2)
    assert [(each.name, round(each.similarity, 2)) for each in found] == [("z", 0.96), ("x", 0.8)]
    places, shares = principal_components(np.array([[0, 0, 1], [2, 0, 1], [4, 0, 1]], np.float32))
    assert places[:, 0].tolist() == pytest.approx([-2, 0, 2]) and np.allclose(places[:, 1], 0)
    assert shares.tolist() == pytest.approx([1, 0])
    assert np.isfinite(principal_components(np.ones((2, 3), np.float32))[0]).all()


def test_the_verbs(plain: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query, result = pictures / "right" / "200.png", tmp_path / "found.json"
    out = tmp_path / "alike"
    options = ("--data", pictures, "--out", out, "--most", 2, "--json", result)
    assert run("explain", "neighbours", plain.folder, query, *options) == 0
    ((told,),) = (json.loads(result.read_text()),)
    assert [each["name"] for each in told["neighbours"]] == ["right", "right"]
    assert told["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert (out / "index.html").read_text().count("data:image/jpeg") == 3
    assert run("explain", "embedding", plain.folder, "--data", pictures, "--out", tmp_path / "points") == 0
    page = (tmp_path / "points" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 6 and 'src="http' not in page
    capsys.readouterr()
    assert run("explain", "neighbours", plain.folder, query) == 2
    assert "were not kept. Say which pictures those were: --data." in " ".join(capsys.readouterr().err.split())


def test_what_a_run_kept_is_taken(plain: Bundle, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(plain.folder, tmp_path / "bundle")
    rows = "".join(f"{pictures / name / '200.png'},{name},train\n" for name in LABELS)
    (tmp_path / "split.csv").write_text(f"path,label,split\n{rows}")
    samples = read_samples(tmp_path / "split.csv")
    tensors = {"embeddings": np.eye(3, 24, dtype=np.float16), "rows": np.array([2, 0, 1])}
    safetensors.numpy.save_file(tensors, tmp_path / "embeddings.safetensors")
    found = kept_embeddings(tmp_path, samples, 24)
    assert found is not None and found.names == (LABELS[2], LABELS[0], LABELS[1])
    assert kept_embeddings(tmp_path, samples, 23) is None  # of another network
    result = tmp_path / "found.json"
    query = pictures / "left" / "210.png"
    assert run("explain", "neighbours", tmp_path / "bundle", query, "--json", result) == 0
    assert len(json.loads(result.read_text())[0]["neighbours"]) == 3


def test_mistakes_with_maps_and_neighbours(plain: Bundle, pictures: Path, tmp_path: Path) -> None:
    out, result = tmp_path / "mistakes", tmp_path / "found.json"
    options = ("--training", pictures, "--out", out, "--json", result)
    assert run("explain", "errors", plain.folder, pictures, "--no-checks", *options) == 0
    told = json.loads(result.read_text())
    assert len(told["answers"]) >= 3  # an untrained network is wrong about most
    page = (out / "index.html").read_text()
    assert page.count("where it looked") >= 2 * len(told["answers"])
    assert page.count("data:image/jpeg") == 4 * len(told["answers"])


def test_umap_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Embedded((Path("a"),) * 4, ("x",) * 4, np.ones((4, 2), np.float32))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"pocketvision\[umap\]"):
        umap_places(few)
    monkeypatch.setitem(sys.modules, "umap", ModuleType("umap"))
    with pytest.raises(UsageError, match="10 pictures or more; here are 4"):
        umap_places(few)
