"""What train refuses, and what it says: each before anything is trained."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import pocketvision
from pocketvision.errors import PocketVisionError, UsageError, WeightsError


def picture(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.effect_noise((48, 48), 60).convert("RGB")
    image.putpixel((0, 0), (shade, 0, 0))
    image.save(path)


def refused(data: Path, match: str, **options: object) -> str:
    with pytest.raises(UsageError, match=match) as caught:
        # Beside data that other processes use too.
        pocketvision.train(data, out=data.parent / f"refused-{os.getpid()}", **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere", "no such|not exist|does not")


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    refused(tmp_path / "data", "class")


def test_one_class_only(tmp_path: Path) -> None:
    for index in range(4):
        picture(tmp_path / "data" / "only" / f"{index}.png", index)
    refused(tmp_path / "data", r"one class only \(only\)")


def test_a_class_with_one_image(tmp_path: Path) -> None:
    for index in range(4):
        picture(tmp_path / "data" / "many" / f"{index}.png", index)
    picture(tmp_path / "data" / "few" / "0.png")
    refused(tmp_path / "data", r"fewer than 2 readable images are left of 1 of 2 classes: few \(1\)")


def test_all_files_broken(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "data" / label / f"{index}.jpg").write_text("text")
    refused(tmp_path / "data", "none of its images can be read")


def test_an_unknown_model_lists_near_matches(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown model 'efficientnet_light0'.*efficientnet_lite0"):
        pocketvision.train(photos, out=tmp_path / "run", model="efficientnet_light0")


def test_weights_of_another_architecture_list_keys(photos: Path, tmp_path: Path) -> None:
    import torch

    from pocketvision.models.catalog import build

    weights = tmp_path / "other.pth"
    torch.save(build("efficientnet_b0", num_classes=2).state_dict(), weights)
    with pytest.raises(WeightsError, match=r"stages\.\d"):
        pocketvision.train(photos, out=tmp_path / "run", model="mobilenet_v2", weights=str(weights))


def test_a_table_without_the_column(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,kind\na.png,x\n")
    message = refused(table, "path")
    assert "file" in message and "kind" in message


def test_a_table_with_a_missing_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    table = tmp_path / "t.csv"
    table.write_text("path,label\na.png,x\nb.png,y\n")
    refused(table, r"b\.png")


def test_an_option_out_of_its_range(photos: Path, tmp_path: Path) -> None:
    refused(photos, r"--lr1 is -1.*expected", lr1=-1)
    refused(photos, r"--views is 0", views=0)
    refused(photos, r"--class-weights", class_weights="heavy")
    refused(photos, "Unknown schedule", schedule="stairs", size=64, epochs2=0)
    refused(photos, r"phases\.2\.unfreeze is 10: .*expected 0 to 7, or 8 for the stem as well", unfreeze=10)
    refused(photos, "Unknown positive class 'teasin'.*teasing", positive="teasin")
    refused(photos, "Unknown class 'teazing'.*teasing", class_weights={"teazing": 2.0})
    refused(photos, "anguage", lang="fr")
    refused(photos, "nothing to train", epochs1=0, epochs2=0)
    assert not (tmp_path / "run").exists()


def test_an_output_folder_in_use(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="--resume"):
        pocketvision.train(photos, out=tmp_path / "run")
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"


def test_a_cache_limit_too_small_for_one_view(photos: Path, tmp_path: Path) -> None:
    big = tmp_path / "data"
    shutil.copytree(photos, big)
    refused(big, r"cache\.limit allows 0\.001 GB", size=320, cache_limit=0.001)


def test_import_wants_as_many_labels_as_outputs(tmp_path: Path) -> None:
    import torch

    from pocketvision.models.catalog import build

    weights = tmp_path / "mine.pth"
    torch.save(build("efficientnet_lite0", num_classes=3).state_dict(), weights)
    with pytest.raises(UsageError, match="has 3 outputs and 2 labels"):
        pocketvision.import_weights(weights, model="efficientnet_lite0", labels=["a", "b"])
    with pytest.raises(PocketVisionError, match="no such file"):
        pocketvision.import_weights(tmp_path / "none.pth", model="efficientnet_lite0", labels=["a", "b"])


@pytest.mark.parametrize("model", ["efficientnet_lite0", "timm:convnext_atto"])
@pytest.mark.parametrize("labels", [["a"], ["a", "b"]])
def test_import_refuses_weights_without_a_classifier(model: str, labels: list[str], tmp_path: Path) -> None:
    """With one label as well, the number of outputs that a network without classes is built with."""
    import torch

    from pocketvision.models.catalog import build

    state = {key: value for key, value in build(model).state_dict().items() if not key.startswith("heads.")}
    weights = tmp_path / "encoder.pth"
    torch.save(state, weights)
    message = rf"encoder\.pth holds no classifier.* train FOLDER --model {model} --weights .*encoder\.pth$"
    with pytest.raises(UsageError, match=message):
        pocketvision.import_weights(weights, model=model, labels=labels, out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
