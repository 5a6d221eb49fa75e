"""The tensors of the Open Inference Protocol (v2): JSON data, and the binary data that Triton's clients send beside it."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.json_text import json_text
from pocketvision.printable import counted
from pocketvision.serving.base64_text import base64_bytes

HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_SIZES = 8  # dimensions of a shape


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """A tensor to answer with: float32 values, or texts (datatype BYTES)."""

    name: str
    values: "NDArray[np.float32] | list[str]"
    shape: tuple[int, ...]
    binary: bool


def images_of(
    tensor: dict[str, Any], raw: bytes | None, size: tuple[int, int], most: int
) -> "list[bytes] | list[NDArray[Any]]":
    """The images in an input: files (BYTES) or network inputs (FP32, (N, 3, H, W), already preprocessed).

    raw: the tensor's binary data, None when its data is in the JSON. size: the network's height and width. most: images at
    most. Raises UsageError that says what was found and expected.
    """
    shape, kind = tensor.get("shape"), tensor.get("datatype")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= _MAX_SIZES
        or not all(type(n) is int and n > 0 for n in shape)
    ):
        raise UsageError(
            f"the input's shape must be a list of whole numbers above 0, such as [1, 3, {size[0]}, {size[1]}]"
        )
    expected = [shape[0], 3, *size] if kind == "FP32" else [shape[0]]
    if kind not in ("FP32", "BYTES") or (shape != expected and not (kind == "BYTES" and shape == [shape[0], 1])):
        raise UsageError(
            f"the input has the datatype {str(kind)[:20]!r} and the shape {shape}; expected FP32 with "
            f"[N, 3, {size[0]}, {size[1]}], preprocessed, or BYTES with [N], image files"
        )
    if shape[0] > most:
        raise UsageError(f"{shape[0]} images are more than a request may have, {most}")
    if kind == "BYTES":
        return _files(tensor.get("data"), raw, shape[0])
    values = np.frombuffer(raw, "<f4") if raw is not None and len(raw) % 4 == 0 else _numbers(tensor.get("data"))
    if values.size != math.prod(expected):
        raise UsageError(f"the input has {values.size} numbers; its shape {shape} needs {math.prod(expected)}")
    if not np.isfinite(values).all():
        raise UsageError("the input has numbers that are not finite")
    return list(values.astype(np.float32).reshape(expected))


def _numbers(data: object) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            return np.asarray(data, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError("the input's data must be a list of numbers") from error


def _files(data: object, raw: bytes | None, count: int) -> list[bytes]:
    if raw is not None:
        found = _split(raw)
    elif isinstance(data, list) and all(isinstance(text, str) for text in data):
        try:
            found = [base64_bytes(text) for text in data]
        except ValueError as error:
            raise UsageError(f"in JSON, BYTES are expected as base64: {error}") from error
    else:
        raise UsageError("the input's data must be a list of base64 texts")
    if len(found) != count:
        raise UsageError(f"the input has {counted(len(found), 'image')}; its shape says {count}")
    return found


def _split(raw: bytes) -> list[bytes]:
    """Elements of a binary BYTES tensor: each its length in 4 bytes, little-endian, then its content."""
    found, place = [], 0
    while place < len(raw):
        (length,) = struct.unpack_from("<I", raw, place) if place + 4 <= len(raw) else (len(raw),)
        if place + 4 + length > len(raw):
            raise UsageError("the binary data ends in the middle of an element")
        found.append(raw[place + 4 : place + 4 + length])
        place += 4 + length
    return found


def response_body(document: dict[str, Any], outputs: Sequence[OutputTensor]) -> tuple[bytes, int | None]:
    """The answer with its outputs, and the length of its JSON part where binary data follows (None where none does)."""
    described, parts = [], []
    for output in outputs:
        entry: dict[str, Any] = {"name": output.name, "shape": list(output.shape)}
        entry["datatype"] = "BYTES" if isinstance(output.values, list) else "FP32"
        if output.binary:
            content = (
                _packed(output.values) if isinstance(output.values, list) else output.values.astype("<f4").tobytes()
            )
            entry["parameters"] = {"binary_data_size": len(content)}
            parts.append(content)
        else:
            entry["data"] = output.values if isinstance(output.values, list) else output.values.reshape(-1).tolist()
        described.append(entry)
    header = json_text({**document, "outputs": described}).encode()
    return b"".join([header, *parts]), len(header) if parts else None


def _packed(texts: Sequence[str]) -> bytes:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
