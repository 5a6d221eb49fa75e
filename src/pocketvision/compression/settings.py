"""Settings for quantizing a graph to 8 bits, and the table of candidates. A new candidate is a row here."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pocketvision.errors import UsageError
from pocketvision.printable import counted

Tool = Literal["onnxruntime", "onnxruntime-dynamic", "openvino"]
Calibration = Literal["minmax", "entropy", "percentile"]
Activations = Literal["uint8", "int8"]

# What is quantized: every operator that ONNX Runtime has 8-bit kernels for. Left in float: softmax and the temperature's
# division, whose outputs are the answer itself.
OPERATORS = (
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Mul",
    "Clip",
    "Relu",
    "AveragePool",
    "GlobalAveragePool",
    "ReduceMean",
    "MaxPool",
    "HardSigmoid",
    "Sigmoid",
    "HardSwish",
)


CALIBRATION = 128
"""Images that the ranges of 8 bits are found on, unless another number is asked for."""

MAX_ACCURACY_DROP = 0.5
"""Percentage points that the accuracy of an exported or quantized file may drop, unless another number is asked for."""


@dataclass(frozen=True)
class Settings:
    """How one candidate is quantized.

    tool: "onnxruntime" (static, quantize and dequantize nodes), "onnxruntime-dynamic" (linear layers only, ranges taken as it
    runs) or "openvino" (NNCF). per_channel: weights have a scale for each output channel. reduce_range: weights in 7 bits, for
    CPUs with AVX2 and without VNNI, whose 8-bit products saturate. activations: their type. calibration: how their ranges are
    found. bias_correction: NNCF's exact one, which runs the network layer by layer, in place of its fast one.
    float_layers: nodes left in float32. tuned: from the weights that were tuned for 8 bits (quantize_aware.py).
    """

    tool: Tool
    per_channel: bool = True
    reduce_range: bool = False
    activations: Activations = "uint8"
    calibration: Calibration = "minmax"
    bias_correction: bool = False
    float_layers: tuple[str, ...] = ()
    tuned: bool = False

    @property
    def backend(self) -> str:
        """The runtime whose file it is."""
        return "openvino" if self.tool == "openvino" else "onnxruntime"

    @property
    def is_portable(self) -> bool:
        """Whether every installation runs it, without an extra."""
        return self.backend == "onnxruntime"

    @property
    def title(self) -> str:
        """In a few words."""
        words: list[str] = [f"tuned {self.tool}" if self.tuned else self.tool]
        if self.tool == "onnxruntime":
            words += ["per channel" if self.per_channel else "per tensor", self.activations, self.calibration]
            words += ["7-bit weights"] if self.reduce_range else []
        if self.tool == "openvino":
            words.append("bias correction" if self.bias_correction else "fast bias correction")
        if self.float_layers:
            words.append(f"{counted(len(self.float_layers), 'layer')} in float")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


CANDIDATES: dict[str, tuple[Settings, ...]] = {
    "onnxruntime": (
        Settings("onnxruntime"),
        Settings("onnxruntime", activations="int8"),
        Settings("onnxruntime", reduce_range=True),
        Settings("onnxruntime", per_channel=False),
        Settings("onnxruntime", calibration="percentile"),
        Settings("onnxruntime", calibration="entropy"),
    ),
    "openvino": (Settings("openvino"), Settings("openvino", bias_correction=True)),
    "dynamic": (Settings("onnxruntime-dynamic"),),
}
"""What is tried, by method, in this order: what most often is good enough comes first."""


@dataclass(frozen=True)
class Tuning:
    """Tuning for 8 bits: epochs of the training split, 0 for none; lr: its highest rate."""

    epochs: float = 0.0
    lr: float = 1e-4
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, most in (("epochs", 0, 1000), ("lr", 1e-8, 1)):
            if not low <= getattr(self, name) <= most:
                raise UsageError(
                    f"--tune-{name} is {getattr(self, name):g}; expected a number from {low:g} to {most:g}."
                )
