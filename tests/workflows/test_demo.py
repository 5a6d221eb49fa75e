"""The demo: its questions, and what it refuses."""

from pathlib import Path

import pytest

from pocketvision.data.demo_faces import CHEERFUL, QUESTIONS, TEASING, demo_partition
from pocketvision.errors import UsageError
from pocketvision.evaluation.evaluation import untouched_first
from pocketvision.training.demo_recipes import POSITIVES, RECIPES, SCENE_RECIPES, told
from pocketvision.training.setting_values import changed
from pocketvision.workflows.demo import SCENES_OF, demo


def test_every_question_has_a_recipe_and_a_positive_class_that_is_in_its_data() -> None:
    assert set(RECIPES) == set(POSITIVES) == set(QUESTIONS)
    for question, positive in POSITIVES.items():
        assert positive in demo_partition(question, 0).samples.class_names


@pytest.mark.slow
def test_the_demo_is_led_by_faces_never_seen(tmp_path: Path) -> None:
    result = demo(out=tmp_path / "run", lang="ko")
    by_name = {each.name: each.to_dict() for each in result.training.evaluations}
    assert by_name["unseen_faces"]["accuracy"] >= 0.85 and by_name["unseen_design"]["accuracy"] >= 0.9
    assert untouched_first(result.training.evaluations)[0].name == "unseen_faces"
    assert result.training.to_dict()["accuracy"] == by_name["unseen_faces"]["accuracy"]
    page = result.training.report.read_text("utf-8")
    headline, _, rest = page.partition('<div class="headline card">')[2].partition("</div>")
    assert "처음 보는 얼굴" in headline
    table = rest.partition('<section id="evaluations">')[2].partition("</section>")[0]
    assert table.index("처음 보는 얼굴") < table.index("처음 보는 디자인") < table.index("검증")
    assert {path.stem.rsplit("-", 1)[1] for path, _, _ in result.predictions} <= {"noto", "twemoji", "fluent"}


@pytest.mark.slow
def test_the_demo_finds_faces_in_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short form: fewer scenes, half of the epochs."""
    monkeypatch.setattr("pocketvision.workflows.demo.SCENES", {"train": 64, "val": 12, "test": 16})
    short = changed(SCENE_RECIPES["detection"], {"phases.1.epochs": 12, "data.size": 160})
    monkeypatch.setitem(SCENE_RECIPES, "detection", short)
    result = demo(task="detection", out=tmp_path / "run").training
    test = untouched_first(result.evaluations)[0]
    assert test.name == "test" and test.to_dict()["images"] == 16
    assert test.to_dict()["ap50"] > 0.6
    assert result.bundle.tasks["detection"].labels == ("face",) and result.report.is_file()
    assert (tmp_path / "run/scenes/annotations/instances_test.json").is_file()


@pytest.mark.slow
def test_one_network_tells_all_of_a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short form too."""
    monkeypatch.setattr("pocketvision.workflows.demo.SCENES", {"train": 64, "val": 12, "test": 16})
    short = changed(SCENE_RECIPES["all"], {"phases.1.epochs": 16, "data.size": 160, "cache.views": 2})
    monkeypatch.setitem(SCENE_RECIPES, "all", short)
    result = demo(task="all", out=tmp_path / "run").training
    found = {task: each.metrics.headline.value for task, each in untouched_first(result.evaluations)[0].tasks.items()}
    assert tuple(found) == tuple(result.bundle.tasks) == SCENES_OF["all"]
    assert found["classification"] > 0.5 and found["segmentation"] > 0.6 and found["detection"] > 0.1, found
    page = result.report.read_text("utf-8")
    assert all(f'id="{task}-' in page for task in found)


def test_what_is_told_of_a_recipe_is_what_differs() -> None:
    assert "in one pass" in told(RECIPES[CHEERFUL]) and "128 pixels" in told(RECIPES[CHEERFUL])
    assert "heads alone" in told(SCENE_RECIPES["all"]) and "192 pixels" in told(SCENE_RECIPES["all"])
    assert "phase 2 has 8 epochs" in told(RECIPES[TEASING]) and "weighs 2.0" in told(RECIPES[TEASING])


def test_a_question_is_asked_of_single_faces_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean detection"):
        demo(task="detections", out=tmp_path / "run")
    with pytest.raises(UsageError, match="leave it out with --task detection"):
        demo(task="detection", question="teasing", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_question_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean teasing"):
        demo(question="teesing", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
