"""Several tasks at once: trained on cached features and from images, each from the images that have its truth."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_spots.installed import install
from bright_spots.truth import Points
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.fingerprints import content_hash
from pocketvision.data.samples import Samples
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing, decode
from pocketvision.progress import EpochRecord
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.truth import Truth
from pocketvision.training.engine import State
from pocketvision.training.history import history_text
from pocketvision.training.inputs import CachedInputs, ImageViews, Placements, PlainInputs
from pocketvision.training.learned_tasks import fitted, head_specs, manifests, objective_of, step_size
from pocketvision.training.phase_models import WHOLE
from pocketvision.training.phases import Entries, TrainedPhases, train_phases
from pocketvision.training.run_folder import RunFolder
from pocketvision.training.settings import PhaseSettings, ScheduleSettings, StepSize
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts

CUT = 2
TRAINED, ALL = 48, 64
PLATEAU = ScheduleSettings("plateau")
PHASES = [
    PhaseSettings(1, 16, 3e-2, batch=8, schedule=PLATEAU),
    PhaseSettings(2, 4, 5e-3, unfreeze=1, batch=8, schedule=PLATEAU),
]
SIZE = (48, 40)
LACKING = {"spots": 5, "classification": 7}
"""Each task lacks the truth of every so manieth image."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ImageViews:
    """Dim squares of three colours with up to three white spots of 5 x 5 pixels."""
    root = tmp_path_factory.mktemp("spots")
    generator = np.random.default_rng(1)
    paths, points = [], []
    for index in range(ALL):
        colour = np.roll((130, 30, 30), index % 3)
        pixels = generator.normal(colour, 12, (SIZE[1], SIZE[0], 3)).clip(0, 255).astype(np.uint8)
        places = generator.integers(4, (SIZE[0] - 4, SIZE[1] - 4), (index % 4, 2))
        for x, y in places.tolist():
            pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
        points.append({"xy": places.astype(np.float32) + 0.5})
        paths.append(f"{index}.png")
        Image.fromarray(pixels).save(root / paths[-1])
    numbers = np.arange(ALL)
    truth: dict[str, Truth] = {
        "spots": Points(Ragged.of(points), numbers % LACKING["spots"] != 1),
        "classification": ClassLabels(
            np.where(numbers % LACKING["classification"] == 2, -1, numbers % 3).astype(np.int32), ("r", "g", "b")
        ),
    }
    hashes = np.array([content_hash(decode(root / path)) for path in paths], dtype="V16")
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit="pad")
    return ImageViews(Samples(root, paths, truth), hashes, preprocessing, "standard", seed=0, workers=1)


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def truth_of(images: ImageViews, *tasks: str) -> dict[str, Truth]:
    return {task: images.samples.truth[task] for task in tasks}


def with_heads(network: Network, truth: dict[str, Truth]) -> Network:
    torch.manual_seed(3)
    network.set_heads(head_specs(truth))
    return network.eval()


def cached(network: Network, images: ImageViews, folder: Path) -> CachedInputs:
    names = network.features_read
    folder = folder / "-".join(network.heads)
    trunk, tail = (
        TrunkCache(folder, fingerprint="spots", layouts=layouts)
        for layouts in trunk_layouts(network, CUT, names, height=32, width=32)
    )
    runtime = compile_trunk(network, CUT, names, height=32, width=32, folder=folder / "trunk", threads=1)
    return CachedInputs(images, trunk, tail, runtime, views=3)


def entries(indices: NDArray[np.int64]) -> Entries:
    return Entries(indices, np.zeros(len(indices), np.int64))


def run(
    network: Network,
    inputs: CachedInputs | PlainInputs,
    truth: dict[str, Truth],
    *,
    cut: int | None = CUT,
    phases: list[PhaseSettings] = PHASES,
    checkpoints: Path | None = None,
    interrupt: tuple[int, int] | None = None,
    training: NDArray[np.int64] | None = None,
    weights: str | dict[str, float] = "equal",
) -> TrainedPhases:
    def on_epoch(state: State) -> None:
        if interrupt == (state.history[-1].stage, state.history[-1].epoch):
            raise KeyboardInterrupt

    return train_phases(
        network,
        dict.fromkeys((WHOLE, CUT, 3), inputs),
        entries=entries(np.arange(TRAINED) if training is None else training),
        validation=entries(np.arange(TRAINED, ALL)),
        phases=phases,
        from_scratch=cut is None,
        objective=objective_of(truth, weights=weights),
        seed=5,
        name_of=str,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def same(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs if a.is_floating_point())


def test_spots_are_learned_alone_from_both_sides_of_the_cut(
    network: Network, pictures: ImageViews, cache: Path
) -> None:
    truth = truth_of(pictures, "spots")
    with_heads(network, truth)
    before = copy.deepcopy(network)
    trained = run(network, cached(network, pictures, cache), truth)
    assert trained.best is not None and trained.best.val_accuracy > 0.7
    first, *_, last = trained.history
    assert last.train_loss < 0.5 * first.train_loss
    assert trained.best.tasks == {"spots.loss": trained.best.val_loss, "spots.F1": trained.best.val_accuracy}
    changed = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not torch.equal(value, before.state_dict()[name])
    }
    # What feeds no head has no gradient, but its weights decay.
    assert {"stages.2", "heads.spots"} <= changed and not changed & {"stages.0", "stages.1", "stem.conv"}
    statistics = [name for name in network.state_dict() if name.startswith("heads.spots") and "running" in name]
    assert statistics and all(
        not torch.equal(network.state_dict()[name], before.state_dict()[name]) for name in statistics
    )


def test_two_tasks_learn_together_and_repeat_when_resumed(
    network: Network, pictures: ImageViews, cache: Path, tmp_path: Path
) -> None:
    truth = truth_of(pictures, "spots", "classification")
    with_heads(network, truth)
    broken, resumed = copy.deepcopy(network), copy.deepcopy(network)
    trained = run(network, cached(network, pictures, cache), truth)
    assert trained.best is not None
    assert trained.best.tasks["spots.F1"] > 0.6
    assert trained.best.tasks["classification.accuracy"] == trained.best.val_accuracy > 0.7
    assert trained.best.val_loss == pytest.approx(
        trained.best.tasks["spots.loss"] + trained.best.tasks["classification.loss"]
    )
    for interrupt in ((1, 2), (2, 1)):
        run(broken, cached(broken, pictures, cache), truth, checkpoints=tmp_path, interrupt=interrupt)
    again = run(resumed, cached(resumed, pictures, cache), truth, checkpoints=tmp_path)
    assert same(network, resumed)
    assert [record.tasks for record in again.history] == [record.tasks for record in trained.history]


@pytest.mark.parametrize("weights", ["uncertainty", "grad_norm"])
def test_weights_that_are_learned_go_on_where_they_were(
    network: Network, pictures: ImageViews, cache: Path, tmp_path: Path, weights: str
) -> None:
    """And are in the history; while heads alone learn, GradNorm has no shared layer to look at."""
    truth = truth_of(pictures, "spots", "classification")
    with_heads(network, truth)
    broken, resumed = copy.deepcopy(network), copy.deepcopy(network)
    phases = [replace(phase, epochs=2) for phase in PHASES]
    trained = run(network, cached(network, pictures, cache), truth, phases=phases, weights=weights)
    interrupt = (2, 1)
    run(
        broken,
        cached(broken, pictures, cache),
        truth,
        phases=phases,
        weights=weights,
        checkpoints=tmp_path,
        interrupt=interrupt,
    )
    again = run(resumed, cached(resumed, pictures, cache), truth, phases=phases, weights=weights, checkpoints=tmp_path)
    assert same(network, resumed)
    assert [record.tasks for record in again.history] == [record.tasks for record in trained.history]
    learned = [(record.tasks["spots.weight"], record.tasks["classification.weight"]) for record in trained.history]
    assert len(set(learned)) >= 3 and all(weight > 0 for each in learned for weight in each)
    if weights == "grad_norm":
        assert learned[0] == learned[1] == (1, 1) and all(sum(each) == pytest.approx(2) for each in learned)
    assert [("spots+classification.cosine" in record.tasks) for record in trained.history] == [False, False, True, True]


def test_an_image_that_lacks_a_truth_says_nothing_for_that_task(
    network: Network, pictures: ImageViews, cache: Path
) -> None:
    """Whatever stands in the arrays of images whose truth is lacking, the weights come out the same; and where one task has no
    truth at all it is as if only the other were learned."""
    truth = truth_of(pictures, "spots", "classification")
    spots = truth["spots"]
    assert isinstance(spots, Points)
    garbled = dict(spots.rows.columns)
    lacking = np.repeat(~spots.present, spots.rows.lengths)
    assert lacking.any()
    garbled["xy"] = np.where(lacking[:, None], np.float32(7), garbled["xy"])
    other = {**truth, "spots": replace(spots, rows=Ragged(spots.rows.offsets, garbled))}
    with_heads(network, truth)
    twin = copy.deepcopy(network)
    phases = [replace(phase, epochs=2) for phase in PHASES]
    run(network, cached(network, pictures, cache), truth, phases=phases)
    run(twin, cached(twin, pictures, cache), other, phases=phases)
    assert same(network, twin)


def test_a_batch_without_the_truth_of_a_task_is_learned_from_by_the_others(pictures: ImageViews) -> None:
    objective = objective_of(truth_of(pictures, "spots", "classification"))
    samples = np.array([1, 6, 11])  # no spots are known of these
    placements = Placements(pictures, [(int(sample), 0) for sample in samples])
    targets = objective.targets(samples, placements)
    assert list(targets) == ["classification"]
    outputs = {"classification": {"logits": torch.zeros(3, 3)}}
    assert objective.loss(outputs, targets).item() == pytest.approx(np.log(3))
    assert list(objective.validated([objective.records(outputs, targets)]).tasks) == ["classification"]
    mixed = objective.targets(np.array([1, 2]), placements[:2])  # one lacks its spots, the other its class
    assert {task: each.rows.tolist() for task, each in mixed.items() if each.rows is not None} == {
        "spots": [1],
        "classification": [0],
    }


def test_weights_of_tasks_weigh_their_parts(pictures: ImageViews) -> None:
    objective = objective_of(truth_of(pictures, "classification"))
    outputs = {"classification": {"logits": torch.randn(2, 3)}}
    targets = objective.targets(np.array([0, 1]), Placements(pictures, [(0, 0), (1, 0)]))
    heavier = replace(objective, weights={"classification": 3.0})
    torch.testing.assert_close(heavier.loss(outputs, targets), 3 * objective.loss(outputs, targets))


def test_a_head_may_have_a_rate_of_its_own_and_the_smallest_steps_of_a_task_are_taken() -> None:
    boxes: dict[str, Truth] = {"detection": BoxLabels.of([([[0, 0, 2, 2]], [0])], ("x",))}
    classes: dict[str, Truth] = {"classification": ClassLabels(np.zeros(1, np.int32), ("x",))}
    assert step_size(classes) == StepSize(32, 1e-3)
    assert step_size(boxes) == step_size(boxes, "grid") == step_size({**classes, **boxes}) == StepSize(16, 2e-3)
    assert step_size(boxes, "detr") == StepSize(16, 2e-4)


def test_from_a_random_start_both_tasks_learn_from_images(network: Network, pictures: ImageViews) -> None:
    truth = truth_of(pictures, "spots", "classification")
    with_heads(network, truth)
    trained = run(network, PlainInputs(pictures, network, 0), truth, cut=None)
    assert trained.history[-1].train_loss < 0.7 * trained.history[0].train_loss


def test_without_the_cache_features_of_a_pyramid_are_computed_afresh(network: Network, pictures: ImageViews) -> None:
    truth = truth_of(pictures, "spots")
    with_heads(network, truth)
    phases = [replace(phase, epochs=2) for phase in PHASES]
    trained = run(network, PlainInputs(pictures, network, CUT), truth, phases=phases)
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_truth_lies_on_the_spots_of_every_view(pictures: ImageViews) -> None:
    """In flipped, turned and cropped views too: where a point comes to lie, the picture is white."""
    spots = pictures.samples.truth["spots"]
    flips = 0
    for sample in range(3, ALL, 4):
        for number in range(4):
            view = pictures.load([(sample, number)])[0].min(axis=0)
            flips += pictures.view((sample, number)).flip
            points = spots.through(sample, pictures.placement((sample, number)))
            assert isinstance(points, Points)
            for x, y in points.rows.columns["xy"].tolist():
                if 2 <= x < 30 and 2 <= y < 30:
                    assert view[int(y), int(x)] > 0.3, (sample, number, x, y)
    assert 10 < flips < 40


def test_a_placement_is_the_same_whether_the_image_was_decoded_before(tmp_path: Path) -> None:
    """A large JPEG is decoded smaller, and its EXIF turns it: both are in the placement."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((401, 603, 3), np.uint8)).save(tmp_path / "0.jpg", exif=exif)
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    samples = Samples(tmp_path, ["0.jpg"], {"classification": ClassLabels(np.zeros(1, np.int32), ("a",))})
    views = ImageViews(samples, np.zeros(1, "V16"), preprocessing, "none", seed=0)
    direct = views.placement((0, 0))
    expected = preprocessing.place(tmp_path / "0.jpg")[1]
    again = replace(views)
    again.load([(0, 0)])
    for found in (direct, views.placement((0, 0)), again.placement((0, 0))):
        assert found.image_size == expected.image_size == (401, 603)
        np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-9)


def test_classification_alone_is_as_it_always_was(pictures: ImageViews, network: Network) -> None:
    truth = truth_of(pictures, "classification")
    (task,) = manifests(truth).items()
    assert task == ("classification", replace(classifying(("r", "g", "b"))["classification"], postprocessing={}))
    assert fitted(replace(pictures.preprocessing, fit="crop", crop_share=0.9), truth).crop_share == 0.9
    with_heads(network, truth)


def test_a_task_says_how_images_are_fitted(pictures: ImageViews) -> None:
    truth = truth_of(pictures, "classification", "spots")
    cropped = Preprocessing(32, 32, 0.9, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert fitted(cropped, truth) == replace(cropped, fit="pad", crop_share=1.0)


def test_history_has_columns_for_several_tasks_and_comes_back(tmp_path: Path) -> None:
    tasks = {"spots.loss": 0.5, "spots.F1": 0.75, "classification.loss": 0.25, "classification.accuracy": 1.0}
    epochs = (
        EpochRecord(1, 1, 1.5, 0.5, 0.75, 1.0, 1e-3, 2.0, 50.0, tasks),
        EpochRecord(2, 1, 1.0, 0.5, 0.5, 1.0, 1e-4, 2.0, 50.0, {name: value / 2 for name, value in tasks.items()}),
    )
    for written in (epochs, tuple(replace(epoch, tasks={}) for epoch in epochs)):
        (tmp_path / "history.csv").write_text(history_text(written))
        assert tuple(RunFolder(tmp_path).read_history()) == written
    assert (
        history_text([replace(epochs[0], tasks={})]).splitlines()[0].endswith("images_per_second,waiting,peak_memory")
    )
