"""A part of an ONNX file: what some of its outputs need, and nothing else, so that heads that nobody asks for cost nothing. And
what is looked at within it: values between its nodes, and other weights.

ONNX Runtime runs every node of a graph whatever outputs are asked for. The file is rewritten as bytes of protocol buffers
(onnx.proto of ONNX's IR): the package onnx is not part of an installation that only predicts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

GRAPH = 7
"""Of a model: the field that holds its graph."""

NODE, INITIALIZER, OUTPUT = 1, 5, 12
"""Of a graph."""

INPUTS, OUTPUTS, OPERATOR, ATTRIBUTE = 1, 2, 4, 5
"""Of a node."""

DATA_TYPE, RAW = 2, 9
"""Of a tensor: the fields of its type and its bytes."""

SIZES = {1: 4, 2: 1, 3: 1}
"""Bytes of a number of the types that weights have: float32, and 8 bits without a sign and with one."""

SUBGRAPH, SUBGRAPHS = 6, 11
"""Of an attribute."""

VALUE_NAME, TENSOR_NAME = 1, 8

_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5


def part_of(model: bytes, outputs: Sequence[str]) -> bytes | None:
    """The model with these outputs alone, and the nodes and weights that they need. None where that can not be told: a graph
    within a node may read what no node says, or the file's weights stand in another one."""
    fields = list(_fields(model))
    (graph,) = [value for number, value, _ in fields if number == GRAPH]
    part = _graph(bytes(graph), outputs)
    if part is None:
        return None
    return b"".join(_field(GRAPH, part) if number == GRAPH else whole for number, _, whole in fields)


def _graph(graph: bytes, outputs: Sequence[str]) -> bytes | None:
    fields = list(_fields(graph))
    nodes = [(place, bytes(value)) for place, (number, value, _) in enumerate(fields) if number == NODE]
    if any(_has_graph(node) for _, node in nodes):
        return None
    needed, kept = set(outputs), set[int]()
    for place, node in reversed(nodes):  # nodes stand in the order they run in
        members = list(_fields(node))
        if needed & {_text(value) for number, value, _ in members if number == OUTPUTS}:
            kept.add(place)
            needed |= {_text(value) for number, value, _ in members if number == INPUTS}
    return b"".join(
        whole
        for place, (number, value, whole) in enumerate(fields)
        if not (number == NODE and place not in kept)
        and not (number == OUTPUT and _name(bytes(value), VALUE_NAME) not in outputs)
        and not (number == INITIALIZER and _name(bytes(value), TENSOR_NAME) not in needed)
    )


def _has_graph(node: bytes) -> bool:
    return any(
        number == ATTRIBUTE and any(each in (SUBGRAPH, SUBGRAPHS) for each, _, _ in _fields(bytes(value)))
        for number, value, _ in _fields(node)
    )


def _name(message: bytes, member: int) -> str:
    return next((_text(value) for number, value, _ in _fields(message) if number == member), "")


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Each field of a message: its number, its value where that is bytes (else nothing), and all of it as it stands."""
    view, place = memoryview(message), 0
    while place < len(view):
        start = place
        key, place = _varint(view, place)
        kind, value = key & 7, view[:0]
        if kind == _VARINT:
            _, place = _varint(view, place)
        elif kind == _BYTES:
            length, place = _varint(view, place)
            value = view[place : place + length]
            place += length
        elif kind in (_LONG, _SHORT):
            place += 8 if kind == _LONG else 4
        else:
            raise ValueError(f"a field of the kind {kind}")
        yield key >> 3, value, view[start:place]


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def _field(number: int, value: bytes) -> bytes:
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


@dataclass(frozen=True)
class Node:
    """Of a graph: its operator, and the names of what it reads and gives."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes_of(model: bytes) -> list[Node]:
    """The graph's nodes in the order they run in."""
    found = []
    for number, value, _ in _fields(_graph_of(model)):
        if number == NODE:
            members = [
                (each, _text(content)) for each, content, _ in _fields(value) if each in (INPUTS, OUTPUTS, OPERATOR)
            ]
            inputs, outputs, operator = (
                tuple(text for each, text in members if each == wanted) for wanted in (INPUTS, OUTPUTS, OPERATOR)
            )
            found.append(Node("".join(operator), inputs, outputs))
    return found


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model, which gives these values within it as outputs too, after its own."""
    more = b"".join(_field(OUTPUT, _field(VALUE_NAME, name.encode())) for name in names)
    return _with_graph(model, bytes(_graph_of(model)) + more)


def with_weights(model: bytes, change: Callable[[bytes, int], bytes]) -> bytes:
    """The model with other weights: `change` takes each tensor's numbers as bytes, and how many bytes a number has, and gives as
    many. Tensors that are not kept as raw bytes, and those of other types than SIZES has, stay."""
    parts = []
    for number, value, whole in _fields(_graph_of(model)):
        members = list(_fields(value)) if number == INITIALIZER else []
        size = next((SIZES.get(_varint(rest, 1)[0], 0) for each, _, rest in members if each == DATA_TYPE), 0)
        if size:
            changed = (_field(RAW, change(bytes(own), size)) if each == RAW else rest for each, own, rest in members)
            whole = memoryview(_field(INITIALIZER, b"".join(changed)))
        parts.append(whole)
    return _with_graph(model, b"".join(parts))


def _graph_of(model: bytes) -> memoryview:
    (graph,) = [value for number, value, _ in _fields(model) if number == GRAPH]
    return graph


def _with_graph(model: bytes, graph: bytes) -> bytes:
    return b"".join(_field(GRAPH, graph) if number == GRAPH else whole for number, _, whole in _fields(model))
