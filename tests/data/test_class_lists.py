"""Class names and weights as people write them: quoted, as JSON, in files of any encoding."""

import json
from pathlib import Path

import pytest

from pocketvision.data.class_lists import parse_class_names, parse_class_weights
from pocketvision.errors import UsageError

NAMES = ["Pepper, bell", 'the "big" one', "고양이"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", 'Pepper, bell\nthe "big" one\n\n고양이\n'),
        ("names.txt", '"Pepper, bell"\r\n"the ""big"" one"\r\n 고양이 \r\n'),
        ("names.json", json.dumps(NAMES)),
        ("names", json.dumps(NAMES, indent=1)),
        ("id2label.json", json.dumps(dict(enumerate(NAMES)))),
        ("label2id.json", json.dumps({name: index for index, name in enumerate(NAMES)})),
    ],
)
def test_names_from_a_file(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_text(text, encoding=encoding, newline="")
    assert parse_class_names(str(tmp_path / name)) == NAMES


def test_names_in_a_line() -> None:
    assert parse_class_names("cat, dog ,owl") == ["cat", "dog", "owl"]
    assert parse_class_names('"Pepper, bell",Potato') == ["Pepper, bell", "Potato"]
    assert parse_class_names('["Pepper, bell", "Potato", 7]') == ["Pepper, bell", "Potato", "7"]
    assert len(parse_class_names(",".join(f"class {number}" for number in range(2000)))) == 2000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cat", "1 name found; expected two or more"),
        ("cat,dog,cat", "'cat' stands there more than once"),
        ("gone.txt", "no such file"),
        ("gone.json", "no such file"),
        ('"cat,dog', "never closed"),
        ('["cat", "dog"', "stands there|never closed|not readable"),
        ('["cat", "dog",]', "not readable as JSON"),
        ('[["cat"], ["dog"]]', "an array of texts"),
        ('{"a": 3, "b": 4}', "need the numbers 0 to 1"),
    ],
)
def test_names_that_are_refused(value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_class_names(value)


def test_a_file_of_names_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text('cat\n"dog\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"n\.txt, line 2: .*never closed"):
        parse_class_names(str(tmp_path / "n.txt"))
    (tmp_path / "n.txt").write_bytes("고양이\n개\n".encode("cp949"))
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_class_names(str(tmp_path / "n.txt"))
    (tmp_path / "n.txt").write_text("cat,dog,owl\n", encoding="utf-8")
    with pytest.raises(UsageError, match="names go one a line"):
        parse_class_names(str(tmp_path / "n.txt"))


@pytest.mark.parametrize(
    "value", ['"Pepper, bell"=2,a=b=0.5', '{"Pepper, bell": 2, "a=b": 0.5}', '"Pepper, bell" = 2 , "a=b" = 0.5']
)
def test_weights_in_a_line(value: str) -> None:
    assert parse_class_weights(value) == {"Pepper, bell": 2.0, "a=b": 0.5}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.txt", 'Pepper, bell=2\n"a=b"=0.5\n'),
        ("w.json", '{"Pepper, bell": 2, "a=b": 0.5}'),
        ("w", '"Pepper, bell"=2\n\na=b=.5'),
    ],
)
def test_weights_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-16")
    assert parse_class_weights(str(tmp_path / name)) == {"Pepper, bell": 2.0, "a=b": 0.5}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("heavy", "'heavy' is neither none, balanced nor NAME=NUMBER.*Pepper, bell"),
        ("cat=two", "the weight of 'cat' is 'two', which is no number"),
        ("cat=", "which is no number"),
        ("=2", "neither none, balanced nor"),
        ("gone.txt", "no such file"),
        ('["cat"]', "an object such as"),
        ("Pepper, bell=2", "'Pepper' is neither none"),
        ('cat=1,dog=2,"cat"=3', "'cat' has more than one weight"),
    ],
)
def test_weights_that_are_refused(value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_class_weights(value)
