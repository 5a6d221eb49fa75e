"""Parquet as Hugging Face writes it: pictures inside the table, classes as numbers with names, and what is no text."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.workflows.check import check

pyarrow = pytest.importorskip("pyarrow")


def content(seed: int, format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    import pyarrow.parquet

    table = pyarrow.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path)
    return path


def test_the_hugging_face_layout(tmp_path: Path) -> None:
    images = [
        {"bytes": content(n, "JPEG" if n % 2 else "PNG"), "path": f"photo {n}.dat" if n % 2 else f"p{n}.png"}
        for n in range(6)
    ]
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    path = write(tmp_path / "t.parquet", {"image": images, "label": [n % 2 for n in range(6)]}, features)
    found = check(path)
    samples = found.samples
    assert samples.class_names == ("cat", "dog") and samples.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert found.readable.all() and found.counts == {}
    assert [samples.file(place).read_bytes() for place in range(6)] == [image["bytes"] for image in images]
    assert samples.paths[0].endswith("-p0.png") and samples.paths[1].endswith(".jpg")
    assert "Unpacked from the table: 6 pictures" in samples.reading[0] and str(samples.root) in samples.reading[0]
    again = read_samples(path)
    assert list(again.paths) == list(samples.paths)
    assert not list(samples.root.rglob("*.part"))


def test_other_members_of_the_layout(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content(9))
    mixed = [{"bytes": content(1), "path": None}, {"bytes": None, "path": "x.png"}]
    samples = read_samples(write(tmp_path / "mixed.parquet", {"image": mixed, "label": ["a", "b"]}))
    assert samples.file(0).read_bytes() == content(1) and samples.file(1) == tmp_path / "x.png"
    bare = read_samples(
        write(tmp_path / "bare.parquet", {"img": [content(1), content(2)], "label": ["a", "b"], "hash": [b"1", b"2"]})
    )
    assert bare.file(1).read_bytes() == content(2)
    named = {"front": [content(1)], "back": [content(2)], "label": ["a"]}
    assert read_samples(write(tmp_path / "n.parquet", named), path_column="back").file(0).read_bytes() == content(2)
    labels = pyarrow.array(["b", "a", "b"]).dictionary_encode()
    coded = write(tmp_path / "c.parquet", {"image": [content(n) for n in range(3)], "label": labels})
    assert [read_samples(coded).class_name(place) for place in range(3)] == ["b", "a", "b"]
    empty = write(tmp_path / "e.parquet", {"image": [{"bytes": None, "path": None}], "label": ["a"]})
    with pytest.raises(UsageError, match="row 1: the path is empty"):
        read_samples(empty)
    broken = check(write(tmp_path / "b.parquet", {"image": [content(1), b"no picture"], "label": ["a", "b"]}))
    assert len(broken.unreadable) == 1


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            [["scab", "rust"], ["scab"]],
            r"column 'label' holds lists: several values in 1 of 2 rows \(row 1: .*'scab', 'rust'",
        ),
        ([["scab"], ["rust"]], "column 'label' holds lists: each of at most one value"),
        ([{"a": 1}, {"a": 2}], "column 'label' holds structures"),
        ([b"\xff\xfe", b"a"], "column 'label' holds bytes that are no text"),
    ],
)
def test_what_is_no_text_never_becomes_text(tmp_path: Path, label: list[Any], message: str) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=message) as caught:
        read_samples(write(tmp_path / "t.parquet", {"path": ["a.jpg", "b.jpg"], "label": label}), format="image-table")
    assert len(str(caught.value)) < 700


def test_a_table_of_pictures_alone_makes_a_small_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'label'") as caught:
        read_samples(write(tmp_path / "t.parquet", {"image": [content(1) * 100], "x" * 100_000: ["a"]}))
    assert len(str(caught.value)) < 700
