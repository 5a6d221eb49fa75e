"""benchmark: figures by hand, bundles of every task, an earlier run of this machine and of another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import segmenter
from square_detector import detector

from pocketvision.benchmarking.against import Change
from pocketvision.benchmarking.cold_start import answer_first
from pocketvision.benchmarking.contenders import Wanted, wanted_of
from pocketvision.benchmarking.figures import Benchmark, Timing, timing_of
from pocketvision.benchmarking.machine import Machine, this_machine
from pocketvision.benchmarking.rounds import ROUNDS
from pocketvision.benchmarking.settings import BenchmarkSettings
from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.errors import BundleError, PocketVisionError, UsageError
from pocketvision.workflows.benchmark import benchmark

SHORT = BenchmarkSettings(("onnxruntime",), (1, 2), (1,), seconds=0.01, cold=False)
KEY = ("model", "16x16", "onnxruntime", 1, 4)


def timing(*rounds: list[float], batch: int = 4) -> Timing:
    return timing_of((*KEY[:-1], batch), [np.array(each) for each in rounds])


def test_figures_by_hand() -> None:
    found = timing([0.001, 0.003], [0.002, 0.002])
    assert (found.calls, found.mean, found.p50) == (4, pytest.approx(2), pytest.approx(2))
    assert found.sd == pytest.approx(np.std([1, 3, 2, 2], ddof=1))
    assert found.p90 == pytest.approx(np.percentile([1, 3, 2, 2], 90)) and found.p99 <= 3
    assert found.images_per_second == pytest.approx(4 * 4 / 0.008)
    assert found.rounds == pytest.approx((2, 2))


def test_scenarios_are_mlperfs() -> None:
    """SingleStream is the 90th percentile of single images; Offline the most images a second of any batch."""
    alone, many = timing([0.001, 0.002], batch=1), timing([0.002, 0.002], batch=8)
    found = Benchmark(this_machine(), (alone, many), (), {}, seconds=1.0)
    single, offline = found.scenarios
    assert (single.name, single.value, single.unit) == ("SingleStream", pytest.approx(1.9), "ms")
    assert (offline.name, offline.batch, offline.value) == ("Offline", 8, pytest.approx(4000))
    assert not single.official and not offline.official
    long_enough = timing([0.001] * 1024, batch=1)
    assert replace(found, timings=(long_enough,), seconds=60.0).scenarios[0].official


def test_bundles_of_every_task_are_timed_in_turns(shared_bundle: Bundle, tmp_path: Path) -> None:
    bundles = [shared_bundle.folder, detector(tmp_path / "boxes").folder, segmenter(tmp_path / "masks").folder]
    found = benchmark(bundles, SHORT, plot=tmp_path / "speed.svg").benchmark
    assert [(each.model, each.batch) for each in found.timings] == [(str(b), n) for b in bundles for n in (1, 2)]
    for each in found.timings:
        assert len(each.rounds) == ROUNDS and 0 < each.p50 <= each.p90 <= each.p95 <= each.p99
    assert len(found.scenarios) == 6
    assert "<svg" in (tmp_path / "speed.svg").read_text()


def test_a_new_process_answers_first(shared_bundle: Bundle) -> None:
    found = answer_first(shared_bundle.folder, "onnxruntime", 1, 4)
    assert found["first_answer"] > 0 and found["peak_memory"] >= found["memory_of_one"] > 1
    settings = replace(SHORT, batches=(1,), cold=True)
    (cold,) = benchmark([shared_bundle.folder], settings).benchmark.cold
    assert cold.first_answer > 0 and cold.peak_memory > 10 and cold.file_megabytes < 1


@pytest.mark.slow
def test_architectures_at_widths_and_sizes() -> None:
    found = benchmark(["small_cnn"], replace(SHORT, batches=(1,)), width=(0.35, 1), size=(32, 64)).benchmark
    assert [(each.model, each.size) for each in found.timings] == [
        ("small_cnn x0.35", "32x32"),
        ("small_cnn x0.35", "64x64"),
        ("small_cnn", "32x32"),
        ("small_cnn", "64x64"),
    ]


def test_widths_and_sizes_make_every_combination() -> None:
    found = wanted_of(["mobilenet_v2", "vit_tiny_16"], (), (32, 64))
    assert [(each.name, each.size) for each in found if isinstance(each, Wanted)] == [
        ("mobilenet_v2", 32),
        ("mobilenet_v2", 64),
        ("vit_tiny_16", 32),
        ("vit_tiny_16", 64),
    ]
    (narrow,) = wanted_of(["mobilenet_v2"], (0.5,), ())
    assert isinstance(narrow, Wanted) and narrow.rows.feature_channels() < 1280 + 1 and narrow.size == 224


def test_a_later_run_is_laid_beside_an_earlier_one(
    shared_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, folder = tmp_path / "before.json", str(shared_bundle.folder)
    common = ["--backends", "onnxruntime", "--batches", "1", "--threads", "1", "--seconds", "0.01", "--no-cold"]
    with pytest.raises(SystemExit):
        main(["benchmark", folder, *common, "--json", str(before)])
    with pytest.raises(SystemExit):
        main(["benchmark", folder, *common, "--against", str(before)])
    assert " → " in capsys.readouterr().out
    values = json.loads(before.read_text())
    values["machine"] |= {"cpu": "Another CPU", "versions": values["machine"]["versions"] | {"onnxruntime": "0.1"}}
    before.write_text(json.dumps(values))
    with pytest.raises(
        UsageError, match=r"another machine .* cpu was Another CPU and is .*; onnxruntime was 0\.1 and is"
    ):
        benchmark([folder], SHORT, against=before)


def test_a_difference_within_the_turns_is_noise() -> None:
    steady, slower = timing([0.001], [0.00101], [0.00099]), timing([0.002], [0.00201], [0.00199])
    wild = timing([0.001], [0.005], [0.0002])
    assert Change(slower, steady).clear and Change(slower, steady).ratio == pytest.approx(2)
    assert not Change(wild, steady).clear
    assert not Change(timing([0.001]), timing([0.002])).clear  # one turn says nothing of noise


def test_machines_are_told_apart() -> None:
    own = this_machine()
    own.require_same(Machine.from_dict(own.to_dict()), Path("run.json"))
    assert own.cores >= 1 and own.cpu and "onnxruntime" in own.versions
    with pytest.raises(UsageError, match=r"run\.json .*cores was 64 and is"):
        own.require_same(replace(own, cores=64), Path("run.json"))
    with pytest.raises(UsageError, match="numpy was absent"):
        own.require_same(replace(own, versions={k: v for k, v in own.versions.items() if k != "numpy"}), Path("a"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backends": ("onyxruntime",)}, r"Unknown backend 'onyxruntime'\. Did you mean onnxruntime"),
        ({"batches": (1, 0)}, "--batches is 1,0; expected numbers from 1"),
        ({"batches": ()}, "--batches is empty"),
        ({"threads": (0,)}, "--threads is 0"),
        ({"seconds": 0.0}, "--seconds is 0; expected a number above 0"),
        ({"seconds": float("nan")}, "--seconds is nan"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BenchmarkSettings(**settings)  # type: ignore[arg-type]


def test_wrong_contenders_are_refused(shared_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--width is for architectures"):
        benchmark([shared_bundle.folder], SHORT, width=(0.5,))
    with pytest.raises(UsageError, match="--size is for architectures"):
        benchmark([shared_bundle.folder], SHORT, size=(64,))
    with pytest.raises(UsageError, match="Unknown model 'mobilenet_v9'"):
        benchmark(["mobilenet_v9"], SHORT)
    with pytest.raises(UsageError, match=r"multipliers of the channels from 0\.1 to 8"):
        benchmark(["mobilenet_v2"], SHORT, width=(0.0,))
    with pytest.raises(UsageError, match="vit_tiny_16 is no table of them"):
        benchmark(["vit_tiny_16"], SHORT, width=(0.5,))
    with pytest.raises(UsageError, match="numbers of pixels from 8 to 4096"):
        benchmark(["mobilenet_v2"], SHORT, size=(4,))
    with pytest.raises(BundleError, match="no such folder"):
        benchmark([tmp_path / "nothing" / "bundle"], SHORT)
    with pytest.raises(PocketVisionError, match="no file for the torch backend"):
        benchmark([shared_bundle.folder], replace(SHORT, backends=("torch",)))


def test_wrong_files_are_refused_before_measuring(shared_bundle: Bundle, tmp_path: Path) -> None:
    endless = replace(SHORT, seconds=3600)
    for content in (None, "no json", "{}", '{"format_version": 1}', '{"format_version": 99}'):
        file = tmp_path / "earlier.json"
        if content is not None:
            file.write_text(content)
        with pytest.raises(UsageError, match=r"is no benchmark|is of format 99"):
            benchmark([shared_bundle.folder], endless, against=file)
    with pytest.raises(UsageError, match=r"ends in \.png or \.svg"):
        benchmark([shared_bundle.folder], endless, plot=tmp_path / "speed.jpg")
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", str(shared_bundle.folder), "--batches", "1,two"])
    assert ended.value.code == 2


def test_runs_without_anything_in_common_are_not_compared(shared_bundle: Bundle, tmp_path: Path) -> None:
    found = benchmark([shared_bundle.folder], replace(SHORT, batches=(1,)))
    (tmp_path / "one.json").write_text(json.dumps(found.to_dict()))
    with pytest.raises(UsageError, match="in common"):
        benchmark([shared_bundle.folder], replace(SHORT, batches=(2,)), against=tmp_path / "one.json")
