"""A backbone from images without labels, broken off and gone on with, and a training that starts from it."""

import filecmp
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.models.weights import load_pretrained
from pocketvision.progress import EpochEnded, Event
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.workflows.pretrain import PretrainResult, pretrain

SETTINGS = ContrastSettings(model="small_cnn", weights="none", size=32, epochs=2, batch=8, val_share=0.2)


@pytest.fixture(scope="module")
def images(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In one folder, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("images") / "all"
    folder.mkdir()
    for number, file in enumerate(sorted(photos.glob("*/*.png"))[::2]):
        shutil.copy(file, folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def unbroken(images: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    return pretrain(images, SETTINGS, out=tmp_path_factory.mktemp("runs") / "unbroken", probe=photos)


def test_features_are_judged_by_classes_after_each_epoch(unbroken: PretrainResult) -> None:
    assert len(unbroken.history) == 2
    for record in unbroken.history:
        assert {"neighbours.right", "line.right"} <= set(record.tasks)
        assert all(0 <= record.tasks[f"{name}.right"] <= 1 for name in ("neighbours", "line"))
        assert record.val_loss > 0


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    images: Path, photos: Path, unbroken: PretrainResult, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(images, SETTINGS, out=tmp_path / "run", probe=photos, on_event=interrupt)
    found = pretrain(resume=tmp_path / "run")
    assert filecmp.cmp(found.weights, unbroken.weights, shallow=False)


def test_the_backbone_is_what_a_training_starts_from(unbroken: PretrainResult) -> None:
    """Without the head that was thrown away; it has learned something."""
    started = load_pretrained("small_cnn", unbroken.weights)
    state, first = load_file(unbroken.weights), load_pretrained("small_cnn", "none").network.state_dict()
    assert started.untrained_classifier and not [name for name in state if name.startswith(("heads.", "projection."))]
    assert any(not torch.equal(state[name], first[name]) for name in state if name.endswith("weight"))


def test_wrong_use_is_told(images: Path, unbroken: PretrainResult, tmp_path: Path) -> None:
    for settings, given, told in (
        (None, {"data": images, "resume": unbroken.run}, "has its own images"),
        (None, {}, "There are no images"),
        (None, {"resume": tmp_path}, "not the folder of a pretraining"),
        (SETTINGS, {"data": tmp_path / "none"}, "is no folder"),
    ):
        with pytest.raises(UsageError, match=told):
            pretrain(settings=settings, out=tmp_path / "out", **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"temperature is 0; expected 0\.01 to 10"):
        ContrastSettings(temperature=0.0)
    assert not (tmp_path / "out").exists()
    changed = shutil.copytree(unbroken.run, tmp_path / "changed")
    text = (changed / "pretrain.json").read_text().replace(str(images), str(tmp_path / "fewer"))
    (changed / "pretrain.json").write_text(text)
    shutil.copytree(images, tmp_path / "fewer")
    (tmp_path / "fewer" / "3.png").unlink()
    with pytest.raises(UsageError, match="holds other images"):
        pretrain(resume=changed)


def test_the_verb(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        f"pretrain {images} --out {tmp_path / 'run'} --model small_cnn --weights none --size 32 --epochs 1 --batch 8"
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(words.split())
    out = capsys.readouterr().out
    assert "Next: pocketvision train LABELLED --model small_cnn --weights" in out
