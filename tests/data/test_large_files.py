"""JSON and XML of any size, and those that are made to hurt."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from pocketvision.data import large_json
from pocketvision.data.large_json import json_elements
from pocketvision.data.safe_xml import xml_elements, xml_root
from pocketvision.errors import UsageError


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "PIECE", 7)


def written(tmp_path: Path, text: str | bytes, name: str = "file") -> Path:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


VALUES = {
    "info": {"a": [1, {"b": None}]},
    "images": [{"id": 1, "n": 'é]}"한'}, [], 12345678901, -1.5e-7],
    "none": [],
    "x": 12,
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_comes_element_by_element(tmp_path: Path, encoding: str, indent: int | None) -> None:
    text = json.dumps(VALUES, indent=indent, ensure_ascii=False)
    found = list(json_elements(written(tmp_path, text.encode(encoding))))
    assert found == [("info", VALUES["info"]), *(("images", each) for each in VALUES["images"]), ("x", 12)]
    assert list(json_elements(written(tmp_path, " [1, [2], 345] "))) == [("", 1), ("", [2]), ("", 345)]
    assert list(json_elements(written(tmp_path, "[]"))) == [] == list(json_elements(written(tmp_path, "{}")))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [{"id": 1}, {"id": 2', "at character"),
        ('{"images" 3}', "where ':' is expected"),
        ('{"images": [1 2]}', "where ',' or ']' is expected"),
        ("{images: 3}", "no name of a member"),
        ("[1] x", "more text after the end"),
        (b'["\xff"]', "not UTF-8"),
        ("", "Expecting value"),
        ("[nul]", "Expecting value"),
    ],
)
def test_broken_json_is_said_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(json_elements(written(tmp_path, text)))


def test_large_json_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    element = json.dumps({"id": 1, "bbox": [1.25, 2.5, 3.75, 4.0], "note": "x" * 1500})
    with file.open("w") as opened:
        opened.write('{"annotations": [' + element)
        opened.write((", " + element) * 5_000)
        opened.write("]}")
    tracemalloc.start()
    count = sum(1 for _ in json_elements(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_001 and file.stat().st_size > 7e6 and peak < 5e6


def test_an_element_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "LARGEST_ELEMENT", 5000)
    monkeypatch.setattr(large_json, "PIECE", 1000)
    with pytest.raises(UsageError, match="GB of memory"):
        list(json_elements(written(tmp_path, '{"a": {' + '"b": 1, ' * 5000)))
    with pytest.raises(UsageError, match="brackets"):
        list(json_elements(written(tmp_path, "[" + "[" * 4000 + "]" * 4001)))


XML = b'<?xml version="1.0"?><root a="1"><name>x</name><image n="1"><image n="in"/>t</image><z/><image n="2"/></root>'


def test_xml_comes_element_by_element(tmp_path: Path) -> None:
    *images, root = xml_elements(written(tmp_path, XML), "image")
    assert [(each.get("n"), len(each)) for each in images] == [("1", 1), ("2", 0)]
    assert root.get("a") == "1" and [each.tag for each in root] == ["name", "z"]
    assert len(xml_root(written(tmp_path, XML))) == 4
    assert xml_root(written(tmp_path, "<a>é</a>".encode("utf-16"))) is not None


BOMB = '<!DOCTYPE a [<!ENTITY b "lol">' + "".join(f'<!ENTITY c{n} "{"&b;" * 10}">' for n in range(9)) + "]><a>&c8;</a>"


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.encode("utf-16"),
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>',
        '<!DOCTYPE a [<!ENTITY % f SYSTEM "http://127.0.0.1/x">%f;]><a/>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a>&f;</a>',
    ],
)
def test_xml_bombs_and_other_files_are_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(UsageError, match="entities"):
        xml_root(written(tmp_path, text))


def test_broken_xml_is_said_with_its_line(tmp_path: Path) -> None:
    for text in ("<a>\n<b></a>", "", "<a>"):
        with pytest.raises(UsageError, match=r"line [12]: not readable as XML"):
            xml_root(written(tmp_path, text))


@pytest.mark.slow
def test_a_large_coco_file_is_checked_in_little_memory(tmp_path: Path) -> None:
    """170 MB, a third of a million boxes: the memory is that of the boxes, not of what is written beside them."""
    boxes, pictures = 330_000, 400
    (tmp_path / "images").mkdir()
    for number in range(pictures):
        Image.new("L", (64, 48), number % 256).save(tmp_path / f"images/{number}.png")
    images = [{"id": number, "file_name": f"{number}.png", "width": 64, "height": 48} for number in range(pictures)]
    outline = ", ".join(["10.25"] * 60)
    with (tmp_path / "instances.json").open("w") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": [{{"id": 1, "name": "a"}}], "annotations": [')
        for number in range(boxes):
            box = f"[{number % 50 + number / boxes:.6f}, {number // 50 % 40}, 5, 4.5]"
            file.write(
                f'{", " if number else ""}{{"id": {number}, "image_id": {number % pictures}, "category_id": 1, "bbox": {box}, '
                f'"segmentation": [[{outline}]], "iscrowd": 0}}'
            )
        file.write("]}")
    assert (tmp_path / "instances.json").stat().st_size > 150e6
    script = (
        "import resource, sys\n"
        "from pocketvision.data.sources.catalog import read_samples\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "samples = read_samples(sys.argv[1])\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "truth = samples.truth['detection']\n"
        "held = sum(each.nbytes for each in truth.rows.columns.values())\n"
        "print(len(truth.boxes), grown * 1024, held / len(truth.boxes))\n"
    )
    found = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    count, grown, each = map(float, found.stdout.split())
    assert count > 300_000 and each <= 40
    assert grown < 200 * boxes + 60e6  # some 200 bytes a box while they are sorted and compared
