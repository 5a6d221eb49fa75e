"""How much of the picture a number of a map sees, followed through the operations of a pass."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

Sides = tuple[float, float]


@dataclass(frozen=True)
class Field:
    """What one position of a tensor depends on. size: height and width of the patch of input pixels that reaches it through
    kernels and pooling windows. step: input pixels from one position to the next. sees_all: something over the whole picture
    reaches it too, such as the gate of a squeeze-and-excitation, a global pooling or attention."""

    size: Sides = (1.0, 1.0)
    step: Sides = (1.0, 1.0)
    sees_all: bool = False

    def through(self, kernel: Sides, stride: Sides, dilation: Sides = (1.0, 1.0)) -> "Field":
        """After a window: size + (kernel - 1) * dilation * step, the step times the stride (Araujo et al. 2019,
        https://distill.pub/2019/computing-receptive-fields)."""
        size = tuple(
            own + (k - 1) * d * step for own, k, d, step in zip(self.size, kernel, dilation, self.step, strict=True)
        )
        step = tuple(own * s for own, s in zip(self.step, stride, strict=True))
        return Field((size[0], size[1]), (step[0], step[1]), self.sees_all)


class FieldTracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, every tensor that is computed from `images` has its field: `of(tensor)`.

    Additions and joints take the widest of their inputs. A gate of one position that multiplies a map adds no window of its own;
    it sets `sees_all`.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fields = WeakTensorKeyDictionary()
        self._fields[images] = Field()

    def of(self, tensor: Tensor) -> Field | None:
        """None of what does not come from the images."""
        found: Field | None = self._fields.get(tensor)  # type: ignore[no-untyped-call]
        return found

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        outputs = func(*args, **given)
        known = [
            (each, field)
            for each in tree_leaves((args, given))
            if isinstance(each, Tensor) and (field := self.of(each)) is not None
        ]
        if known:
            rule = _RULES.get(func.overloadpacket.__name__, _widest)
            for output in tree_leaves(outputs):
                if isinstance(output, Tensor):
                    self._fields[output] = rule(known, args, output)
        return outputs


Known = list[tuple[Tensor, Field]]
Rule = Callable[[Known, tuple[Any, ...], Tensor], Field]


def _pair(value: Any, default: Sides = (1.0, 1.0)) -> Sides:
    """A number or a list of one or two, as torch takes them."""
    values = [value] if isinstance(value, int | float) else list(value or ())
    return default if not values else (float(values[0]), float(values[-1]))


def _convolution(known: Known, args: tuple[Any, ...], _output: Tensor) -> Field:
    field, (height, width) = known[0][1], args[1].shape[2:]
    stride, dilation = _pair(args[3]), _pair(args[5])
    if args[6]:  # transposed: an output takes every stride-th number of the kernel
        reached = (-(-height // stride[0]), -(-width // stride[1]))
        return field.through(reached, (1 / stride[0], 1 / stride[1]))
    return field.through((height, width), stride, dilation)


def _pooling(known: Known, args: tuple[Any, ...], _output: Tensor) -> Field:
    kernel = _pair(args[1])
    return known[0][1].through(kernel, _pair(args[2] if len(args) > 2 else None, kernel))


def _adaptive(known: Known, _args: tuple[Any, ...], output: Tensor) -> Field:
    (source, field), out = known[0], output.shape[-2:]
    if prod(out) == 1:
        return replace(field, sees_all=True)
    stride = tuple(before / after for before, after in zip(source.shape[-2:], out, strict=True))
    return field.through((float(-(-stride[0] // 1)), float(-(-stride[1] // 1))), (stride[0], stride[1]))


def _resized(taps: int) -> Rule:
    """Interpolation between so many neighbours each way."""

    def rule(known: Known, _args: tuple[Any, ...], output: Tensor) -> Field:
        source, field = known[0]
        scale = tuple(before / after for before, after in zip(source.shape[-2:], output.shape[-2:], strict=True))
        return field.through((taps, taps), (scale[0], scale[1]))

    return rule


def _reduced(known: Known, _args: tuple[Any, ...], output: Tensor) -> Field:
    """A mean or a maximum: over positions it sees all of them, over channels nothing new."""
    source, field = known[0]
    return replace(field, sees_all=field.sees_all or _positions(output) < _positions(source))


def _all(known: Known, args: tuple[Any, ...], output: Tensor) -> Field:
    return replace(_widest(known, args, output), sees_all=True)


def _product(known: Known, args: tuple[Any, ...], output: Tensor) -> Field:
    """Of two activations, as in attention, positions meet; with weights they do not."""
    return (_all if len(known) > 1 else _flat)(known, args, output)


def _flat(known: Known, args: tuple[Any, ...], output: Tensor) -> Field:
    """A map that became one row of numbers is read as a whole by what comes next."""
    field = _widest(known, args, output)
    lost = output.ndim == 2 and len(output) == len(known[0][0]) and _positions(known[0][0]) > 1
    return replace(field, sees_all=field.sees_all or lost)


def _widest(known: Known, _args: tuple[Any, ...], _output: Tensor) -> Field:
    most = max(_positions(each) for each, _ in known)
    maps = [field for each, field in known if _positions(each) == most or most == 1]
    size = (max(field.size[0] for field in maps), max(field.size[1] for field in maps))
    return Field(size, maps[0].step, any(field.sees_all for _, field in known))


def _positions(tensor: Tensor) -> int:
    """Of a map (N, C, h, w), or of tokens (N, T, C)."""
    return prod(tensor.shape[2:]) if tensor.ndim >= 4 else tensor.shape[1] if tensor.ndim == 3 else 1


_RULES: dict[str, Rule] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "_adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    "upsample_nearest2d": _resized(1),
    "upsample_bilinear2d": _resized(2),
    "upsample_bicubic2d": _resized(4),
    "mean": _reduced,
    "amax": _reduced,
    "sum": _reduced,
    "native_group_norm": _all,
    "bmm": _product,
    "mm": _flat,
    "addmm": _flat,
    "view": _flat,
    "reshape": _flat,
    "_unsafe_view": _flat,
}


def traced_field(tracing: FieldTracing, outputs: Any) -> Field | None:
    """The widest field among a module's outputs."""
    fields = [field for field in _fields(tracing, outputs) if field is not None]
    return max(fields, key=lambda each: (each.size, each.sees_all), default=None)


def _fields(tracing: FieldTracing, outputs: Any) -> Iterator[Field | None]:
    return (tracing.of(each) for each in tree_leaves(outputs) if isinstance(each, torch.Tensor))
