"""Options that several verbs share, spelt once."""

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[str, typer.Argument(help="A bundle's folder, or the name of a pre-trained model.")]
Positive = Annotated[str | None, typer.Option(help="With two classes: the one that precision, recall and F1 speak of.")]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="onnxruntime, openvino, torch, torch-compiled, executorch, or auto for the fastest here.  [default: what the bundle "
        "has a file for]",
    ),
]
Device = Annotated[
    str,
    typer.Option(help="Where it runs, in the backend's words: cpu; ONNX Runtime: cuda, tensorrt …; OpenVINO: gpu …"),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Cores that the network may use.  [default: all of this process's]")
]
MaxAccuracyDrop = Annotated[
    float,
    typer.Option(
        min=0, max=100, help="Percentage points that the accuracy (of objects: AP) may drop, for what is not lossless."
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; `-` is standard output.")
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        help="Which of several sets of weights in a checkpoint, such as state_dict_ema.  [default: the plain ones]",
        metavar="NAME",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Class names in index order: with commas between them (a name with a comma in quotes), as a JSON array, or a file "
        "with one a line. Others are an error.",
        metavar="NAMES|FILE",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        help="As what the data is read: image-folder, image-table, split-overlay …  [default: what fits best]",
        metavar="NAME",
    ),
]
TaskKind = Annotated[
    str | None,
    typer.Option("--task", help="For which task the data is read, where it could be for several.", metavar="KIND"),
]
PathColumn = Annotated[str, typer.Option(help="The table's column of image paths.", rich_help_panel="Tables")]
LabelColumn = Annotated[str, typer.Option(help="The table's column of class names.", rich_help_panel="Tables")]
SplitColumn = Annotated[
    str, typer.Option(help="The table's column of splits (train, val, test).", rich_help_panel="Tables")
]
GroupColumn = Annotated[
    str, typer.Option(help="The table's column of groups; a group never straddles splits.", rich_help_panel="Tables")
]
BoxColumns = Annotated[
    str | None,
    typer.Option(
        help="The table's columns of boxes: left, top, right, bottom, with commas between them.  [default: found by their names]",
        metavar="NAMES",
        rich_help_panel="Tables",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        help="Where the relative paths of a table or of annotations start, and where absolute ones are looked up that lead "
        "nowhere.  [default: the table's folder]",
        metavar="FOLDER",
        rich_help_panel="Tables",
    ),
]
Ignore = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Of masks: the value of pixels that are of no class, beside 255.  [default: none]"
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        help="Of a published data set by name (cifar10, fashion_mnist …): where its archives are looked for and everything is "
        "written.  [default: the cache folder]",
        metavar="FOLDER",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch what of a published data set is not there.", show_default=False)
]
MinPerClass = Annotated[
    int, typer.Option(min=1, help="Leave out classes with fewer images (duplicates and groups count once in training).")
]
Batch = Annotated[int | None, typer.Option(min=1, help="Images a run of the network.  [default: 4]")]
DecodingWorkers = Annotated[
    int | None, typer.Option(min=1, max=256, help="Threads that read and run images.  [default: one a core]")
]
Workers = Annotated[int, typer.Option(min=0, max=256, help="Threads that read images.")]
MaxPixels = Annotated[int, typer.Option(min=1, help="Images of more pixels are refused before they are decoded.")]
Tile = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Of masks: pixels of a picture that are looked at at once, each way, in overlapping tiles; 0 looks at all of it.  "
        "[default: as the bundle says]",
    ),
]
Scales = Annotated[
    str | None,
    typer.Option(
        help="Of masks: how much larger than usual a picture is looked at, each once: 1,1.5 takes five times as long.  "
        "[default: as the bundle says]",
        metavar="NUMBERS",
    ),
]
Tta = Annotated[
    str | None,
    typer.Option(
        metavar="VIEWS",
        help="Average the answers over views of each picture, such as hflip,scale: hflip, vflip, rot90, scale, five_crop.",
    ),
]
Lang = Annotated[str, typer.Option(help="The report's language: en or ko.")]


def parse_names(value: str | None) -> list[str]:
    """Names of columns with commas between them; none where nothing is given."""
    return [] if value is None else [name.strip() for name in value.split(",")]


def parse_scales(value: str | None) -> list[float] | None:
    """Numbers from --scales. Raises UsageError for what is none."""
    if value is None:
        return None
    try:
        return [float(each) for each in value.split(",")]
    except ValueError:
        from pocketvision.errors import UsageError

        raise UsageError(
            f"--scales is {value[:60]!r}; expected numbers with commas between them, such as 1,1.5."
        ) from None


def parse_labels(value: str | None) -> list[str] | None:
    """Names from --labels."""
    if value is None:
        return None
    from pocketvision.data.class_lists import parse_class_names

    return parse_class_names(value)
