"""The trunk cache: rows come back, damage is found, a stale cache is never used, a full disk is reported."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pocketvision.errors import TrainingError
from pocketvision.training import trunk_cache
from pocketvision.training.trunk_cache import FeatureLayout, TrunkCache, row_key

LAYOUTS = [FeatureLayout("cut", (4, 2, 2), "float16"), FeatureLayout("pooled", (6,), "float32")]


def keys(count: int) -> list[bytes]:
    return [row_key(bytes([index]), b"view") for index in range(count)]


def features(count: int, batch: int = 7) -> Iterator[dict[str, np.ndarray]]:
    """Rows whose values tell their index."""
    for start in range(0, count, batch):
        rows = np.arange(start, min(start + batch, count), dtype=np.float32)
        yield {
            "cut": np.broadcast_to(rows[:, None, None, None], (len(rows), 4, 2, 2)),
            "pooled": np.broadcast_to(rows[:, None], (len(rows), 6)),
        }


def filled(folder: Path, count: int = 20) -> TrunkCache:
    cache = TrunkCache(folder, fingerprint="a", layouts=LAYOUTS)
    fill(cache, count)
    return cache


def fill(cache: TrunkCache, count: int) -> None:
    done = 0
    for batch in features(count):
        rows = len(batch["pooled"])
        cache.add(keys(count)[done : done + rows], batch)
        done += rows
    cache.flush()


def test_rows_come_back_from_memory_and_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_cache, "SEGMENT_ROWS", 8)
    first = filled(tmp_path)
    again = TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS)
    wanted = [keys(20)[index] for index in (19, 0, 7, 7, 8)]
    for cache in (first, again):
        assert len(cache) == 20
        assert cache.read(wanted, "pooled")[:, 0].tolist() == [19, 0, 7, 7, 8]
        assert cache.read(wanted, "cut").dtype == np.float16
        assert cache.read(wanted, "cut")[:, 3, 1, 1].tolist() == [19, 0, 7, 7, 8]
    assert len(list(again.folder.glob("*.segment"))) > 1


def test_large_rows_are_written_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS).row_bytes
    monkeypatch.setattr(trunk_cache, "SEGMENT_BYTES", 8 * row)
    assert len(list(filled(tmp_path).folder.glob("*.segment"))) > 1


def test_a_cache_reports_what_it_holds(tmp_path: Path) -> None:
    cache = filled(tmp_path, 3)
    assert [key in cache for key in keys(5)] == [True, True, True, False, False]


def test_another_fingerprint_or_layout_is_another_cache(tmp_path: Path) -> None:
    filled(tmp_path)
    assert len(TrunkCache(tmp_path, fingerprint="b", layouts=LAYOUTS)) == 0
    assert len(TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS[:1])) == 0


@pytest.mark.parametrize("damage", ["flip a bit", "cut short", "no header", "empty"])
def test_a_damaged_segment_is_removed_and_computed_anew(tmp_path: Path, damage: str) -> None:
    (segment,) = filled(tmp_path).folder.glob("*.segment")
    content = bytearray(segment.read_bytes())
    if damage == "flip a bit":
        content[-3] ^= 1
    elif damage == "cut short":
        content = content[:-1]
    elif damage == "no header":
        content[:10] = b"x" * 10
    else:
        content = bytearray()
    segment.write_bytes(content)
    cache = TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS)
    assert cache.discarded == [segment]
    assert not segment.exists()
    assert len(cache) == 0
    fill(cache, 20)
    assert cache.read(keys(20), "pooled")[:, 5].tolist() == list(range(20))


def test_a_full_disk_is_an_error_that_keeps_what_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_cache, "SEGMENT_ROWS", 8)
    cache = TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS)
    written: list[Path] = []
    real = trunk_cache.replacing

    def full_after_one(path: Path):  # type: ignore[no-untyped-def]
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return real(path)

    monkeypatch.setattr(trunk_cache, "replacing", full_after_one)
    with pytest.raises(TrainingError, match=r"No space left on device.*--cache-dir.*--no-cache"):
        fill(cache, 40)
    survivors = TrunkCache(tmp_path, fingerprint="a", layouts=LAYOUTS)
    assert 0 < len(survivors) < 40
    assert not list(survivors.folder.glob(".*.part"))
