"""The demo: its questions, and what it refuses."""

from pathlib import Path

import pytest

from pocketvision.data.demo_faces import QUESTIONS, demo_partition
from pocketvision.errors import UsageError
from pocketvision.training.demo_recipes import POSITIVES, RECIPES
from pocketvision.workflows.demo import demo


def test_every_question_has_a_recipe_and_a_positive_class_that_is_in_its_data() -> None:
    assert set(RECIPES) == set(POSITIVES) == set(QUESTIONS)
    for question, positive in POSITIVES.items():
        assert positive in demo_partition(question, 0).samples.class_names


def test_an_unknown_question_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean teasing"):
        demo(question="teesing", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
