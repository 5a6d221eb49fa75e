"""Milliseconds of one image as they were measured here, for advice. docs/choosing.md says how; measure your own machine with
`pocketvision benchmark`."""

MEASURED_ON = "one core of an AMD EPYC, ONNX Runtime 1.32, float32"

MILLISECONDS: dict[str, tuple[int, float]] = {"mobilenet_v3_small": (224, 1.3)}
"""By architecture: the input's side in pixels, and the median of the quietest of five turns."""
