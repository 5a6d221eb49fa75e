"""Which layer a converter has no word for: said by name, where the converter's own error says it by its insides."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.models.heads.detection.faster_rcnn import Proposals

Converted = TypeVar("Converted")


def converted(
    convert: Callable[[nn.Module, Tensor], Converted], graph: nn.Module, example: Tensor, *, into: str
) -> Converted:
    """What `convert` makes of the graph and its example input (N, 3, H, W).

    Raises UsageError when it fails: with the name of the first layer that it can not convert by itself either, and why. into: the
    format, for the message.
    """
    try:
        return convert(graph, example)
    except (PocketVisionError, OSError):  # a full disk is no layer's fault
        raise
    except Exception as error:  # converters raise what they please
        raise UsageError(
            f"{into} can not hold this network: {_first_unsupported(convert, graph, example) or _reason(error)}. Replace what "
            "it names, or export to another target."
        ) from error


def require_torchs_own(graph: nn.Module, *, into: str) -> None:
    """Raise UsageError for a network with operations of this package: a file of torch's names them, and who opens it alone has
    none of them. into: the format, for the message."""
    if any(isinstance(layer, Proposals) for layer in graph.modules()):
        raise UsageError(
            f"{into} can not hold a network of two stages: what its first stage proposes is sorted out by an operation of this "
            "package, which a host of that file does not have. Export to onnx, which has one of its own, or openvino."
        )


def _first_unsupported(convert: Callable[[nn.Module, Tensor], object], graph: nn.Module, example: Tensor) -> str | None:
    """The first layer without layers of its own that can not be converted alone, on the input it has in the graph."""
    for name, layer, given in _layers_with_inputs(graph, example):
        try:
            convert(layer, given)
        except Exception as error:
            return f"the layer {name} ({type(layer).__name__}) is not supported ({_reason(error)})"
    return None


def _layers_with_inputs(graph: nn.Module, example: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """In the order they run; of one type only the first, and none that takes more than one tensor or changes none."""
    found: dict[type, tuple[str, nn.Module, Tensor]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def keep(layer: nn.Module, given: tuple[object, ...], answered: object) -> None:
            if len(given) == 1 and isinstance(given[0], Tensor) and answered is not given[0]:
                found.setdefault(type(layer), (name, layer, given[0].detach()))

        return keep

    leaves = [(name, layer) for name, layer in graph.named_modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in leaves]
    try:
        with torch.no_grad():
            graph(example)
    except Exception:
        return []  # it does not even run, and the error at hand says why
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


def _reason(error: BaseException) -> str:
    """The first line of what lies at the root of it, as short as a sentence can be."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no reason given'}"
