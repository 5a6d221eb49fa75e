"""`--backend auto`: which of two made-up backends is chosen by a clock of the test's own, and when it is measured anew."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.runtime import choice
from pocketvision.runtime.backends import BACKENDS, Backend, BackendRow, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.choice import Choice, choose
from pocketvision.runtime.predictor import Predictor

Open = Callable[[Bundle, str, int, str], Backend]


class Rows:
    """A table of made-up backends. Only what they run moves the clock; `calls` tells the batches that each was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: dict[str, list[int]] = {}
        self.threads: list[int] = []
        for name in list(BACKENDS):
            monkeypatch.delitem(BACKENDS, name)
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(choice, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def add(self, name: str, seconds: float, *, error: Exception | None = None, module: str = "numpy") -> None:
        """seconds: what an image takes; the first call ten times that. error: raised when it runs."""
        rows, calls = self, self.calls.setdefault(name, [])

        class Fake:
            size = (16, 16)
            classes = 3

            def run(self, images: NDArray[np.float32]) -> Outputs:
                if error is not None:
                    raise error
                rows.now += seconds * len(images) * (1 if calls else 10)
                calls.append(len(images))
                return {output: np.full((len(images), 3), 1 / 3, np.float32) for output in ("logits", "probabilities")}

        def open_fake(bundle: Bundle, file: str, threads: int, device: str) -> Backend:
            assert bundle.path(file).is_file() and device == "cpu"
            self.threads.append(threads)
            return Fake()

        self.put(name, open_fake, module)

    def put(self, name: str, open_it: Open, module: str = "numpy") -> None:
        self._monkeypatch.setitem(BACKENDS, name, BackendRow(("model.onnx",), open_it, module, "extra"))

    @property
    def count(self) -> int:
        return sum(map(len, self.calls.values()))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rows:
    """No backends yet, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Rows(monkeypatch)


@pytest.mark.parametrize(("one", "other", "best"), [(1 / 64, 1 / 16, "one"), (1 / 16, 1 / 64, "other")])
def test_the_faster_one_is_chosen(one: float, other: float, best: str, rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("one", one)
    rows.add("other", other)
    found = choose(tiny_bundle, threads=3)
    assert found == Choice(best, {"one": 1 / one, "other": 1 / other}, {})
    assert set(rows.threads) == {3}


def test_it_runs_batches_for_the_seconds_after_one_that_is_not_counted(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("one", 1 / 64)
    choose(tiny_bundle, batch=8, seconds=2)
    assert rows.calls["one"] == [8] * (1 + 16)


def test_the_second_time_nothing_runs(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("one", 1 / 64)
    rows.add("other", 1 / 16, error=BundleError("no such operator"))
    first, ran = choose(tiny_bundle), rows.count
    assert choose(tiny_bundle) == first and rows.count == ran > 0
    assert choose(replace(tiny_bundle, folder=tiny_bundle.folder)) == first and rows.count == ran


def other_weights(bundle: Bundle) -> Bundle:
    file = bundle.manifest.files["model.onnx"]
    files = {**bundle.manifest.files, "model.onnx": replace(file, sha256=file.sha256[::-1])}
    return replace(bundle, manifest=replace(bundle.manifest, files=files))


def test_another_bundle_is_measured_anew(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("one", 1 / 64)
    choose(tiny_bundle)
    ran = rows.count
    choose(other_weights(tiny_bundle))
    assert rows.count == 2 * ran


def test_other_threads_batches_machines_and_versions_are_measured_anew(
    rows: Rows, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.add("one", 1 / 64)
    choose(tiny_bundle, threads=1)
    for again in (
        lambda: choose(tiny_bundle, threads=2),
        lambda: choose(tiny_bundle, threads=1, batch=1),
        lambda: monkeypatch.setattr(choice, "version", lambda _: "99.0") or choose(tiny_bundle, threads=1),
        lambda: monkeypatch.setattr(choice.platform, "node", lambda: "elsewhere") or choose(tiny_bundle, threads=1),
    ):
        ran = rows.count
        again()
        assert rows.count > ran


def test_one_that_can_not_be_opened_is_listed(rows: Rows, tiny_bundle: Bundle) -> None:
    def broken(*_: object) -> Backend:
        raise BundleError("model.onnx: no such operator")

    def absent(*_: object) -> Backend:
        raise ImportError("libnothing.so")

    rows.put("broken", broken)
    rows.put("absent", absent)
    rows.add("one", 1 / 64)
    found = choose(tiny_bundle)
    assert found.backend == "one" and found.images_per_second.keys() == {"one"}
    assert found.failed.keys() == {"broken", "absent"}
    assert "no such operator" in found.failed["broken"] and "libnothing.so" in found.failed["absent"]


@pytest.mark.parametrize(
    "error", [UsageError("no such device"), RuntimeError("no such device")], ids=["ours", "theirs"]
)
def test_one_that_breaks_while_it_runs_is_listed(error: Exception, rows: Rows, tiny_bundle: Bundle) -> None:
    """Runtimes raise errors of their own."""
    rows.add("broken", 1 / 64, error=error)
    rows.add("one", 1 / 16)
    found = choose(tiny_bundle)
    assert found.backend == "one" and "no such device" in found.failed["broken"]


def test_when_none_runs_the_reasons_are_reported(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("broken", 1 / 64, error=BundleError("no such operator"))
    with pytest.raises(BundleError, match=r"tiny_bundle: no installed backend runs it: .*broken.*no such operator"):
        choose(tiny_bundle)
    rows.add("broken", 1 / 64)
    assert choose(tiny_bundle).backend == "broken", "a failure is not remembered"


def test_without_a_file_for_any_that_is_reported(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.put("phone", open_backend)  # type: ignore[arg-type]
    BACKENDS["phone"] = replace(BACKENDS["phone"], files=("model.pte",))
    with pytest.raises(BundleError, match="it has no file for any"):
        choose(tiny_bundle)


def test_what_is_not_installed_or_compiles_is_not_tried(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("absent", 1 / 999, module="no_such_module_at_all")
    rows.add("torch-compiled", 1 / 999)
    rows.add("one", 1 / 64)
    assert choose(tiny_bundle) == Choice("one", {"one": 64}, {})
    assert not rows.calls["absent"] and not rows.calls["torch-compiled"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"backend": "one"}', '{"backend": 1, "more": 2}', "\x00"])
def test_a_damaged_memory_is_measured_anew(content: str, rows: Rows, tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows.add("one", 1 / 64)
    first, ran = choose(tiny_bundle), rows.count
    (remembered,) = (each for each in (tmp_path / "cache").rglob("*") if each.is_file())
    remembered.write_text(content)
    assert choose(tiny_bundle) == first and rows.count == 2 * ran


def test_a_cache_that_can_not_be_written_costs_the_memory_only(rows: Rows, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """As in a container whose disk is read-only."""
    (tmp_path / "cache").write_text("a file where the folder would be")
    rows.add("one", 1 / 64)
    assert choose(tiny_bundle).backend == "one"


def test_a_predictor_takes_the_chosen_one(rows: Rows, tiny_bundle: Bundle) -> None:
    rows.add("slow", 1 / 16)
    rows.add("fast", 1 / 64)
    predictor = Predictor(tiny_bundle, backend="auto", threads=1)
    assert predictor.backend == "fast"
    before = {name: len(calls) for name, calls in rows.calls.items()}
    predictor(np.zeros((20, 20, 3), np.uint8))
    assert {name: len(calls) for name, calls in rows.calls.items()} == {**before, "fast": before["fast"] + 1}
