import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.cli.verbs import run_verb
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.answering import answer_all
from pocketvision.evaluation.corruptions import CORRUPTIONS
from pocketvision.evaluation.evaluate import evaluate_pass
from pocketvision.evaluation.further import ROBUSTNESS, with_further
from pocketvision.evaluation.robustness import Robustness
from pocketvision.evaluation.slices import LEAST, Slice, Slices, _divided
from pocketvision.evaluation.versus import require_comparable
from pocketvision.runtime.predictor import Predictor
from pocketvision.statistics import Headline
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.workflows.compare import compare
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.threshold import threshold

COLOURS = {"red": (220, 60, 40), "green": (60, 200, 50), "파랑": (50, 40, 220)}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve pictures of each class with the place where each was taken; all that were taken indoors look blue."""
    rows = []
    for name, colour in COLOURS.items():
        for number in range(12):
            indoors = number < 4
            file = f"{name}{number}.png"
            shown = COLOURS["파랑"] if indoors else colour
            Image.new("RGB", (40 if number % 2 else 10, 30), shown).save(tmp_path / file)
            rows.append((file, name, "indoors" if indoors else "outdoors"))
    with (tmp_path / "images.csv").open("w", encoding="utf-8", newline="") as written:
        csv.writer(written).writerows([("path", "label", "place"), *rows])
    return tmp_path / "images.csv"


def test_what_is_undefined_on_worse_pictures_is_not_zero() -> None:
    clean = {"classification": Headline("accuracy", 0.9)}
    half, none = (Headline("accuracy", 0.5), None), (None, None)
    found = Robustness(10, clean, {"classification": {"blur": half, "noise": none}}, {})
    assert found.text.endswith("50.0% on average of all corruptions; blur hurts most (50.0%)")
    assert Robustness(10, clean, {"classification": {"noise": none}}, {}).text.endswith(
        "undefined on all that were made worse"
    )


def test_slices_robustness_and_views(
    tiny_bundle: Bundle, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, views = str(tiny_bundle.folder), ["--tta", "hflip,five_crop", "--json", str(tmp_path / "views.json")]
    arguments = ["evaluate", bundle, str(table), "--slices", "place", "--robustness", "--out", str(tmp_path / "out")]
    assert run_verb([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    assert run_verb(["evaluate", bundle, str(table), *views]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    worst = found["slices"]["worst"]
    assert (worst["column"], worst["slice"], worst["images"]) == ("place", "indoors", 12)
    assert worst["value"] == pytest.approx(4 / 12) and worst["interval"][0] < 4 / 12 < worst["interval"][1]
    assert (
        "Worst slice: place = indoors, accuracy 33.3%" in said
        and "chance" not in said.partition("Worst")[2].partition("\n")[0]
    )
    columns = {each["column"] for each in found["slices"]["slices"]}
    assert columns == {"place", "picture size", "brightness"}
    tried = found["robustness"]["tasks"]["classification"]["corruptions"]
    assert list(tried) == list(CORRUPTIONS) and all(len(each["values"]) == 5 for each in tried.values())
    assert tried["crop"]["values"] == [found["accuracy"]] * 5  # a crop changes no mean of one colour
    gain = json.loads((tmp_path / "views.json").read_text(encoding="utf-8"))["views"]
    assert gain["runs"] == 12 and gain["tasks"]["classification"]["gain"] == 0
    assert "12 runs an image" in said
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (
        'id="slices"' in page and 'id="robustness"' in page and (tmp_path / "out" / "plots" / "robustness.png").exists()
    )


def test_what_can_not_be_done_is_said(tiny_bundle: Bundle, table: Path) -> None:
    with pytest.raises(UsageError, match="place"):
        evaluate(tiny_bundle.folder, table, slices=["plaze"])
    with pytest.raises(UsageError, match="CSV or TSV"):
        evaluate(tiny_bundle.folder, _folders(table), slices=["place"])
    with pytest.raises(UsageError, match="hflip"):
        evaluate(tiny_bundle.folder, table, tta=["hflop"])


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a picture fails."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a picture was read")

    for module in ("evaluate", "threshold"):
        monkeypatch.setattr(f"pocketvision.workflows.{module}.seen_before", read)
    monkeypatch.setattr(Predictor, "stream", read)


@pytest.mark.usefixtures("no_work")
def test_what_can_not_be_done_is_said_before_any_picture_is_read(
    tiny_bundle: Bundle, table: Path, tmp_path: Path
) -> None:
    task = replace(tiny_bundle.tasks["classification"], labels=("red", "green", "violet"))
    other = replace(tiny_bundle.manifest, tasks={"classification": task})
    rewrite_bundle(tiny_bundle, other, folder=tmp_path / "other")
    with pytest.raises(UsageError, match="hflip"):
        evaluate(tiny_bundle.folder, table, tta=["hflop"])
    with pytest.raises(UsageError, match="place"):
        evaluate(tiny_bundle.folder, table, slices=["plaze"])
    with pytest.raises(UsageError, match="violet"):
        compare(tiny_bundle.folder, tmp_path / "other", table)
    with pytest.raises(UsageError, match="no task in common"):
        require_comparable(("A", "B"), ({"a": task}, {"a": replace(task, kind="tags")}))
    for share in (0.0, 1.0, 1.5):
        with pytest.raises(UsageError, match=r"--coverage is .*between 0 and 1"):
            threshold(tiny_bundle.folder, table, coverage=share)
        with pytest.raises(UsageError, match=r"--none-of-these is .*between 0 and 1"):
            threshold(tiny_bundle.folder, table, none_of_these=share)


def test_robustness_is_of_the_images_that_are_measured(tiny_bundle: Bundle, table: Path) -> None:
    """Not of those that are left out because the model learned from them."""
    samples, options = read_samples(table), MeasureOptions()
    found = answer_all(Predictor(tiny_bundle, detail=MEASURED), samples)
    evaluation = evaluate_pass(found, samples)
    some = replace(evaluation, paths=evaluation.paths[:5])
    further = with_further(some, Predictor(tiny_bundle, detail=MEASURED), samples, found, options, robustness=200)
    assert further.further[ROBUSTNESS].to_dict()["images"] == 5


def _folders(table: Path) -> Path:
    for name in COLOURS:
        (table.parent / "folders" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20), COLOURS[name]).save(table.parent / "folders" / name / "1.png")
    return table.parent / "folders"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "", "a"], ["a", "b", "(empty)", "a"]),
        (["1", "2", "1"], ["1", "2", "1"]),
        ([str(each) for each in range(40)], None),
    ],
)
def test_numbers_of_many_values_are_cut_into_quarters(values: Sequence[str], expected: Sequence[str] | None) -> None:
    found = _divided(values)
    if expected is not None:
        assert found == expected
    else:
        assert [found.count(each) for each in sorted(set(found))] == [10, 10, 10, 10]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_and_says_where_things_go(name: str) -> None:
    """A bright square is where the matrix says it is, and the picture is the less like itself the higher the severity."""
    pixels = np.full((90, 120, 3), 60, np.uint8)
    pixels[20:40, 70:90] = 200
    image, apart = Image.fromarray(pixels), []
    corruption = CORRUPTIONS[name]
    for strength in corruption.strengths:
        made, matrix = corruption.make(image, strength, np.random.default_rng(0))
        values = np.asarray(made.convert("L"), np.float32)
        x, y, _ = matrix @ [80, 30, 1]
        inside = values[round(y) - 4 : round(y) + 4, round(x) - 4 : round(x) + 4]
        assert inside.mean() > values.mean() + 10
        apart.append(float(np.abs(np.asarray(made.resize(image.size), np.float32) - pixels).mean()))
    assert apart == sorted(apart) and len(set(apart)) == 5


def test_no_slice_is_the_worst_that_is_not_below_the_whole() -> None:
    def part(value: float, images: int = LEAST) -> Slice:
        return Slice("classification", "place", f"{value}", images, Headline("accuracy", value))

    whole = {"classification": Headline("accuracy", 0.5)}
    none = Slices((part(0.5), part(0.6), part(0.1, LEAST - 1)), whole)
    assert (
        none.worst is None
        and none.text == f"No slice of {LEAST} images or more is below the whole, so none is called the worst."
    )
    found = Slices((part(0.5), part(0.4), part(0.3)), whole)
    assert found.worst is not None and found.worst.value == "0.3" and found.text.startswith("Worst slice: place = 0.3")
    assert "No slice has" in Slices((part(0.1, LEAST - 1),), whole).text
