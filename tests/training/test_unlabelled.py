"""Pictures without labels: in the training split, apart from what is validated and tested on, of any kind of truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.progress import silent
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.training.distillation import Taught, TaughtTargets
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.settings import DistillationSettings
from pocketvision.training.tuning import learning_classes
from pocketvision.training.unlabelled import apart_from_held_out, has_truth, learnable, with_unlabelled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "more/c", "more/d", "more/e"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return tmp_path


def samples(root: Path, **more: object) -> Samples:
    labels = ClassLabels(np.array([0, 1], np.int32), ("cat", "dog"))
    return Samples(root, ["a.png", "b.png"], {CLASSIFICATION: labels}, **more)  # type: ignore[arg-type]


def below(folder: Path) -> DistillationSettings:
    return DistillationSettings(teacher="runs/one", unlabelled=str(folder))


def log(tmp_path: Path) -> RunLog:
    return RunLog(tmp_path / "log.jsonl", silent)


def test_pictures_of_a_folder_follow_without_truth_and_those_that_are_known_do_not_come_twice(folder: Path) -> None:
    own = samples(folder, splits=np.array([0, 2], np.int8), groups=np.array([4, -1], np.int32))
    found = with_unlabelled(own, below(folder))
    names = [Path(path).name for path in found.paths]
    assert names == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert all(found.file(index).is_file() for index in range(5))
    assert has_truth(found).tolist() == [True, True, False, False, False]
    assert found.splits is not None and found.splits.tolist() == [0, 2, 0, 0, 0]
    assert found.groups is not None and found.groups.tolist() == [4, -1, -1, -1, -1]
    assert found.groups.dtype == np.int32 and found.splits.dtype == np.int8
    assert with_unlabelled(own, DistillationSettings()) is own


def test_every_truth_has_room_for_them(folder: Path) -> None:
    own = Samples(folder, ["a.png", "b.png"], {"number": NumberLabels(np.array([1.0, 2.0]))})
    found = with_unlabelled(own, below(folder / "more"))
    assert found.splits is None
    assert found.truth["number"].present.tolist() == [True, True, False, False, False]


def test_a_folder_that_is_none_and_one_without_images_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"is no folder\. --unlabelled names one"):
        with_unlabelled(samples(folder), below(folder / "a.png"))
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no image in this folder or below it"):
        with_unlabelled(samples(folder), below(folder / "empty"))


def test_they_stay_beside_what_has_truth_and_rows_of_the_data_without_are_left_out(folder: Path) -> None:
    labels = ClassLabels(np.array([0, -1], np.int32), ("cat", "dog"))
    own = with_unlabelled(Samples(folder, ["a.png", "b.png"], {CLASSIFICATION: labels}), below(folder / "more"))
    notes = log(folder)
    assert learnable(own, 2, None, (), notes).tolist() == [True, False, True, True, True]
    assert notes.notes == ["Left out: images without a class: 1 (such as b.png)."]


def test_they_are_learned_from_unless_they_look_like_what_is_held_out(folder: Path) -> None:
    """c is alike b, which is tested on; d was drawn for validation; e is alike a, which is learned from."""
    own = with_unlabelled(samples(folder), below(folder / "more")).with_splits(np.array([0, 2, 2, 1, 0], np.int8))
    notes = log(folder)
    found, stays = apart_from_held_out(own, np.array([0, 1, 1, 2, 0]), notes)
    assert found.splits is not None and found.splits.tolist() == [0, 2, 0, 0, 0]
    assert stays.tolist() == [True, True, False, True, True]
    assert "learned from by what the teacher says of them: 2 images" in notes.notes[0]
    assert "of the validation or test split: 1 (such as" in notes.notes[1]
    same, all_stay = apart_from_held_out(samples(folder, splits=np.array([0, 2], np.int8)), np.array([0, 1]), notes)
    assert all_stay.all() and len(same) == 2


def test_without_a_teacher_and_with_mixed_pictures_they_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"Name one \(--teacher\)"):
        with_unlabelled(samples(folder), DistillationSettings(unlabelled=str(folder)))
    with pytest.raises(UsageError, match="need the truth of every picture"):
        changed(
            Recipe(),
            {"distillation.unlabelled": "more", "distillation.teacher": "runs/one", "regularisation.mixup": 0.2},
        )


def test_a_batch_of_them_is_learned_from_the_teacher_alone() -> None:
    """Without truth the soft loss stands alone, whatever its share: of equal answers it is none."""
    taught = Taught(learning_classes(), {CLASSIFICATION: CLASSIFICATION}, alpha=1.0, temperature=1.0)
    said = {CLASSIFICATION: {"logits": torch.tensor([[0.0, np.log(3.0)]])}}
    other = {CLASSIFICATION: {"logits": torch.tensor([[0.0, 0.0]])}}
    assert taught.loss(said, TaughtTargets({}, said)).item() == pytest.approx(0.0, abs=1e-6)
    # The teacher says 1/2 and 1/2, the student 1/4 and 3/4.
    wanted = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert taught.loss(said, TaughtTargets({}, other)).item() == pytest.approx(wanted, abs=1e-5)
    assert taught.right(said, TaughtTargets({}, other)) == (0, 0)
