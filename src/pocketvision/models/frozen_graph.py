"""The constants of a frozen TensorFlow graph, without TensorFlow: as much of Protocol Buffers as its file takes.

A GraphDef is a message of nodes (field 1); a node has a name (1), an operation (2) and attributes (5), of which a constant keeps
its TensorProto (8) under "value". Source: tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError

_FLOAT = 1
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MOST_BYTES = 10
"""Of a varint."""


def frozen_constants(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every constant of floats by its node's name. WeightsError for a file that is no frozen graph, or is cut off."""
    try:
        nodes = [_bytes(value) for field, value in _fields(memoryview(path.read_bytes())) if field == 1]
        found = dict(each for node in nodes if (each := _constant(node)) is not None)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: it is no frozen TensorFlow graph, or is cut off ({error}).") from error
    if not found:
        raise WeightsError(f"{path}: there are no constants in it; expected a frozen TensorFlow graph.")
    return found


def _constant(node: memoryview) -> tuple[str, NDArray[np.float32]] | None:
    """A node's name and floats; None for another node."""
    name, operation, value = "", "", None
    for field, content in _fields(node):
        if field == 1:
            name = str(_bytes(content), "utf-8")
        elif field == 2:
            operation = str(_bytes(content), "utf-8")
        elif field == 5:
            key, attribute = "", None
            for part, inner in _fields(_bytes(content)):
                key, attribute = (str(_bytes(inner), "utf-8"), attribute) if part == 1 else (key, inner)
            value = attribute if key == "value" else value
    if operation != "Const" or value is None:
        return None
    tensor = next((_floats(_bytes(inner)) for part, inner in _fields(_bytes(value)) if part == 8), None)
    return None if tensor is None else (name, tensor)


def _floats(tensor: memoryview) -> NDArray[np.float32] | None:
    """Of a TensorProto: type (1), shape (2), and its content (4), or values one by one (5), the last one repeated."""
    kind, shape, content, values = 0, [], b"", b""
    for field, value in _fields(tensor):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2:
            shape = [_size(_bytes(inner)) for part, inner in _fields(_bytes(value)) if part == 2]
        elif field == 4:
            content = bytes(_bytes(value))
        elif field == 5:
            values += bytes(_bytes(value))
    if kind != _FLOAT:
        return None
    found = np.frombuffer(content or values, "<f4")
    size = int(np.prod(shape))
    if len(found) < size and not content and len(found):
        found = np.concatenate([found, np.full(size - len(found), found[-1])])
    return found.reshape(shape).astype(np.float32)


def _size(dimension: memoryview) -> int:
    return next((value for field, value in _fields(dimension) if field == 1 and isinstance(value, int)), 0)


def _bytes(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes are expected")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Numbers and values of a message's fields: whole numbers, and bytes for everything else."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield field, value
            continue
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _BYTES:
            length, place = _varint(message, place)
        if length is None or place + length > len(message):
            raise ValueError(f"a field of kind {kind} that ends after the file does")
        yield field, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number in bytes of seven bits, the lowest first, and where it ends."""
    number = 0
    for shift in range(_MOST_BYTES):
        byte = message[place + shift]
        number |= (byte & 127) << 7 * shift
        if byte < 128:
            return number, place + shift + 1
    raise ValueError("a number of more than ten bytes")
