"""The cache holds what heads ask for: pooled features of any stage, the cut, a pyramid; one pass computes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketvision.models.features import Feature
from pocketvision.models.heads import catalog
from pocketvision.models.heads.head import Head, HeadSpec
from pocketvision.models.network import Network
from pocketvision.training.inputs import CachedInputs, ImageViews, PlainInputs
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import TrunkRuntime, compile_trunk, trunk_layouts

CUT = 2
LEVELS = ("stride2", "pool:stage0", "stride4", "stride8", "pool:stage2", "pooled")
ROWS = [(0, 0), (7, 1), (5, 0), (7, 0)]


class Sums(nn.Module):
    """A number from every feature."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del classes, dropout
        self.weight = nn.Parameter(torch.ones(len(features)))

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        sums = torch.stack([features[name].flatten(1).sum(1) for name in LEVELS], 1)
        return {"sum": sums @ self.weight}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        del postprocessing
        return dict(outputs)


@pytest.fixture
def levels(network: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    """The tiny network with a head that reads a pyramid and pooled features, on both sides of the cut, beside its classifier."""
    monkeypatch.setitem(catalog.HEADS, "sums", Head("sums", "sums", LEVELS, ("sum",), Sums))
    network.set_heads({"sums": HeadSpec("sums", 1), "classification": HeadSpec("linear", 3)})
    return network.eval()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def cached(network: Network, images: ImageViews, folder: Path, compiled: Path) -> CachedInputs:
    names = network.features_read
    trunk, tail = (
        TrunkCache(folder, fingerprint="levels", layouts=layouts)
        for layouts in trunk_layouts(network, CUT, names, height=32, width=32)
    )
    runtime = compile_trunk(network, CUT, names, height=32, width=32, folder=compiled, threads=1)
    return CachedInputs(images, trunk, tail, runtime, views=3)


def test_a_pyramid_and_pooled_features_are_those_of_the_network(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path
) -> None:
    inputs = cached(levels, images, tmp_path, compiled)
    found = next(inputs.batches(LEVELS, [ROWS]))
    assert list(found) == list(LEVELS)
    with torch.no_grad():
        pixels = torch.from_numpy(np.concatenate([images.load([row]) for row in ROWS]))
        expected = levels.features(pixels, LEVELS)
    for name in LEVELS:
        assert found[name].dtype == torch.float32
        close = 1e-4 if expected[name].ndim == 2 else 2e-3  # maps are kept in half precision
        torch.testing.assert_close(found[name], expected[name], rtol=close, atol=close)
    again = next(cached(levels, images, tmp_path, compiled).batches(LEVELS, [ROWS]))  # from disk
    assert all(torch.equal(found[name], again[name]) for name in LEVELS)


def test_what_lies_below_the_cut_is_kept_beside_it(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path
) -> None:
    inputs = cached(levels, images, tmp_path, compiled)
    below = ["stride2", "pool:stage0"]
    kept = next(inputs.batches(["cut", *below], [ROWS]))
    with torch.no_grad():
        pixels = torch.from_numpy(np.concatenate([images.load([row]) for row in ROWS]))
        expected = levels.outputs(pixels)["sums.sum"]
        found = levels.on_features(levels.above(kept, CUT, levels.features_read))["sums"]["sum"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)
    assert inputs.views(["cut", *below]) == 3
    assert inputs.views(["pooled"]) == 1  # the tail's forward pass is not for every view
    assert inputs.views(LEVELS) == 3  # but of maps, which tell where objects lie


def test_each_graph_runs_once_a_batch(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    for name in ("trunk", "tail"):
        run = getattr(TrunkRuntime, name)
        monkeypatch.setattr(
            TrunkRuntime, name, lambda *given, run=run, name=name: (passes.append(name), run(*given))[1]
        )
    inputs = cached(levels, images, tmp_path, compiled)
    next(inputs.batches(["cut", "stride2"], [[(sample, 1) for sample in range(40)]]))
    assert passes == ["trunk"] * 2  # of 32 rows, and what is left
    passes.clear()
    next(inputs.batches(LEVELS, [ROWS]))
    next(inputs.batches(["pooled"], [ROWS]))
    next(inputs.batches(["cut"], [ROWS]))
    assert passes == ["trunk", "tail"]


def test_rows_that_are_there_are_not_kept_twice(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path
) -> None:
    inputs = cached(levels, images, tmp_path, compiled)
    inputs.fill(["cut"], ROWS[:2])
    assert inputs.fill(["pooled"], ROWS) == 4
    trunk, tail = (
        TrunkCache(tmp_path, fingerprint="levels", layouts=layouts)
        for layouts in trunk_layouts(levels, CUT, levels.features_read, height=32, width=32)
    )
    assert len(trunk) == len(tail) == 4
    for cache in (trunk, tail):
        written = sum(path.stat().st_size - 4096 for path in cache.folder.glob("*.segment"))
        assert written == 4 * cache.row_bytes


def test_a_map_that_is_what_lies_at_the_cut_is_not_kept_beside_it(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path
) -> None:
    kept = [each.name for own in trunk_layouts(levels, CUT, levels.features_read, height=32, width=32) for each in own]
    assert levels.at_cut(LEVELS, CUT) == ("stride4",)
    assert sorted(kept) == sorted({"cut", *LEVELS} - {"stride4"})
    inputs = cached(levels, images, tmp_path, compiled)
    assert inputs.views(["stride4"]) == inputs.views(["cut"]) == 3
    both = next(inputs.batches(["cut", "stride4"], [ROWS]))
    assert torch.equal(both["cut"], both["stride4"])


def test_other_features_are_another_cache(levels: Network, tmp_path: Path) -> None:
    def folders(names: list[str]) -> list[str]:
        layouts = trunk_layouts(levels, CUT, names, height=32, width=32)
        return [TrunkCache(tmp_path, fingerprint="levels", layouts=each).folder.name for each in layouts]

    one, other = folders(["pooled"]), folders(["stage0", "pooled"])
    assert one[0] != other[0] and one[1] == other[1]
    assert folders(["pooled", "head_conv"])[1] != one[1]


def test_classification_keeps_the_cut_and_pooled_features_alone(network: Network) -> None:
    trunk, tail = trunk_layouts(network, CUT, network.features_read, height=32, width=32)
    assert [(layout.name, layout.shape, layout.dtype) for layout in (*trunk, *tail)] == [
        ("cut", (16, 8, 8), "float16"),
        ("pooled", (48,), "float32"),
    ]


def test_without_a_feature_above_the_cut_there_is_no_tail(network: Network, images: ImageViews, tmp_path: Path) -> None:
    runtime = compile_trunk(network, CUT, ["stage0"], height=32, width=32, folder=tmp_path, threads=1)
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["trunk.onnx"]
    found = runtime.trunk(images.load([(0, 0)]))
    assert {name: array.shape for name, array in found.items()} == {"cut": (1, 16, 8, 8), "stage0": (1, 8, 16, 16)}
    with pytest.raises(ValueError, match="no feature above the cut"):
        runtime.tail(found["cut"])


def test_the_plain_way_gives_the_same_features(
    levels: Network, images: ImageViews, tmp_path: Path, compiled: Path
) -> None:
    names = ["cut", *LEVELS]
    plain = next(PlainInputs(images, levels, CUT).batches(names, [ROWS]))
    by_cache = next(cached(levels, images, tmp_path, compiled).batches(names, [ROWS]))
    assert list(plain) == list(by_cache) == names
    for name in names:
        torch.testing.assert_close(by_cache[name], plain[name], rtol=2e-3, atol=2e-3)
