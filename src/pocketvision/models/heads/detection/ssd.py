"""SSD: convolutions on six maps say for every default box which object it shows and where that is off the box.

`ssd` is the paper's (Liu et al., 2016, https://arxiv.org/abs/1512.02325, sections 2.1 and 2.2): plain 3x3 convolutions.
`ssd_lite` takes each apart into a depthwise one and a 1x1 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381, section 6.2),
and reads the widened channels of the block that leaves stride 16; it equals torchvision's on the same backbone.
`ssd_lite_tensorflow` has fewer default boxes, those of MobileNets' authors, and pads as TensorFlow does. `ssd_lite_coco` has
eleven outputs a default box for the background, as the networks have that were trained on COCO's list of 91 numbers: ten of them
are of no category.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import EXPANSION, HEAD_CONV, Feature, features_of
from pocketvision.models.heads.detection.default_boxes import SSD, SSD_LITE, TENSORFLOW, DefaultBoxes
from pocketvision.models.heads.detection.norms_of_one import applied
from pocketvision.models.heads.head import Head
from pocketvision.models.spec import ModelSpec, Padding

EXTRA_CHANNELS = (512, 512, 256, 256, 128)
"""Of the maps after the backbone's, each of half the side: the last four after two of its maps, all after one."""

COCO_BACKGROUNDS = 11
"""Outputs that stand for no object of networks whose classes are COCO's numbers from 0 to 90: there are 80 categories."""

VARIANCES = 0.1, 0.2
"""An offset of 1 is a tenth of the default box's side for the centre, and 0.2 for the logarithm of a side."""

_LARGEST_GROWTH = math.log(1000 / 16)
_START = 0.03
_Conv = Callable[..., ConvNormAct]


@dataclass(frozen=True)
class Form:
    """defaults: the boxes, of six maps with the backbone's first. depthwise: whether convolutions of 3x3 are taken apart.
    padding: of theirs. place: pixels between two places of the first map; None: its stride. backgrounds: how many outputs of a
    default box say that it shows no object."""

    defaults: DefaultBoxes
    depthwise: bool
    padding: Padding = "symmetric"
    place: float | None = None
    backgrounds: int = 1


class SsdHead(nn.Module):
    """From one or two maps of the backbone, the second of a larger stride, to `offsets` (N, A, 4), `class_logits`
    (N, A, 1 + classes), the background first, and the `default_boxes` (N, A, 4) that they are of: centre and sides in the input's
    pixels.

    A is fixed by the maps' sizes; 3,234 boxes for `ssd_lite` at 320 px. The boxes are spread over what the first map covers, its
    sides times its stride: the whole input where that is a multiple of it (`ssd_lite_tensorflow`: at 300 px). Raises UsageError
    for no classes and for other features.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, form: Form) -> None:
        super().__init__()
        del dropout  # the papers have none
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        strides = [each.stride for each in features]
        rising = sorted({stride for stride in strides if stride is not None})
        if len(features) not in (1, 2) or strides != rising:
            named = ", ".join(f"{each.name} (stride {each.stride})" for each in features)
            raise UsageError(f"An SSD head reads one map, or two of which the second has a larger stride; not {named}.")
        self.names, self.place = tuple(each.name for each in features), form.place or rising[0]
        self.defaults, self.backgrounds, self.outputs = form.defaults, form.backgrounds, classes + form.backgrounds
        extras = EXTRA_CHANNELS[len(features) - 1 :]
        channels = [*(each.channels for each in features), *extras]
        conv = partial(ConvNormAct, padding=form.padding, norm_epsilon=1e-3)
        extra, predictor = (_lite_extra, _lite_predictor) if form.depthwise else (_extra, _predictor)
        extra, predictor = partial(extra, conv), partial(predictor, conv)
        self.extras = nn.ModuleList(map(extra, channels[len(features) - 1 :], extras))
        counts = form.defaults.counts
        self.classifiers = _predictors(predictor, channels, [count * self.outputs for count in counts])
        self.regressors = _predictors(predictor, channels, [count * 4 for count in counts])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=_START)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; default boxes always in float32."""
        precision = next(self.parameters()).dtype
        maps = [features[name].to(precision) for name in self.names]
        for extra in self.extras:
            maps.append(applied(extra, maps[-1]))
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in maps]
        covered = sizes[0][1] * self.place, sizes[0][0] * self.place
        defaults = torch.from_numpy(self.defaults.boxes(sizes, covered)).to(maps[0].device)
        return {
            "offsets": said_of(self.regressors, maps, 4),
            "class_logits": one_background(said_of(self.classifiers, maps, self.outputs), self.backgrounds),
            "default_boxes": defaults.expand(maps[0].shape[0], -1, -1),
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, A, 4), left, top, right and bottom in the input's pixels, and `scores` (N, A, classes): each class's share
        beside the background's."""
        del postprocessing
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head gives to learn from."""
    return {
        "boxes": moved(outputs["default_boxes"], outputs["offsets"].float()),
        "scores": outputs["class_logits"].float().softmax(dim=2)[..., 1:],
    }


def moved(defaults: Tensor, offsets: Tensor, variances: tuple[float, float] = VARIANCES) -> Tensor:
    """Default boxes (..., 4), centre and sides, by their offsets (..., 4), to left, top, right, bottom (..., 4).

    A side grows 62.5 times at most, so that nothing overflows.
    """
    of_centre, of_size = variances
    centres = defaults[..., :2] + offsets[..., :2] * of_centre * defaults[..., 2:]
    halves = (offsets[..., 2:] * of_size).clamp(max=_LARGEST_GROWTH).exp() * defaults[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], dim=-1)


def ssd_features(architecture: ModelSpec) -> tuple[str, ...]:
    """The deepest maps of the last two strides; one where the backbone has but one stride, as a transformer."""
    return tuple(f"stride{stride}" for stride in sorted(set(architecture.trunk_strides()))[-2:])


def ssd_lite_features(architecture: ModelSpec) -> tuple[str, ...]:
    """Where the backbone has them: what the block that leaves the last stride but one widens its input to, and the last 1x1
    convolution (MobileNetV2, section 6.2; MobileNetV3, section 6.3); else as for SSD."""
    maps, declared = ssd_features(architecture), features_of(architecture)
    if len(maps) == 1:
        return maps
    stride = declared[maps[0]].stride
    widened = [each.name for each in declared.values() if each.name.startswith(EXPANSION) and each.stride == stride]
    return widened[-1] if widened else maps[0], HEAD_CONV if HEAD_CONV in declared else maps[1]


def one_background(logits: Tensor, backgrounds: int) -> Tensor:
    """(N, A, backgrounds + classes) to (N, A, 1 + classes): the same shares, those of the backgrounds together."""
    if backgrounds == 1:
        return logits
    return torch.cat([logits[..., :backgrounds].logsumexp(dim=2, keepdim=True), logits[..., backgrounds:]], dim=2)


def said_of(predictors: nn.ModuleList, maps: Sequence[Tensor], columns: int) -> Tensor:
    """(N, A, columns) of all maps, in the order of the default boxes."""
    rows = []
    for predictor, level in zip(predictors, maps, strict=True):
        said = applied(predictor, level).permute(0, 2, 3, 1)  # (N, h, w, boxes * columns)
        rows.append(said.reshape(said.shape[0], -1, columns))
    return torch.cat(rows, dim=1)


def _predictors(
    build: Callable[[int, int], nn.Module], channels: Sequence[int], outputs: Sequence[int]
) -> nn.ModuleList:
    return nn.ModuleList(map(build, channels, outputs))


def _predictor(conv: _Conv, channels: int, outputs: int) -> nn.Module:
    del conv
    return nn.Conv2d(channels, outputs, 3, padding=1)


def _lite_predictor(conv: _Conv, channels: int, outputs: int) -> nn.Module:
    depthwise = conv(channels, channels, 3, groups=channels, activation="relu6")
    return nn.Sequential(depthwise, nn.Conv2d(channels, outputs, 1))


def _extra(conv: _Conv, channels: int, outputs: int) -> nn.Module:
    inner = outputs // 2
    return nn.Sequential(
        conv(channels, inner, 1, activation="relu6"), conv(inner, outputs, 3, stride=2, activation="relu6")
    )


def _lite_extra(conv: _Conv, channels: int, outputs: int) -> nn.Module:
    inner = outputs // 2
    return nn.Sequential(
        conv(channels, inner, 1, activation="relu6"),
        conv(inner, inner, 3, stride=2, groups=inner, activation="relu6"),
        conv(inner, outputs, 1, activation="relu6"),
    )


def _row(name: str, form: Form, chosen: Callable[[ModelSpec], tuple[str, ...]]) -> Head:
    return Head(name, "detection", (), ("boxes", "scores"), partial(SsdHead, form=form), chosen)


LITE_TENSORFLOW = _row(
    "ssd_lite_tensorflow", Form(TENSORFLOW, depthwise=True, padding="same", place=300 / 19), ssd_lite_features
)
PAPER = _row("ssd", Form(SSD, depthwise=False), ssd_features)
LITE = _row("ssd_lite", Form(SSD_LITE, depthwise=True), ssd_lite_features)
LITE_COCO = _row("ssd_lite_coco", Form(SSD_LITE, depthwise=True, backgrounds=COCO_BACKGROUNDS), ssd_lite_features)
