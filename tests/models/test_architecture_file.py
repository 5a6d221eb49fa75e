"""A searched architecture as a file: it builds a network, and bad rows are errors that name row and field."""

import json
from pathlib import Path

import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build

TOML = """
name = "found"
family = "searched"
stem_channels = 16
head_channels = 256
activation = "relu6"
padding = "symmetric"
norm_epsilon = 1e-5
input_size = 96
dropout = 0.1

[[stages]]
kernel = 3
stride = 1
expansion = 1
channels = 16
repeats = 1

[[stages]]
kernel = 5
stride = 2
expansion = 4.5
channels = 24
repeats = 2
squeeze_ratio = 0.25
"""


def test_rows_from_toml_build_a_network(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    path.write_text(TOML)
    network = build(architecture(str(path)), num_classes=3)
    assert network.channels == (16, 16, 24) and network.strides == (2, 2, 4)
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 3)


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "rows.JSON"
    path.write_text(json.dumps(ARCHITECTURES["mnasnet_a1"].to_dict()))
    assert architecture(str(path)) == ARCHITECTURES["mnasnet_a1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML.replace("kernel = 5", "kernel = 4"), "In row 2 of stages 'kernel' is 4, expected an odd number"),
        (TOML.replace("repeats = 2", 'repeats = "2"'), "In row 2 of stages 'repeats' is '2', expected int"),
        (TOML.replace("channels = 24", "width = 24"), "In row 2 of stages the field 'width' is unknown"),
        (TOML.replace('padding = "symmetric"\n', ""), "In the architecture the field 'padding' is missing"),
        (TOML.replace("dropout = 0.1", "dropout = 1.5"), "'dropout' is 1.5, expected 0 to 0.95"),
        ("name = ", "can not be read: Invalid value"),
    ],
)
def test_a_bad_file_names_row_and_field(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        architecture(str(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_table_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UsageError, match="holds no table"):
        architecture(str(tmp_path / "list.json"))
    with pytest.raises(UsageError, match="There is no file"):
        architecture(str(tmp_path / "nothing.toml"))
