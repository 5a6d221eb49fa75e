"""What stands within an ONNX graph: activations of its convolutions, the features its last layer reads, and random weights in the
place of learned ones. Without torch, on any bundle with a model.onnx."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError, unknown_name
from pocketvision.runtime.backends import usable_cores
from pocketvision.runtime.onnx_part import nodes_of, with_outputs, with_weights

FILE = "model.onnx"
LEAST_WEIGHTS = 16
"""Smaller tensors are constants of the graph, such as a norm's epsilon: they stay as they are."""


def model_bytes(bundle: Bundle) -> bytes:
    """Of model.onnx. Raises BundleError for a bundle without."""
    if FILE not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.folder} holds no {FILE}, which this way to explain looks into. Add it with: pocketvision export "
            f"{bundle.folder} --to onnx"
        )
    return bundle.path(FILE).read_bytes()


class InnerValues:
    """An ONNX graph that also gives values between its nodes."""

    def __init__(self, model: bytes, where: str) -> None:
        """where: for messages."""
        self._model, self._where = model, where
        self._nodes = nodes_of(model)
        self._sessions: dict[tuple[str, ...], Any] = {}

    @cached_property
    def maps(self) -> tuple[str, ...]:
        """What its convolutions give, in the order they run in, activations included where one follows alone."""
        following: dict[str, list[Any]] = {}
        for node in self._nodes:
            for name in node.inputs:
                following.setdefault(name, []).append(node)
        found = []
        for node in self._nodes:
            if node.operator in ("Conv", "QLinearConv"):
                name, after = node.outputs[0], following.get(node.outputs[0], [])
                activated = len(after) == 1 and after[0].operator in ("Relu", "Clip", "LeakyRelu", "HardSwish")
                found.append(after[0].outputs[0] if activated else name)
        return tuple(dict.fromkeys(found))

    def run(self, images: NDArray[np.float32], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """The values of these names for preprocessed images (N, 3, H, W). Raises UsageError with near matches for one that is
        not there."""
        known = [name for node in self._nodes for name in node.outputs if name]
        for name in names:
            if name not in known:
                raise unknown_name(f"value of {self._where}", name, known)
        session = self._session(names)
        values = session.run(list(names), {session.get_inputs()[0].name: images})
        return dict(zip(names, values, strict=True))

    def deepest_map(self, images: NDArray[np.float32]) -> str:
        """Of the maps that are smallest, yet more than one pixel, the one of most channels (a detector's last layers have few),
        the last of several. Raises UsageError where there is none."""
        values = self.run(images[:1], self.maps) if self.maps else {}
        shapes = {name: value.shape[1:] for name, value in values.items() if value.ndim == 4}
        areas = {name: height * width for name, (_, height, width) in shapes.items() if height * width > 1}
        if not areas:
            raise UsageError(
                f"{self._where} has no convolution that gives a map, so there are no activations to weigh. Take occlusion."
            )
        least = min(areas.values())
        smallest = [name for name, area in areas.items() if area == least]
        most = max(shapes[name][0] for name in smallest)
        return [name for name in smallest if shapes[name][0] == most][-1]

    def _session(self, names: tuple[str, ...]) -> Any:
        import onnxruntime

        if names not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = usable_cores()
            options.log_severity_level = 3
            own = {name for name in names if name in self._outputs}
            model = with_outputs(self._model, [name for name in names if name not in own])
            try:
                self._sessions[names] = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
                raise BundleError(f"{self._where}: it can not be looked into ({error})") from error
        return self._sessions[names]

    @cached_property
    def _outputs(self) -> frozenset[str]:
        import onnxruntime

        session = onnxruntime.InferenceSession(self._model, providers=["CPUExecutionProvider"])
        return frozenset(each.name for each in session.get_outputs())


def randomised(model: bytes, seed: int = 0) -> bytes:
    """The model with each weight tensor's numbers in a random order: nothing of what was learned is left but how large its
    weights are."""
    rng = np.random.default_rng(seed)

    def shuffled(raw: bytes, size: int) -> bytes:
        values = np.frombuffer(raw, f"u{size}")
        return raw if len(values) < LEAST_WEIGHTS else rng.permutation(values).tobytes()

    return with_weights(model, shuffled)
