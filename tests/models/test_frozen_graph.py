"""Constants of a frozen graph, from files written by hand as Protocol Buffers has them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from pocketvision.errors import WeightsError
from pocketvision.models.frozen_graph import frozen_constants


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def node(name: str, operation: str, tensor: bytes | None = None) -> bytes:
    value = b"" if tensor is None else field(5, field(1, b"value") + field(2, field(8, tensor)))
    other = field(5, field(1, b"dtype") + field(2, field(6, 1)))
    return field(1, field(1, name.encode()) + field(2, operation.encode()) + other + value)


def shape(*sides: int) -> bytes:
    return field(2, b"".join(field(2, field(1, side)) for side in sides))


def test_constants_of_floats(tmp_path: Path) -> None:
    values = np.arange(600, dtype=np.float32).reshape(3, 200)
    one_by_one = varint(5 << 3 | 5) + struct.pack("<f", 2.5)
    graph = b"".join(
        (
            node("weights", "Const", field(1, 1) + shape(3, 200) + field(4, values.tobytes())),
            node("all_alike", "Const", field(1, 1) + shape(2, 2) + field(5, struct.pack("<2f", 1.5, 4))),
            node("scalar", "Const", field(1, 1) + field(2, b"") + one_by_one),
            node("whole_numbers", "Const", field(1, 3) + shape(1) + field(7, 300)),
            node("weights/read", "Identity"),
        )
    )
    (tmp_path / "graph.pb").write_bytes(graph + field(4, b"versions"))
    found = frozen_constants(tmp_path / "graph.pb")
    assert list(found) == ["weights", "all_alike", "scalar"]
    np.testing.assert_array_equal(found["weights"], values)
    assert found["all_alike"].tolist() == [[1.5, 4], [4, 4]] and found["scalar"].item() == 2.5


@pytest.mark.parametrize("content", [b"", b"no graph at all", node("a", "Identity"), b"\x80" * 20, b"\x0b\x00"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.pb").write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.pb: .*frozen TensorFlow graph"):
        frozen_constants(tmp_path / "other.pb")


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = node("weights", "Const", field(1, 1) + shape(4) + field(4, bytes(16)))
    (tmp_path / "cut.pb").write_bytes(whole[:-3])
    with pytest.raises(WeightsError, match="cut off"):
        frozen_constants(tmp_path / "cut.pb")
