import base64
import csv
import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pocketvision.data.audit import Audit
from pocketvision.data.finding import Finding
from pocketvision.data.inspection import inspect_images
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.evaluation import Evaluation, Unreadable
from pocketvision.evaluation.overlap import Overlap, Role
from pocketvision.evaluation.report import render
from pocketvision.evaluation.report.plots import pace_charts
from pocketvision.evaluation.report.record import AuditFinding, AuditSummary, RunRecord
from pocketvision.evaluation.report.render import render_report
from pocketvision.evaluation.report.write import write_report
from pocketvision.tasks.classification.report.report import PICTURES_IN_A_GROUP, PICTURES_SHOWN
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.tasks.reporting.charts import Look
from pocketvision.tasks.reporting.thumbnails import SIDE, thumbnail
from pocketvision.training.history import HISTORY_COLUMNS

MakeEvaluation = Callable[..., Evaluation]

PLOTS_OF_A_TASK = ("roc", "pr", "coverage", "probability_distribution", "calibration", "confusion_matrix")
CHARTS = ("rate", "seconds", "loss", "accuracy", "roc", "pr", "coverage", "probability_distribution", "calibration")
ALL_SECTIONS = {
    "evaluations",
    "confusion",
    "classes",
    "coverage",
    "mistakes",
    "curves",
    "calibration",
    "intervals",
    "learning",
    "recipe",
    "audit",
    "split",
    "bundle",
    "timings",
}
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """What a page holds: tags, ids, text, and everything it would load. Complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sections: set[str] = set()
        self.loads: list[str] = []
        self.anchors: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if identifier := values.get("id"):
            self.ids.append(identifier)
            if tag == "section":
                self.sections.add(identifier)
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            address = values.get(name) or ""
            (self.anchors if address.startswith("#") else self.loads).append(address)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with empty charts, for tests of what else they say: drawing takes most of the time."""
    monkeypatch.setattr(render, "page_charts", lambda *_: dict.fromkeys(CHARTS, "<svg></svg>"))


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_is_whole_and_loads_nothing(full_record: RunRecord, lang: str) -> None:
    html = render_report(full_record, lang)
    page = Page(html)
    assert page.sections == ALL_SECTIONS
    assert [address for address in page.loads if address and not address.startswith("data:")] == []
    assert "script" not in page.tags and "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert len(page.ids) == len(set(page.ids))
    assert {anchor[1:] for anchor in page.anchors if anchor} <= set(page.ids)
    assert f'<html lang="{lang}">' in html and html.startswith("<!doctype html>")
    assert page.tags.count("svg") == 9


def test_the_page_tells_what_matters(full_record: RunRecord) -> None:
    text = re.sub(r"\s+", " ", Page(render_report(full_record)).text)
    main = full_record.main
    assert main.name == "test"
    for expected in (
        f"{main.metrics.accuracy * 100:.1f}%",
        "untouched",
        "selection",
        "Epochs were capped.",
        "class_weights",
        "yes: 2",
        "Duplicates",
        "+20",
        "stage 2, epoch 1",
        "2.0e-06",
        "13.7 MB",
        "1 h 6 min",
        "pocketvision 0.1.0",
    ):
        assert expected in text, expected
    assert "None" not in text and "nan" not in text


def test_parts_without_data_are_left_out(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    record = RunRecord("photos", "today", (make_evaluation(name="data", role="given"),))
    page = Page(render_report(record))
    assert page.sections == {"confusion", "classes", "coverage", "mistakes", "curves", "calibration", "intervals"}
    write_report(tmp_path / "out", record)
    assert not (tmp_path / "out" / "history.csv").exists()
    assert not (tmp_path / "out" / "plots" / "learning_curves.png").exists()


@pytest.mark.parametrize("lang", [pytest.param("en", marks=pytest.mark.slow), "ko"])
def test_names_from_data_are_text_everywhere(make_evaluation: MakeEvaluation, tmp_path: Path, lang: str) -> None:
    names = ("<script>alert(1)</script>", "$x_{1}$ & {braces} %s", '"고양이" 😀')
    record = RunRecord(
        title="<img src=x>",
        created="<b>",
        evaluations=(make_evaluation(names), make_evaluation(names, name="<i>set</i>")),
        recipe={"<u>": "<s>"},
        notes=("<em>",),
    )
    html = render_report(record, lang)
    page = Page(html)
    assert not {"script", "b>", "i>", "u", "em", "s"} & set(page.tags) - {"i", "b"}
    assert "<script" not in html and "<img src=x" not in html and "<i>set" not in html and "<em>" not in html
    for expected in (*names, "<img src=x>", "<em>", "<i>set</i>"):
        assert expected in page.text, expected
    write_report(tmp_path / "out", record, lang)


def test_files_are_written_whole_and_hold_the_same_figures(full_record: RunRecord, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_report(out, full_record) == out / "report.html"
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["accuracy"] == full_record.main.metrics.accuracy
    assert set(metrics["evaluations"]) == {"validation", "test"} and metrics["evaluations"]["validation"]["selection"]
    assert metrics["chosen"]["val_loss"] == 0.4
    assert metrics["coverage"][0] == {
        "threshold": 0.0,
        "answered": metrics["images"],
        "right": metrics["images"] - metrics["mistake_count"],
        "coverage": 1.0,
        "accuracy": metrics["accuracy"],
    }
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HISTORY_COLUMNS and [row["stage"] for row in rows] == ["1", "1", "2"]
    plots = {path.stem for path in (out / "plots").iterdir()}
    assert plots == {
        "learning_curves",
        "learning_pace",
        "confusion_matrix",
        "probability_distribution",
        "coverage",
        "roc",
        "pr",
        "calibration",
    }
    for path in (out / "plots").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 300
    assert not [path for path in out.rglob("*") if path.suffix == ".part"]


def test_many_classes_show_the_worst_confusions(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(30))
    record = RunRecord("many", "today", (make_evaluation(names, images=90),))
    html = render_report(record)
    page = Page(html)
    assert "matrix" not in re.findall(r'<table class="(\w+)"', html)
    assert "Most frequent confusions" in html and "Top-5 accuracy" in html
    assert page.tags.count("img") <= PICTURES_SHOWN
    assert {anchor[1:] for anchor in page.anchors if anchor} <= set(page.ids)
    write_report(tmp_path / "out", record)


@pytest.mark.usefixtures("without_charts")
def test_a_picture_that_is_gone_is_no_error(full_record: RunRecord) -> None:
    main = full_record.main
    shown = Page(render_report(full_record)).tags.count("img")
    (main.root / main.mistakes[0].path).unlink()
    page = Page(render_report(full_record))
    assert "The file is gone" in page.text
    assert page.tags.count("img") == shown - 1


def test_no_mistakes_and_one_class_make_a_page(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    alone = make_evaluation(("only", "absent"), images=1)
    record = RunRecord("one", "today", (alone,))
    write_report(tmp_path / "out", record)
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "curves" not in page.sections and "nan" not in page.text


@pytest.mark.slow
def test_pages_are_the_same_from_many_threads(full_record: RunRecord) -> None:
    expected = render_report(full_record)
    records = [full_record, replace(full_record)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(render_report, records)) == [expected] * 2


def test_an_unknown_language_is_named(full_record: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="report language 'fr'"):
        write_report(tmp_path / "out", full_record, "fr")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_charts")
def test_every_cell_of_a_confusion_leads_to_its_pictures(make_evaluation: MakeEvaluation) -> None:
    names = ("ant", "bee", "cat", "dog")
    evaluation = make_evaluation(names, images=160)
    html = render_report(RunRecord("animals", "today", (evaluation,)))
    page, counts = Page(html), evaluation.metrics.confusion_matrix
    cells = {f"mistakes-{true}-{answer}" for true, answer in np.argwhere(counts).tolist() if true != answer}
    assert set(re.findall(r'<td [^>]*><a href="#(mistakes-[\d-]+)"', html)) == cells
    assert {identifier for identifier in page.ids if identifier.startswith("mistakes-")} == cells
    for true, answer in np.argwhere(counts).tolist():
        if true != answer:
            group = html.split(f'id="mistakes-{true}-{answer}"')[1].split("<h3")[0]
            assert group.count("<img") == min(counts[true, answer], PICTURES_IN_A_GROUP)
            assert f"{counts[true, answer]} of 40" in group


def test_pictures_are_squares_of_one_size(tmp_path: Path) -> None:
    for name, size in (
        ("wide.png", (400, 20)),
        ("tall.png", (20, 300)),
        ("tiny.png", (3, 2)),
        ("grey.png", (240, 240)),
    ):
        Image.new("RGB", size, "blue").save(tmp_path / name)
        data = thumbnail(tmp_path / name)
        assert data is not None
        with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
            assert image.size == (SIDE, SIDE)


@pytest.mark.usefixtures("without_charts")
def test_the_banner_is_there_exactly_when_something_spoils_the_figures(full_record: RunRecord) -> None:
    def banner(*findings: AuditFinding) -> list[str]:
        page = render_report(replace(full_record, audit=AuditSummary(90, findings)))
        return re.findall(r'<div class="banner[^>]*>.*?</div>', page, re.DOTALL)

    assert banner() == []
    assert banner(AuditFinding("duplicates", "warning", 3), AuditFinding("odd_sized", "note", 1)) == []
    (shown,) = banner(
        AuditFinding("truncated", "error", 4, ("a.png",)),
        AuditFinding("near_conflicting_labels", "warning", 2, ("b.png",)),
        AuditFinding("leak", "error", 5, ("c.png",)),
    )
    places = [
        shown.index(expected)
        for expected in ("several splits: <strong>5", "Truncated files: <strong>4", "labels: <strong>2")
    ]
    assert places == sorted(places)
    assert 'href="#audit"' in shown and "banner bad" in shown
    (mild,) = banner(AuditFinding("near_conflicting_labels", "warning", 2, ("b.png",)))
    assert "banner bad" not in mild


@pytest.mark.usefixtures("without_charts")
def test_images_that_an_evaluation_could_not_read_are_in_the_banner(make_evaluation: MakeEvaluation) -> None:
    evaluation = replace(make_evaluation(), unreadable=(Unreadable("broken.png", "the file is truncated"),))
    html = render_report(RunRecord("photos", "today", (evaluation,)))
    assert "Unreadable files: <strong>1" in html and "broken.png" in html
    assert 'id="banner"' not in render_report(RunRecord("photos", "today", (make_evaluation(),)))


@pytest.mark.usefixtures("without_charts")
def test_suspects_are_shown_side_by_side(full_record: RunRecord, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        (tmp_path / name).write_bytes((tmp_path / full_record.main.paths[0]).read_bytes())
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    paths = ["a.png", "b.png", "c.png", "d.png", "blank.png"]
    samples = Samples(
        root=tmp_path,
        paths=paths,
        truth=class_truth(np.array([0, 1, 0, 1, 0], np.int32), ("no", "yes")),
        splits=np.array([0, 0, 0, 2, 0], np.int8),
    )
    findings = (
        Finding("leak", "The same picture is in train and test.", ("a.png", "d.png")),
        Finding("conflicting_labels", "The same picture is labelled no and yes.", ("a.png", "d.png")),
        Finding("near_leak", "Nearly the same.", ("b.png", "c.png", "d.png")),
        Finding("blank", "1 image is blank.", ("blank.png",)),
    )
    summary = AuditSummary.of(Audit(samples, inspect_images(samples, workers=0), findings))
    assert summary.suspects is not None
    assert [group.kinds for group in summary.suspects.groups] == [("conflicting_labels", "leak"), ("near_leak",)]
    html = render_report(replace(full_record, audit=summary))
    shown = html.split('id="suspects"')[1].split("</section>")[0]
    assert (
        shown.count("<img") == 5
        and "<strong>no</strong> · training" in shown
        and "<strong>yes</strong> · test" in shown
    )
    assert "blank.png" not in shown
    advice = html.split('id="next"')[1].split("</ol>")[0]
    assert "in several splits: 2." in advice and 'href="#suspects"' in advice


@pytest.mark.usefixtures("without_charts")
def test_recipe_files_and_timings_are_folded(full_record: RunRecord) -> None:
    html = render_report(full_record)
    for identifier in ("recipe", "bundle", "timings"):
        section = html.split(f'<section id="{identifier}"')[1].split("</section>")[0]
        assert section.count("<details") == 1 and "<details open" not in section
        assert section.index("<details") < section.index("<h2>") < section.index("</summary>")


@pytest.mark.usefixtures("without_charts")
def test_the_values_that_were_used_are_reported(full_record: RunRecord) -> None:
    recipe = {
        "model.weights": "auto",
        "data.size": None,
        "loss.class_weights": "none",
        "data.balance_to": None,
        "phases.2.lr": None,
        "a.new.one": (0.9, 0.999),
    }
    used = {"model.weights": "PyPI package weights-of-someone", "data.size": 224}
    html = render_report(replace(full_record, recipe=recipe, used=used, meanings={"a.new.one": "What it is"}))
    values = re.findall(r"<code>([\w.]+)</code></dt><dd>(.*?)</dd>", html)
    assert dict(values) == {
        "model.weights": "PyPI package weights-of-someone",
        "data.size": "224",
        "loss.class_weights": "off: every image counts the same",
        "data.balance_to": "off: no copies are added",
        "phases.2.lr": "the optimizer’s",
        "a.new.one": "0.9, 0.999",
    }
    assert "What it is <code>a.new.one</code>" in html and "Learning rate <code>phases.2.lr</code>" in html


@pytest.mark.usefixtures("without_charts")
def test_the_weakest_class_comes_first(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation(("ant", "bee", "cat", "absent"), images=3 * 40)
    html = render_report(RunRecord("animals", "today", (evaluation,)))
    rows = re.findall(r'<th scope="row" title="(\w+)">', html.split('id="classes"')[1].split("</section>")[0])
    figures = {each.name: each.f1 for each in evaluation.metrics.per_class}
    assert rows == sorted(figures, key=lambda name: 2.0 if figures[name] is None else figures[name])


@pytest.mark.usefixtures("without_charts")
def test_both_figures_are_said_where_images_were_learned_from(make_evaluation: MakeEvaluation) -> None:
    fresh, every = make_evaluation(images=36), make_evaluation(images=40)
    overlap = Overlap(images=40, same=3, near=1, files=("a.png",), left_out=4, with_them=every.metrics)
    evaluation = replace(fresh, overlap=overlap)
    record = RunRecord("photos", "today", (make_evaluation(name="validation", role="selection"), evaluation), recipe={})
    text = re.sub(r"\s+", " ", Page(render_report(record)).text)
    with_them, without = (f"{each.metrics.accuracy * 100:.1f}%" for each in (every, fresh))
    both = f"{with_them}. Without the 4 that took part in the training: {without} of 36."
    assert f"All 40 images: {both}" in text
    assert "4 left out" in text and "took part in the training: 4" in text  # in the table of sets, in the banner
    for lang in ("en", "ko"):
        assert 'id="banner"' in render_report(record, lang)


@pytest.mark.parametrize(
    ("role", "overlap", "expected"),
    [
        ("given", None, "can not tell whether"),
        ("given", Overlap(images=40), "None of these images took part"),
        ("learned", Overlap(images=40, same=40), "40 of the 40 images took part"),
        ("selection", Overlap(images=40, same=40), "they chose the epoch"),
    ],
)
@pytest.mark.usefixtures("without_charts")
def test_what_the_images_were_to_the_training_is_reported(
    make_evaluation: MakeEvaluation, role: Role, overlap: Overlap | None, expected: str
) -> None:
    html = render_report(RunRecord("photos", "today", (replace(make_evaluation(role=role), overlap=overlap),)))
    assert expected in html
    assert ('id="banner"' in html) == (role == "learned")


def test_evaluations_of_several_bundles_are_no_report(make_evaluation: MakeEvaluation) -> None:
    two = make_evaluation(name="validation"), make_evaluation(("ant", "bee", "cat"), name="test")
    with pytest.raises(UsageError, match="several bundles: for classification one knows ant, bee, cat and one no, yes"):
        RunRecord("photos", "today", two)


@pytest.mark.parametrize("lang", [pytest.param("en", marks=pytest.mark.slow), "ko"])
def test_several_tasks_have_their_parts_side_by_side(
    make_evaluation: MakeEvaluation, tmp_path: Path, lang: str
) -> None:
    first, second = make_evaluation(("ant", "bee")), make_evaluation(("red", "green", "blue"))
    tasks = {"animal": first.first, "colour": second.first}
    sets = tuple(replace(first, name=name, tasks=tasks) for name in ("validation", "test"))
    record = RunRecord("beetles", "today", sets)
    write_report(tmp_path / "out", record, lang)
    page = Page((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    own = ("confusion", "classes", "coverage", "mistakes", "curves", "calibration", "intervals")
    assert page.sections == {"evaluations", *(f"{task}-{name}" for task in tasks for name in own)}
    assert len(page.ids) == len(set(page.ids))
    assert {anchor[1:] for anchor in page.anchors if anchor} <= set(page.ids)
    for each in (first, second):
        assert f"{each.metrics.accuracy * 100:.1f}%" in page.text
    assert len(list((tmp_path / "out/plots").glob("animal-*.png"))) == len(PLOTS_OF_A_TASK)
    values = json.loads((tmp_path / "out/metrics.json").read_text())
    assert set(values["tasks"]) == set(tasks) and "animal.coverage" in values


@pytest.mark.usefixtures("without_charts")
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_reads_as_before(full_record: RunRecord, lang: str) -> None:
    """Word by word: classification's page is assembled, and says what it said when it was written in one piece."""
    text = "\n".join(
        line
        for line in (" ".join(each.split()) for each in Page(render_report(full_record, lang)).text.splitlines())
        if line
    )
    assert text == (Path(__file__).parent / f"report_{lang}.txt").read_text(encoding="utf-8").rstrip("\n")


def test_learning_rates_are_on_a_logarithmic_axis_and_seconds_on_a_plain_one(full_record: RunRecord) -> None:
    """Plain numbers at its ticks, a gap where heads were solved in closed form, and the stages told apart on both."""
    solved = replace(full_record.history[0], lr=0.0)
    history = [solved, *(replace(epoch, lr=10.0**-number) for number, epoch in enumerate(full_record.history, 2))]
    charts = pace_charts(replace(full_record, history=history))
    look = Look(lambda key, **_: key, "#000", "#111", "#222", ("#333",) * 6, ("DejaVu Sans",))
    drawn = {}
    for name, draw in charts.items():
        drawn[name] = Figure().add_subplot()
        draw(drawn[name], look)
    rates = drawn["rate"].lines[0].get_ydata()
    assert np.isnan(rates[0]) and rates[1:].tolist() == [0.01, 0.001, 0.0001]
    assert drawn["rate"].get_yscale() == "log" and drawn["seconds"].get_yscale() == "linear"
    ticks = drawn["rate"].yaxis.get_major_formatter()
    assert ticks(0.001, 0) == "0.001" and drawn["seconds"].get_ylim()[0] == 0
    assert list(drawn["seconds"].lines[0].get_ydata()) == [1.5] * 4
    assert pace_charts(replace(full_record, history=())) == {}


def test_speed_waiting_and_memory_are_told_where_the_history_has_them(full_record: RunRecord) -> None:
    assert full_record.pace == {"speed": 321.0, "waiting": 0.25, "peak_bytes": 812_000_000}
    old = [replace(epoch, waiting=0.0, peak_memory=0.0) for epoch in full_record.history]
    assert replace(full_record, history=old).pace == {}


def test_what_the_stages_learn_from_a_random_start_is_said(full_record: RunRecord) -> None:
    begun = {**(full_record.recipe or {}), "model.weights": "none"}
    assert "Stage 1 trains the new head" in render_report(full_record)
    html = render_report(replace(full_record, recipe=begun))
    assert "all of it learns in every stage" in html and "trains the new head" not in html
