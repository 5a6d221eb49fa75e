"""A bundle of a detector that somebody else exported: an ONNX graph with boxes and scores."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TensorInfo, write_bundle
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.runtime.backends import open_onnx
from pocketvision.tasks.detection.decode import BOXES, SCORES
from pocketvision.tasks.detection.task import detecting

_PICTURES = 16
"""That the graph is run on."""

_FILE = "model.onnx"
_GOLDEN = 4


def bundle_of_onnx(
    graph: Path, labels: Sequence[str], folder: Path, prepared: Callable[[Preprocessing], Preprocessing]
) -> Bundle:
    """Of an ONNX file: one input, float32 (N or 1, 3, H, W); outputs of `boxes` (N, A, 4), left, top, right and bottom in the
    input's pixels, and `scores` (N, A, classes) in [0, 1], by these names or told apart by their last side. prepared: the
    preprocessing with what the user gave in its place.

    The bundle has that graph and nothing else, so it predicts, serves and is measured, but can not be made smaller. Raises
    UsageError for another graph, another number of labels, and for boxes and scores out of their range on real pictures.
    """
    inputs, outputs = _tensors(graph)
    height, width = inputs[0].shape[2:]
    roles = _roles(graph, outputs, len(labels))
    preprocessing = prepared(Preprocessing(int(height), int(width), 1.0, "bilinear", (0.0,) * 3, (1.0,) * 3, fit="pad"))
    if (preprocessing.height, preprocessing.width) != (height, width):
        raise UsageError(f"{graph} takes {width} x {height} pixels and nothing else, so --size does not go with it.")
    images = np.stack([preprocessing(picture) for picture in some_pictures(_PICTURES)])
    found = open_onnx(graph).run(images)
    _check_range(graph, found[roles[BOXES]], found[roles[SCORES]])
    (task,) = detecting(labels, {}).values()
    return write_bundle(
        folder,
        Manifest(
            architecture={"name": graph.stem},
            preprocessing=preprocessing,
            tasks={task.kind: type(task)(task.kind, task.labels, roles)},
            graphs=(GraphManifest("onnx", inputs, outputs, (_FILE,)),),
        ),
        {_FILE: graph},
        images[:_GOLDEN],
        {name: values[:_GOLDEN] for name, values in found.items()},
    )


def _tensors(graph: Path) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """The graph's inputs and outputs. UsageError for a file that is no ONNX, and for another input."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise UsageError(f"{graph}: ONNX Runtime can not load it ({error})") from error
    taken, given = session.get_inputs(), session.get_outputs()
    told = [", ".join(f"{each.name} {each.type} {each.shape}" for each in side) for side in (taken, given)]
    shape = taken[0].shape
    free = len(shape) == 4 and (shape[0] == 1 or not isinstance(shape[0], int))
    fixed = free and shape[1] == 3 and _whole(shape[2:])
    if len(taken) != 1 or taken[0].type != "tensor(float)" or not fixed:
        raise UsageError(
            f"{graph} takes {told[0]}; expected one input of float32, (N, 3, height, width), its height and width fixed. Export "
            "it for one size."
        )
    if not all(each.type == "tensor(float)" and _whole(each.shape[1:]) for each in given):
        raise UsageError(
            f"{graph} puts out {told[1]}; expected float32 of fixed sides. Export it without suppression (NMS): that is "
            "done here."
        )
    inputs, outputs = (
        tuple(TensorInfo(each.name, "float32", (each.shape[0] or "batch", *each.shape[1:])) for each in side)
        for side in (taken, given)
    )
    return inputs, outputs


def _whole(sides: Sequence[object]) -> bool:
    return all(isinstance(side, int) for side in sides)


def _roles(graph: Path, outputs: Sequence[TensorInfo], classes: int) -> dict[str, str]:
    """The graph's output for each role."""
    rows = [each for each in outputs if len(each.shape) == 3]
    named = {role: each.name for each in rows for role in (BOXES, SCORES) if each.name.rpartition(".")[2] == role}
    shaped = {role: [each for each in rows if each.shape[2] == last] for role, last in ((BOXES, 4), (SCORES, classes))}
    if len(named) < 2 and classes != 4 and all(len(each) == 1 for each in shaped.values()):
        named = {role: each[0].name for role, each in shaped.items()}
    sides = {each.name: each.shape[1:] for each in rows}
    told = ", ".join(f"{each.name} {list(each.shape)}" for each in outputs)
    if len(named) < 2 or sides[named[BOXES]][1] != 4 or sides[named[BOXES]][0] != sides[named[SCORES]][0]:
        raise UsageError(
            f"{graph} puts out {told}; expected boxes (N, A, 4) and scores (N, A, classes), with one A, before anything is "
            "suppressed."
        )
    if sides[named[SCORES]][1] != classes:
        raise UsageError(
            f"{graph} has scores of {sides[named[SCORES]][1]} classes and {counted(classes, 'label')} were given (--labels): "
            "expected one a class, in index order."
        )
    return {role: named[role] for role in (BOXES, SCORES)}


def _check_range(graph: Path, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
    """UsageError where the numbers for real pictures can not be what they should be."""
    if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
        raise UsageError(f"{graph} gives values that are not finite numbers for ordinary pictures.")
    if scores.min() < 0 or scores.max() > 1:
        raise UsageError(
            f"{graph} gives scores from {scores.min():.3g} to {scores.max():.3g}; expected shares from 0 to 1: put the sigmoid "
            "or softmax into the graph."
        )
    best = boxes[scores.max(axis=2) >= np.quantile(scores.max(axis=2), 0.5)]
    if np.abs(best).max() <= 2:
        raise UsageError(
            f"{graph} gives boxes of up to {np.abs(best).max():.3g}: shares of the input, as it seems; expected pixels of it."
        )
    if (best[:, 2:] < best[:, :2]).mean() > 0.1:
        raise UsageError(
            f"{graph} gives boxes whose right lies left of their left: centres and sides, as it seems; expected left, top, right "
            "and bottom."
        )
