"""Which 8-bit candidate is taken: accurate enough first, then what every installation runs, then speed in both measures."""

import pytest

from pocketvision.compression.candidate import Candidate
from pocketvision.compression.selection import good_enough, relative_time, select
from pocketvision.compression.settings import Settings
from pocketvision.evaluation.latency import Latency
from pocketvision.statistics import paired_drop
from pocketvision.tasks.classification.comparison import ClassComparison as Comparison

ORT, ORT_INT8, VINO = Settings("onnxruntime"), Settings("onnxruntime", activations="int8"), Settings("openvino")


def compared(lost: int, gained: int, images: int) -> Comparison:
    return Comparison(
        images,
        1 - (lost + gained) / images,
        0.1,
        0.01,
        drop=100 * (lost - gained) / images,
        drop_interval=paired_drop(lost, gained, images),
    )


def candidate(settings: Settings, alone: float, batched: float, *, lost: int = 0, images: int = 2000) -> Candidate:
    """alone and batched: milliseconds of an image."""
    return Candidate(settings, compared(lost, 0, images), 1_000_000, Latency(alone, alone, 1e3 / batched))


def test_batches_count_as_much_as_single_images() -> None:
    slow_alone, slow_in_batches = candidate(ORT, 8, 2), candidate(ORT_INT8, 4, 5)
    assert relative_time(slow_alone) == pytest.approx(4)
    assert select([slow_alone, slow_in_batches], 0.5).candidate is slow_alone


@pytest.mark.parametrize(
    ("openvino", "taken", "said"),
    [
        (
            candidate(VINO, 4.2, 4.3),
            ORT,
            "openvino, fast bias correction takes 15% less time, and below 20%: what every installation",
        ),
        (candidate(VINO, 1, 12), ORT, "31% less time, but is slower at one of single images and batches"),
        (candidate(VINO, 2, 5), VINO, "37% less time than ONNX Runtime's fastest"),
        (candidate(VINO, 9, 9), ORT, "the fastest of 1 in ONNX Runtime that are surely within 0.5 points"),
    ],
    ids=["a little faster", "slower in batches", "much faster", "slower"],
)
def test_what_needs_an_extra_has_to_be_worth_it(openvino: Candidate, taken: Settings, said: str) -> None:
    found = select([candidate(ORT, 5, 5), openvino], 0.5)
    assert found.candidate.settings == taken
    assert said in found.reason


def test_asked_for_alone_it_is_taken() -> None:
    found = select([candidate(VINO, 9, 9)], 0.5)
    assert found.candidate.settings == VINO and found.reason == "the fastest of 1 surely within 0.5 points"


def test_surely_accurate_comes_before_fast() -> None:
    unsure = candidate(ORT, 1, 1, lost=4, images=1000)
    found = select([unsure, candidate(ORT_INT8, 5, 5)], 0.5)
    assert found.candidate.settings == ORT_INT8 and not unsure.comparison.is_sure(0.5)
    assert "as measured within 0.5 points" in select([unsure], 0.5).reason


def test_a_search_that_stopped_says_so() -> None:
    assert select([candidate(ORT, 5, 5)], 0.5, untried=5).reason == (
        "the first that is surely within 0.5 points; 5 more were not tried (--method all tries every one)"
    )


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        (compared(1, 1, 5000), True),  # surely
        (compared(20, 0, 5000), False),  # 0.4 points as measured, and 5000 images could tell surely
        (compared(0, 0, 100), True),  # nothing lost
        (compared(1, 3, 100), True),  # gained
        (compared(1, 0, 300), True),  # 300 images can never be sure of half a point
        (compared(2, 0, 300), False),  # too much
        (Comparison(50, 1.0, 0.1, 0.01), True),  # without labels, no answer changed
        (Comparison(50, 0.98, 0.1, 0.01), False),
    ],
)
def test_when_the_search_may_stop(found: Comparison, enough: bool) -> None:
    assert good_enough(found, 0.5) == enough
