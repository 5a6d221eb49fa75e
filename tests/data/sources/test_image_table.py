"""Tables: CSV, TSV and Parquet hold the same samples, and every bad row is named."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.data.left_out import LeftOut
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import MissingExtraError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images a.jpg to f.jpg and "sub dir/가, 나.jpg", all empty: the index never opens one."""
    for name in ("a", "b", "c", "d", "e", "f"):
        (tmp_path / f"{name}.jpg").touch()
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir/가, 나.jpg").touch()
    return tmp_path


def table(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(samples: Samples) -> list[tuple[str, str]]:
    return [(path, samples.class_name(index)) for index, path in enumerate(samples.paths)]


def test_paths_start_at_the_tables_folder(folder: Path) -> None:
    text = f'path,label\na.jpg,cat\n"sub dir/가, 나.jpg",dog\n./b.jpg,cat\n{folder}/c.jpg,dog\n'
    samples = read_samples(table(folder, text))
    assert rows(samples) == [("a.jpg", "cat"), ("sub dir/가, 나.jpg", "dog"), ("b.jpg", "cat"), ("c.jpg", "dog")]
    assert all(samples.file(index).exists() for index in range(4))
    assert samples.groups is None and samples.splits is None


def test_a_file_outside_keeps_its_absolute_path(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    samples = read_samples(table(other, f"path,label\n{folder}/a.jpg,cat\n"))
    assert list(samples.paths) == [f"{folder}/a.jpg"] and samples.file(0) == folder / "a.jpg"


def test_a_table_named_relative_to_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(folder, "path,label\na.jpg,x\n")
    monkeypatch.chdir(folder)
    assert read_samples("t.csv").file(0).exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("T.TSV", "\t"), ("t.csv", ";")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spellings_of_csv(folder: Path, encoding: str, name: str, delimiter: str, end: str) -> None:
    text = end.join(["label, path ,note", "고양이 ,a.jpg,", " 개, b.jpg,x", "", "7,c.jpg,y", ""])
    samples = read_samples(table(folder, text.replace(",", delimiter), name, encoding))
    assert rows(samples) == [("a.jpg", "고양이"), ("b.jpg", "개"), ("c.jpg", "7")]


def test_split_and_group_columns(folder: Path) -> None:
    text = "path,label,split,group\na.jpg,x,train,g1\nb.jpg,y, Training ,\nc.jpg,x,valid,g2\nd.jpg,y,TEST,g1\n"
    samples = read_samples(table(folder, text))
    assert samples.splits is not None and samples.splits.tolist() == [0, 0, 1, 2]
    assert samples.groups is not None and samples.groups.tolist() == [0, -1, 1, 0]
    assert samples.splits.dtype == np.int8 and samples.groups.dtype == np.int32


def test_columns_of_other_names(folder: Path) -> None:
    path = table(folder, "file,kind,fold,who,path\na.jpg,x,train,1,no\nb.jpg,y,train,1,no\n")
    samples = read_samples(path, path_column="file", label_column="kind", split_column="fold", group_column="who")
    assert rows(samples) == [("a.jpg", "x"), ("b.jpg", "y")]
    assert samples.groups is not None and samples.splits is not None
    for role in ("path", "label", "split", "group"):
        with pytest.raises(UsageError, match=f"no column 'absent' for the {role}.*--{role}-column"):
            read_samples(path, **{"path_column": "file", "label_column": "kind", f"{role}_column": "absent"})


def test_class_order(folder: Path) -> None:
    path = table(folder, "path,label\na.jpg,10\nb.jpg,9\nc.jpg,1\n")
    assert read_samples(path).class_names == ("1", "9", "10")
    samples = read_samples(path, labels=["10", "zebra", "9", "1"])
    assert samples.labels.tolist() == [0, 2, 3] and samples.class_counts().tolist() == [1, 0, 1, 1]


def test_a_test_set_may_lack_a_class_but_not_add_one(folder: Path) -> None:
    lacking = "path,label,split\na.jpg,ant,train\nb.jpg,bee,train\nc.jpg,cow,train\nd.jpg,cow,test\n"
    assert read_samples(table(folder, lacking)).labels.tolist() == [0, 1, 2, 2]
    adding = "path,label,split\na.jpg,ant,train\nb.jpg,bee,train\nd.jpg,bees,test\n"
    with pytest.raises(UsageError, match=r"t\.csv.*Unknown class 'bees'. Did you mean bee\?"):
        read_samples(table(folder, adding))
    only_test = "path,label,split\na.jpg,ant,test\n"
    assert read_samples(table(folder, only_test), labels=["bee", "ant"]).labels.tolist() == [1]


def test_rows_that_repeat_are_left_out_and_those_that_contradict_stay(folder: Path) -> None:
    text = (
        "path,label,split\na.jpg,x,train\nb.jpg,y,train\na.jpg,x,train\n./a.jpg,x ,train\na.jpg,y,train\nb.jpg,y,val\n"
    )
    samples = read_samples(table(folder, text))
    assert rows(samples) == [("a.jpg", "x"), ("b.jpg", "y"), ("a.jpg", "y"), ("b.jpg", "y")]
    assert samples.left_out == (LeftOut("repeated_row", 2, "a.jpg"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,x\n", r"no column 'path' .*Columns found: file, label\..*--path-column"),
        ("path,class\na.jpg,x\n", r"no column 'label' .*Columns found: path, class\..*--label-column"),
        ("path,label,label\na.jpg,x,y\n", "2 columns are called 'label'"),
        ("", "no column 'path'.*Columns found: none"),
        ("path,label\n", "holds no rows"),
        ("path,label\na.jpg,x\nb.jpg, \n", "line 3: the label is empty"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label\na.jpg,x\n\nb.jpg\n", "line 4: 1 cell, but 2 columns"),
        ("path,label,split\na.jpg,x,train\nb.jpg,x,fold\n", r"line 3: the split is 'fold'. Expected train, val, test"),
        ("path,label,split\na.jpg,x,\n", "line 2: the split is ''"),
        (
            "path,label\na.jpg,x\ngone/z.jpg,y\n",
            r"1 of 2 rows names a file that is not there\. Line 3: 'gone/z\.jpg' is not",
        ),
        (
            "path,label\nsub dir,x\n",
            r"1 of 1 row names a file that is not there\. Line 2: 'sub dir' is a folder, not a file",
        ),
        (
            "path,label\n" + "".join(f"{i}.jpg,x\n" for i in range(9)),
            r"9 of 9 rows .*Line 2: '0\.jpg' is not there.*Relative paths start at",
        ),
        ('path,label\na.jpg,"' + "x" * 200_000 + '"\n', "not readable as CSV"),
    ],
)
def test_what_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(table(folder, text))


@pytest.mark.parametrize("text", ["path,label\na.jpg,고양이\n", "path,label\n사진.jpg,cat\n", "path,종류\na.jpg,cat\n"])
@pytest.mark.parametrize("encoding", ["cp949"])
def test_another_encoding_is_reported(folder: Path, text: str, encoding: str) -> None:
    with pytest.raises(UsageError, match=r"not UTF-8 text\. Save it as"):
        read_samples(table(folder, text, encoding=encoding))


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=300)
    return path


def test_csv_and_parquet_hold_the_same_samples(tmp_path: Path) -> None:
    paths = [f"images/{number % 7}/사진 {number}.jpg" for number in range(1000)]
    for name in paths:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    labels = [number % 11 for number in range(1000)]
    splits = [("train", "train", "val", "test")[number % 4] for number in range(1000)]
    groups = [None if number % 5 == 0 else f"g{number // 3}" for number in range(1000)]
    lines = [f"{p},{label},{s},{g or ''}" for p, label, s, g in zip(paths, labels, splits, groups, strict=True)]
    from_csv = read_samples(table(tmp_path, "\n".join(["path,label,split,group", *lines])))
    columns = {"group": groups, "label": labels, "path": paths, "split": splits}
    from_parquet = read_samples(parquet(tmp_path / "t.parquet", columns))
    assert list(from_csv.paths) == list(from_parquet.paths) == paths
    assert from_csv.class_names == from_parquet.class_names == tuple(map(str, range(11)))
    for name in ("labels", "splits", "groups"):
        one, other = getattr(from_csv, name), getattr(from_parquet, name)
        assert one.dtype == other.dtype and np.array_equal(one, other), name
    assert from_csv.root == from_parquet.root


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a.jpg"], "kind": ["x"]}, r"no column 'label'.*Columns found: path, kind\."),
        ({"path": ["a.jpg", "b.jpg"], "label": ["x", None]}, "row 2: the label is empty"),
        ({"path": ["a.jpg", "no.jpg"], "label": ["x", "y"]}, r"Row 2: 'no\.jpg'"),
        ({"path": ["a.jpg", "b.jpg"], "label": [1.0, float("nan")]}, "row 2: the label is empty"),
    ],
)
def test_what_is_refused_in_parquet(folder: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(parquet(folder / "t.parquet", columns))


def test_a_damaged_parquet_and_an_absent_reader_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "t.parquet").write_bytes(b"PAR1 but nothing of the kind PAR1")
    with pytest.raises(UsageError, match="not readable as Parquet"):
        read_samples(folder / "t.parquet")
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pocketvision\[train\]"):
        read_samples(folder / "t.parquet")
