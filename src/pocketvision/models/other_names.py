"""What timm and torchvision call our architectures, for files that they shall load."""

import re
from dataclasses import replace

from pocketvision.errors import UsageError
from pocketvision.models.catalog import architecture
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.timm_backbone import TimmBackbone

# Ours, by pattern, and theirs; the first that fits. A timm name after "same" is for TensorFlow's padding and epsilon.
_TIMM = (
    (r"(?:tf_)?efficientnet_b(\d)", r"efficientnet_b\1", r"tf_efficientnet_b\1"),
    (r"efficientnet_lite(\d)", r"efficientnet_lite\1", r"tf_efficientnet_lite\1"),
    (r"efficientnet_v2_(\w+)", r"efficientnetv2_\1", r"tf_efficientnetv2_\1"),
    (r"mobilenet_v1", "mobilenetv1_100", ""),
    (r"mobilenet_v2", "mobilenetv2_100", ""),
    (r"mobilenet_v2_(035|050|075|140)", r"mobilenetv2_\1", ""),
    (r"mobilenet_v3_(large|small)", r"mobilenetv3_\1_100", r"tf_mobilenetv3_\1_100"),
    (r"mobilenet_v3_(large|small)_minimalistic", "", r"tf_mobilenetv3_\1_minimal_100"),
    (r"mobilenet_v3_(large|small)_075", r"mobilenetv3_\1_075", r"tf_mobilenetv3_\1_075"),
    (r"mobilenet_v3_small_050", "mobilenetv3_small_050", ""),
    (r"mnasnet_a1", "semnasnet_100", ""),
    (r"mnasnet_b1", "mnasnet_100", ""),
    (r"resnet(\d+)", r"resnet\1", ""),
    (r"vit_(tiny|small|base)_16", r"vit_\1_patch16_224", ""),
)
# Not MNASNet: torchvision's loads no state without a version number, which a file of tensors does not carry.
_TORCHVISION = (
    (r"(efficientnet_b\d|efficientnet_v2_[sml]|mobilenet_v2|mobilenet_v3_large|mobilenet_v3_small|resnet\d+)", r"\1"),
    (r"vit_base_16", "vit_b_16"),
)


def name_in(library: str, spec: ModelSpec) -> str:
    """The name of the network in "timm" or "torchvision" that computes what `spec` does.

    Raises UsageError when there is none: no such network, or one of other padding or epsilon only.
    """
    if library == "timm" and isinstance(spec, TimmBackbone):
        return spec.timm_name.partition(".")[0]
    found = _in_timm(spec) if library == "timm" else _in_torchvision(spec)
    if not found or not _is_the_catalogues(spec):
        raise UsageError(
            f"{library} has no network that computes what {spec.name} does, so it can not load its weights."
        )
    return found


def _is_the_catalogues(spec: ModelSpec) -> bool:
    """Whether the rows are those that the name stands for, padding and epsilon apart: a file's or a pruned network's are not."""
    try:
        original = architecture(spec.name)
    except UsageError:
        return False
    if isinstance(spec, Architecture) and isinstance(original, Architecture):
        original = replace(
            original,
            padding=spec.padding,
            norm_epsilon=spec.norm_epsilon,
            input_size=spec.input_size,
            dropout=spec.dropout,
            drop_path=spec.drop_path,
        )
    return original == spec


def _in_timm(spec: ModelSpec) -> str:
    same = isinstance(spec, Architecture) and spec.padding == "same"
    if isinstance(spec, Architecture) and spec.norm_epsilon != (1e-3 if same else 1e-5):
        return ""
    for pattern, symmetric, tensorflow in _TIMM:
        found = re.fullmatch(pattern, spec.name)
        if found is not None:
            return found.expand(tensorflow if same else symmetric)
    return ""


def _in_torchvision(spec: ModelSpec) -> str:
    if isinstance(spec, Architecture) and (spec.padding, spec.norm_epsilon) != (
        "symmetric",
        _torchvision_epsilon(spec),
    ):
        return ""
    matches = ((re.fullmatch(pattern, spec.name), theirs) for pattern, theirs in _TORCHVISION)
    return next((found.expand(theirs) for found, theirs in matches if found is not None), "")


def _torchvision_epsilon(spec: Architecture) -> float:
    from pocketvision.models.key_layouts import LAYOUTS

    return LAYOUTS["torchvision"].norm_epsilon(spec) or spec.norm_epsilon
