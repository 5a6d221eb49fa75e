"""Milliseconds of one image as they were measured here, for advice. docs/choosing.md says how; measure your own machine with
`pocketvision benchmark`."""

MEASURED_ON = "one core of an AMD EPYC with AVX-512, ONNX Runtime 1.32, float32"

MILLISECONDS: dict[str, tuple[int, float]] = {
    "resnet18": (224, 15.6),
    "resnet50": (224, 33.8),
    "efficientnet_b0": (224, 6.3),
    "efficientnet_b1": (240, 10.4),
    "efficientnet_b2": (288, 15.4),
    "efficientnet_lite0": (224, 4.4),
    "efficientnet_v2_b0": (224, 7.8),
    "efficientnet_v2_s": (384, 77.2),
    "mobilenet_v1": (224, 5.4),
    "mobilenet_v2": (224, 3.5),
    "mobilenet_v3_small": (224, 0.89),
    "mobilenet_v3_large": (224, 2.9),
    "mnasnet_a1": (224, 3.6),
    "vit_tiny_16": (224, 13.5),
    "vit_small_16": (224, 45.1),
}
"""By architecture: the input's side in pixels, and the median of the quietest of five turns."""
