import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import segmenter
from colour_segmenter import write_pictures as coloured_pictures
from PIL import Image
from scipy.stats import binomtest
from square_detector import LABELS, detector
from square_detector import write_pictures as square_pictures

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.cli.verbs import run_verb
from pocketvision.data.learned_from import SAME, UNSEEN, Matches
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.answering import answer_all
from pocketvision.evaluation.report.versus_page import render_versus
from pocketvision.evaluation.versus import compare_passes
from pocketvision.runtime.predictor import Predictor
from pocketvision.statistics import mcnemar
from pocketvision.tasks.comparing import MEASURED
from pocketvision.workflows.compare import compare

COLOURS = {"red": (220, 60, 40), "green": (60, 200, 50), "파랑": (50, 40, 220)}


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Ten pictures of each class; of green two look red. Grey, with alpha, and smaller than the input some of them."""
    for name, colour in COLOURS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            shown = COLOURS["red"] if name == "green" and number < 2 else colour
            Image.new("RGB", (6 if number == 3 else 24, 20 + number), shown).save(
                tmp_path / "data" / name / f"{number}.png"
            )
    Image.new("RGBA", (20, 20), (*COLOURS["red"], 255)).save(tmp_path / "data" / "red" / "4.png")
    return tmp_path / "data"


@pytest.fixture
def blind_bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """Another one that takes every blue for red: the channels of its mean and deviation are chosen so."""
    pixels = replace(tiny_bundle.preprocessing, mean=(0.5, 0.5, 5.0))
    return rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, preprocessing=pixels), folder=tmp_path / "blind")


@pytest.mark.parametrize(("one", "other"), [(0, 0), (1, 5), (10, 12), (40, 90), (3, 0)])
def test_the_test_of_mcnemar_is_the_binomial_one(one: int, other: int) -> None:
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == mcnemar(other, one) == pytest.approx(expected)


def test_the_better_model_wins_and_the_pictures_are_shown(
    tiny_bundle: Bundle, blind_bundle: Bundle, colours: Path, tmp_path: Path
) -> None:
    found = compare(blind_bundle.folder, tiny_bundle.folder, colours, out=tmp_path / "out")
    duel = found.first
    pairs = duel.pairs
    assert pairs is not None and (pairs.both, pairs.only_a, pairs.only_b, pairs.neither) == (18, 0, 10, 2)
    assert duel.winner == "B" and duel.significant and duel.gain == pytest.approx(100 * 10 / 30)
    assert duel.interval is not None and duel.interval.low > 0
    assert duel.better_on == {"A": 0, "B": 10} and {each.better for each in duel.differences} == {"B"}
    assert all(each.path.startswith("파랑/") and each.b == "" for each in duel.differences)
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert (
        page.count("<img src=") == 10 and "B is better" in page and "http" not in page.replace("http://www.w3.org", "")
    )
    told = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert told["tasks"]["classification"]["mcnemar"]["p"] == mcnemar(0, 10)
    assert told == json.loads(json.dumps(found.to_dict()))


def test_images_that_both_learned_from_are_called_so(tiny_bundle: Bundle, blind_bundle: Bundle, colours: Path) -> None:
    """Of some, the others are compared; of all, the figures are told with a warning."""
    samples = read_samples(colours)
    passes = [answer_all(Predictor(each, detail=MEASURED), samples) for each in (tiny_bundle, blind_bundle)]

    def learned(rows: list[int]) -> Matches:
        kinds = np.full(len(samples), UNSEEN, np.int8)
        kinds[rows] = SAME
        return Matches(kinds, np.where(kinds == SAME, 0, -1).astype(np.int8))

    for first, second, left_out, all_of_them in (
        ([0, 1], [1, 2], 3, False),
        (list(range(20)), list(range(15, 30)), 0, True),
        (list(range(30)), [], 0, True),
    ):
        seen = [learned(first), learned(second)]
        found = compare_passes(("A", "B"), (passes[0], passes[1]), samples, seen=seen)
        assert (found.left_out, found.learned, found.to_dict()["learned"]) == (left_out, all_of_them, all_of_them)
        page = render_versus(found, (Predictor(tiny_bundle), Predictor(blind_bundle)), samples.root)
        assert ("the figures flatter" in page) == all_of_them


def test_no_difference_is_not_called_one(tiny_bundle: Bundle, colours: Path, tmp_path: Path) -> None:
    other = rewrite_bundle(tiny_bundle, tiny_bundle.manifest, folder=tmp_path / "same")
    found = compare(tiny_bundle.folder, other.folder, colours).first
    assert found.winner is None and not found.significant and found.differences == ()
    assert found.verdict.startswith("No difference is shown: accuracy 93.3% of A and 93.3% of B, B − A +0.00 points")


def test_the_exit_code_says_whether_the_second_is_worse(
    tiny_bundle: Bundle, blind_bundle: Bundle, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(tiny_bundle.folder), str(blind_bundle.folder), str(colours)]
    assert run_verb(["compare", *pair]) == 0
    assert "A is better" in capsys.readouterr().out
    assert run_verb(["compare", *pair, "--require", "not-worse"]) == 1
    capsys.readouterr()
    assert run_verb(["compare", pair[1], pair[0], pair[2], "--require", "better", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["classification"]["winner"] == "B"
    with pytest.raises(UsageError, match="Did you mean better"):
        run_verb(["compare", *pair, "--require", "beter"])


def test_models_that_can_not_be_compared_are_refused(tiny_bundle: Bundle, colours: Path, tmp_path: Path) -> None:
    task = replace(tiny_bundle.task, labels=("red", "green", "blue"))
    other = replace(tiny_bundle.manifest, tasks={"classification": task})
    rewrite_bundle(tiny_bundle, other, folder=tmp_path / "other")
    with pytest.raises(UsageError, match="two different"):
        compare(tiny_bundle.folder, tiny_bundle.folder, colours)
    with pytest.raises(UsageError, match="파랑"):
        compare(tmp_path / "other", tiny_bundle.folder, colours)


def test_masks_are_compared_by_a_paired_bootstrap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = segmenter(tmp_path / "one")
    pixels = replace(one.preprocessing, mean=(0.0, 0.0, 0.4))  # blue is often missed
    other = rewrite_bundle(one, replace(one.manifest, preprocessing=pixels), folder=tmp_path / "other")
    coloured_pictures(tmp_path / "data", 12)
    folders = [str(each.folder) for each in (other, one)]
    assert run_verb(["compare", *folders, str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--lang", "ko"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    told = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))["tasks"]["segmentation"]
    test, (low, high) = told["paired_bootstrap"], told["interval"]
    assert (told["winner"], told["mcnemar"]) == ("B", None) and 0 < low < told["gain"] < high
    assert told["p"] == test["p"] == pytest.approx(2 / (test["resamples"] + 1))
    assert f"paired bootstrap p = {told['p']:.2g}" in said
    assert f"양측 p = {told['p']:.2g}(1000번 재추출)" in (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")


def test_boxes_are_compared_by_a_paired_bootstrap(tmp_path: Path) -> None:
    one = detector(tmp_path / "one")
    pixels = replace(one.preprocessing, mean=(0.0, 0.0, 1.0))  # blue is not seen
    other = rewrite_bundle(one, replace(one.manifest, preprocessing=pixels), folder=tmp_path / "other")
    cells = [[(0, number % 4, 1), (1, (number + 1) % 4, 2)] for number in range(12)]
    truth = square_pictures(tmp_path / "pictures", cells)
    rows = ["path,label,x1,y1,x2,y2"]
    for number in range(12):
        row = truth.rows.row(number)
        rows += [
            f"{number}.png,{LABELS[place]},{','.join(f'{side:g}' for side in box)}"
            for place, box in zip(row["classes"].tolist(), row["boxes"].tolist(), strict=True)
        ]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    found = compare(other.folder, one.folder, tmp_path / "boxes.csv", images=tmp_path / "pictures").first
    assert found.winner == "B" and found.test is not None and found.p == pytest.approx(2 / 1001)
    assert found.gain == pytest.approx(50) and "paired bootstrap p = 0.002" in found.verdict
    same = rewrite_bundle(one, one.manifest, folder=tmp_path / "same")
    level = compare(one.folder, same.folder, tmp_path / "boxes.csv", images=tmp_path / "pictures").first
    assert (level.winner, level.p, level.significant) == (None, 1.0, False)
