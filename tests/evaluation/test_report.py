import csv
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pocketvision.errors import UsageError
from pocketvision.evaluation.evaluate import Evaluation
from pocketvision.evaluation.report.record import HISTORY_COLUMNS, RunRecord
from pocketvision.evaluation.report.render import MISTAKES_SHOWN, render_report
from pocketvision.evaluation.report.write import write_report

MakeEvaluation = Callable[..., Evaluation]

ALL_SECTIONS = {
    "evaluations",
    "confusion",
    "classes",
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
    assert page.tags.count("svg") == 6 and page.tags.count("img") == len(full_record.main.mistakes[:MISTAKES_SHOWN])


def test_the_page_tells_what_matters(full_record: RunRecord) -> None:
    text = re.sub(r"\s+", " ", Page(render_report(full_record)).text)
    main = full_record.main
    assert main.name == "test"
    for told in (
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
        assert told in text, told
    assert "None" not in text and "nan" not in text


def test_parts_without_data_are_left_out(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    record = RunRecord("photos", "today", (make_evaluation(name="data", selection=None),))
    page = Page(render_report(record))
    assert page.sections == {"confusion", "classes", "mistakes", "curves", "calibration", "intervals"}
    write_report(tmp_path / "out", record)
    assert not (tmp_path / "out" / "history.csv").exists()
    assert not (tmp_path / "out" / "plots" / "learning_curves.png").exists()


@pytest.mark.parametrize("lang", ["en", "ko"])
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
    for told in (*names, "<img src=x>", "<em>", "<i>set</i>"):
        assert told in page.text, told
    write_report(tmp_path / "out", record, lang)


def test_files_are_written_whole_and_hold_the_same_figures(full_record: RunRecord, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_report(out, full_record) == out / "report.html"
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["accuracy"] == full_record.main.metrics.accuracy
    assert set(metrics["evaluations"]) == {"validation", "test"} and metrics["evaluations"]["validation"]["selection"]
    assert metrics["chosen"]["val_loss"] == 0.4
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HISTORY_COLUMNS and [row["stage"] for row in rows] == ["1", "1", "2"]
    plots = {path.stem for path in (out / "plots").iterdir()}
    assert plots == {"learning_curves", "confusion_matrix", "probability_distribution", "roc", "pr", "calibration"}
    for path in (out / "plots").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 300
    assert not [path for path in out.rglob("*") if path.suffix == ".part"]


def test_many_classes_show_the_worst_confusions(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(60))
    record = RunRecord("many", "today", (make_evaluation(names, images=200),))
    html = render_report(record)
    assert "matrix" not in re.findall(r'<table class="(\w+)"', html)
    assert "Most frequent confusions" in html and "Top-5 accuracy" in html
    write_report(tmp_path / "out", record)


def test_a_picture_that_is_gone_is_no_error(full_record: RunRecord) -> None:
    main = full_record.main
    (main.root / main.mistakes[0].path).unlink()
    page = Page(render_report(full_record))
    assert "The file is gone" in page.text
    assert page.tags.count("img") == len(main.mistakes[:MISTAKES_SHOWN]) - 1


def test_no_mistakes_and_one_class_make_a_page(make_evaluation: MakeEvaluation, tmp_path: Path) -> None:
    alone = make_evaluation(("only", "absent"), images=1)
    record = RunRecord("one", "today", (alone,))
    write_report(tmp_path / "out", record)
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "curves" not in page.sections and "nan" not in page.text


def test_pages_are_the_same_from_many_threads(full_record: RunRecord) -> None:
    expected = render_report(full_record)
    records = [full_record, replace(full_record)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(render_report, records)) == [expected] * 2


def test_an_unknown_language_is_named(full_record: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="report language 'fr'"):
        write_report(tmp_path / "out", full_record, "fr")
    assert not (tmp_path / "out").exists()
