"""`pocketvision convert` and `check` over boxes, from the shell."""

import json
from pathlib import Path

import pytest
from data.boxes.drawn_sets import DRAWN_SETS

from pocketvision.cli.main import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


def test_convert_writes_says_and_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = DRAWN_SETS["voc"](tmp_path)
    assert run("convert", data, "--to", "yolo", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "8 images with 11 boxes, as yolo" in said
    assert run("convert", data, "--to", "coco", "--out", tmp_path / "out") == 2
    assert "nothing is ever overwritten" in capsys.readouterr().err
    assert run("convert", data, "--to", "cocoo", "--out", tmp_path / "other") == 2
    assert "Did you mean coco" in capsys.readouterr().err
    assert run("convert", tmp_path / "out/images", "--to", "coco", "--out", tmp_path / "other") == 2


def test_convert_takes_the_columns_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = DRAWN_SETS["box-table"](tmp_path)
    table.write_text(table.read_text().replace("path,label,x1,y1,x2,y2", "file,what,l,t,r,b"))
    options = ["--format", "box-table", "--path-column", "file", "--label-column", "what", "--box-columns", "l, t,r,b"]
    assert run("convert", table, *options, "--to", "coco", "--out", tmp_path / "out") == 0
    assert "8 images with 11 boxes" in capsys.readouterr().out
    assert run("check", table, *options) in (0, 1)


def test_check_tells_of_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = DRAWN_SETS["voc"](tmp_path)
    file = data / "Annotations/0.xml"
    file.write_text(
        file.read_text().replace("<xmax>20.25</xmax>", "<xmax>2.5</xmax>").replace("</annotation>", "")
        + (
            "<object><name>a</name><bndbox><xmin>90</xmin><ymin>1</ymin><xmax>99</xmax><ymax>9</ymax></bndbox></object></annotation>"
        )
    )
    assert run("check", data, "--json", tmp_path / "audit.json") == 1
    said = capsys.readouterr().out
    assert "8 images in 2 classes, 8 readable" in said and "box outside" in said and "no area" in said
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert audit["counts"]["box_outside"] == 1 and audit["classes"] == {"a": 5, "b": 3}
    (finding,) = [each for each in audit["findings"] if each["kind"] == "no_area"]
    assert finding["count"] == 1 and finding["files"] == ["JPEGImages/0.png"] and finding["severity"] == "warning"
