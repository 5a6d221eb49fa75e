"""Real pictures and one real training for the tests of the upper rooms: the embedded faces at 64 pixels, some seconds in all."""

import shutil
from pathlib import Path

import pytest

from pocketvision.data.demo_faces import faces_folder

# Small enough to train in seconds, with every stage, split and step of a real run.
TINY_TRAINING = {"size": 64, "epochs1": 3, "epochs2": 2, "views": 2, "batch": 8, "seed": 3, "workers": 2}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder: 20 teasing and 28 other faces in the Noto design."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for label, count in (("teasing", 20), ("non_teasing", 28)):
        (root / label).mkdir(parents=True)
        for file in sorted((faces_folder() / label).glob("*-noto.png"))[:count]:
            shutil.copy(file, root / label / file.name)
    return root


@pytest.fixture(scope="session")
def tiny_training() -> dict[str, int]:
    """Options that make a training take seconds."""
    return dict(TINY_TRAINING)


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A finished run on `photos`, with a test split."""
    from pocketvision.workflows.train import train

    out = tmp_path_factory.mktemp("runs") / "photos"
    return train(photos, out=out, test_share=0.2, **TINY_TRAINING)  # type: ignore[arg-type]
