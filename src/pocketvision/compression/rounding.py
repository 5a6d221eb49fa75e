"""Which tensors of a network are rounded to 8 bits while it learns, said to torchao's flow in its own terms.

torchao's X86InductorQuantizer finds convolutions by their module's class and passes over subclasses of nn.Conv2d, which ours are,
without a word; XNNPACK's lies in ExecuTorch. Neither rounds what ONNX Runtime's static quantization does (settings.py).
"""

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

_ATEN = torch.ops.aten
WEIGHTED = (_ATEN.conv2d.default, _ATEN.conv2d.padding, _ATEN.linear.default)
"""Operators whose second argument is a weight with its output channels first."""

# What convolutions and linear layers put out is rounded where it is taken in: after the clipping that runtimes fuse with them.
ROUNDED = (
    *WEIGHTED,
    _ATEN.add.Tensor,
    _ATEN.mul.Tensor,
    _ATEN.matmul.default,
    _ATEN.mean.dim,
    _ATEN.hardswish.default,
    _ATEN.hardsigmoid.default,
    _ATEN.sigmoid.default,
    _ATEN.silu.default,
    _ATEN.max_pool2d.default,
    _ATEN.adaptive_avg_pool2d.default,
    _ATEN.scaled_dot_product_attention.default,
)
"""Operators whose inputs are rounded: those of OPERATORS in settings.py, under their names in torch."""

_ACTIVATIONS = QuantizationSpec(
    torch.uint8,
    FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
)
# The range of a weight is its own, now: an average over steps would lag behind what is exported. Not by the fused kernel, whose
# symmetric scale is 255/254 of ONNX Runtime's: so the grid is the same to the last bit.
_WEIGHTS = QuantizationSpec(
    torch.int8,
    FakeQuantize.with_args(observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0),
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
)


class Rounding(Quantizer):  # type: ignore[misc]  # torchao has no types
    """Weights in int8 with a scale for each output channel; activations in uint8 with one for all."""

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark what is rounded in the graph's metadata."""
        for node in model.graph.nodes:
            if node.target in WEIGHTED:
                specs = {node.args[0]: _ACTIVATIONS, node.args[1]: _WEIGHTS}
            elif node.target in ROUNDED:
                specs = {
                    each: _ACTIVATIONS for each in node.args[:3] if _is_float(each)
                }  # an attention's mask is the fourth
            else:
                continue
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=specs, _annotated=True)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing has to be refused: what is not in the tables stays in float."""


def _is_float(argument: object) -> bool:
    value = argument.meta.get("val") if isinstance(argument, Node) else None
    return isinstance(value, torch.Tensor) and value.is_floating_point()
