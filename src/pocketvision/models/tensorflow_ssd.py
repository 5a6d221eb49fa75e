"""SSDLite on MobileNetV2 from a frozen graph of TensorFlow's Object Detection API: a table from our paths to its scopes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.heads.detection.default_boxes import TENSORFLOW
from pocketvision.models.heads.detection.ssd import LITE_TENSORFLOW
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.mobilenet_v2 import ROWS
from pocketvision.models.network import Network
from pocketvision.tasks.detection.truth import DETECTION

Constants = Mapping[str, NDArray[np.float32]]

_BACKBONE = "FeatureExtractor/MobilenetV2"
_EXTRAS = (512, 256, 256, 128)
_BACKGROUND_AND_ONE = 2
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def tensorflow_ssd_lite(constants: Constants) -> Network:
    """The network of such a graph with one class and sigmoid scores. It takes images of 300 x 300 with a mean and a deviation of
    0.5.

    TensorFlow's score is the class's own sigmoid, ours its share beside the background: the same number where the background's
    logit is 0, so its outputs are. Raises WeightsError for a graph that lacks a constant, has one of another shape, or has other
    than one class.
    """
    architecture = replace(ROWS[0], padding="same", norm_epsilon=1e-3)
    network = Network(architecture, {DETECTION: HeadSpec(LITE_TENSORFLOW.name, 1)})
    own = network.state_dict()
    state = {key: _value(key, own[key], constants) for key in own}
    network.load_state_dict(state)
    return network.eval()


def scopes() -> dict[str, str]:
    """{our convolution's module path: the scope of TensorFlow's}."""
    found = {"stem": f"{_BACKBONE}/Conv", "head.conv": f"{_BACKBONE}/Conv_1"}
    number = 0
    for stage, row in enumerate(ROWS[0].stages):
        for block in range(row.repeats):
            scope = f"{_BACKBONE}/expanded_conv" + (f"_{number}" if number else "")
            found |= {
                f"stages.{stage}.{block}.{part}": f"{scope}/{part}" for part in ("expand", "depthwise", "project")
            }
            number += 1
    head = f"heads.{DETECTION}"
    for place, channels in enumerate(_EXTRAS):
        level, last = place + 2, f"3x3_s2_{channels}"
        found[f"{head}.extras.{place}.0"] = f"{_BACKBONE}/layer_19_1_Conv2d_{level}_1x1_{channels // 2}"
        found[f"{head}.extras.{place}.1"] = f"{_BACKBONE}/layer_19_2_Conv2d_{level}_{last}_depthwise"
        found[f"{head}.extras.{place}.2"] = f"{_BACKBONE}/layer_19_2_Conv2d_{level}_{last}"
    for ours, theirs in (("classifiers", "ClassPredictor"), ("regressors", "BoxEncodingPredictor")):
        for place in range(len(TENSORFLOW.counts)):
            found[f"{head}.{ours}.{place}.0"] = f"BoxPredictor_{place}/{theirs}_depthwise"
            found[f"{head}.{ours}.{place}.1"] = f"BoxPredictor_{place}/{theirs}"
    return found


_SCOPES = scopes()


def _value(key: str, own: Tensor, constants: Constants) -> Tensor:
    """What the graph has for a tensor of ours."""
    module, _, tensor = key.rpartition(".")
    if tensor == "num_batches_tracked":
        return own
    parent, _, part = module.rpartition(".")
    if part == "norm":
        return _taken(f"{_SCOPES[parent]}/BatchNorm/{_NORM[tensor]}", own, constants)
    scope = _SCOPES[parent if part == "conv" else module]
    if tensor == "bias":
        return _ordered(module, _taken(f"{scope}/biases", own, constants))
    depthwise = f"{scope}/depthwise_weights"
    if depthwise in constants:
        return _taken(depthwise, own, constants, (2, 3, 0, 1))
    return _ordered(module, _taken(f"{scope}/weights", own, constants, (3, 2, 0, 1)))


def _taken(name: str, own: Tensor, constants: Constants, axes: tuple[int, ...] | None = None) -> Tensor:
    if name not in constants:
        raise WeightsError(f"The graph is no SSDLite on MobileNetV2 of TensorFlow's: it has no {name}.")
    value = constants[name] if axes is None else constants[name].transpose(axes)
    if value.shape != tuple(own.shape):
        classes = " Only graphs of one class are read." if "ClassPredictor" in name else ""
        raise WeightsError(f"{name} is {value.shape} in the graph; expected {tuple(own.shape)}.{classes}")
    return torch.from_numpy(np.ascontiguousarray(value))


def _ordered(module: str, value: Tensor) -> Tensor:
    """Of a predictor's last convolution: offsets are y, x, height, width there, here x, y, width, height, and the background's
    logit becomes 0. Others stay as they are."""
    if not module.endswith(".1"):
        return value
    if ".regressors." in module:
        return value.reshape(-1, 4, *value.shape[1:])[:, [1, 0, 3, 2]].reshape(value.shape)
    grouped = value.reshape(-1, _BACKGROUND_AND_ONE, *value.shape[1:]).clone()
    grouped[:, 0] = 0
    return grouped.reshape(value.shape)
