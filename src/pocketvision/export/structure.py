"""A module's structure as a digest: all that a conversion of it depends on, but the values of its weights."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pocketvision

_PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy")
_OWN_TO_TORCH = frozenset(vars(nn.Module()))
_PLAIN = (str, int, float, bool, bytes, type(None), torch.dtype, torch.device, torch.memory_format, Path, Enum)


class _UnseenError(Exception):
    """Of a value whose contents can not be seen."""


def structure(module: nn.Module, example: Tensor, said: Sequence[object]) -> str | None:
    """A digest of layers by name with their settings, names and shapes of floating-point weights, all other tensors whole, the
    example's shape, the code that computes and its versions, and what is said besides. None where any of it can not be seen:
    hooks and foreign objects."""
    try:
        parts = [_code(), str(tuple(example.shape)), str(example.dtype), *(_described(each) for each in said)]
        for name, layer in module.named_modules():
            parts.append(f"{name}:{_layer(layer)}")
    except (_UnseenError, RecursionError):
        return None
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _layer(layer: nn.Module) -> str:
    kind = type(layer)
    if layer._forward_hooks or layer._forward_pre_hooks:
        raise _UnseenError
    own = {name: value for name, value in vars(layer).items() if name not in _OWN_TO_TORCH}
    kept = {*layer._parameters, *layer._buffers} - layer._non_persistent_buffers_set
    tensors = {
        name: _tensor(value, whole=name not in kept)
        for name, value in {**layer._parameters, **layer._buffers}.items()
        if value is not None
    }
    named: Callable[..., object] = kind
    return f"{kind.__module__}.{kind.__qualname__}:{_source(named)}:{layer.training}:{_described(own)}:{sorted(tensors.items())}"


def _tensor(value: Tensor, *, whole: bool) -> str:
    if whole or not value.is_floating_point():
        return _digest(value)
    return f"{value.dtype}{tuple(value.shape)}"


def _described(value: Any) -> str:
    """The same text for the same contents."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, Tensor):
        return _digest(value)
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_described(name)}: {_described(each)}' for name, each in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"set {sorted(map(_described, value))}"
    if isinstance(value, Sequence):
        return f"{type(value).__name__} [{', '.join(map(_described, value))}]"
    if is_dataclass(value) and not isinstance(value, type):
        return (
            f"{type(value).__qualname__} {_described({each.name: getattr(value, each.name) for each in fields(value)})}"
        )
    if isinstance(value, nn.Module):
        return "module"  # of the tree, which names it; else of none that runs
    return _callable(value)


def _callable(value: Any) -> str:
    if isinstance(value, partial):
        return f"partial {_described([value.func, value.args, value.keywords])}"
    if isinstance(value, FunctionType | BuiltinFunctionType | type):
        closed = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        given = [closed, getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        return f"{value.__module__}.{value.__qualname__}:{_source(value)}:{_described(given)}"
    raise _UnseenError


def _digest(value: Tensor) -> str:
    return f"{value.dtype}{tuple(value.shape)}{hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()}"


@cache
def _source(value: Any) -> str:
    """The file that defines a class or function outside torch, which `_code` has no version of."""
    if (value.__module__ or "").partition(".")[0] in ("torch", "builtins", "pocketvision"):
        return ""
    try:
        return hashlib.sha256(Path(inspect.getfile(value)).read_bytes()).hexdigest()
    except (TypeError, OSError):
        raise _UnseenError from None


@cache
def _code() -> str:
    """All of this package's code, and the versions of what converts and runs."""
    digest = hashlib.sha256()
    for file in sorted(Path(pocketvision.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} {[_version(name) for name in _PACKAGES]} {torch.backends.mkldnn.enabled}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
