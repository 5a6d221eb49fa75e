"""SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709): a backbone that learns to know an image again, without labels."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.models.features import POOLED
from pocketvision.models.network import Network
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.progress import EpochEnded, Note, OnEvent
from pocketvision.training.checkpoint import PhaseCheckpoints
from pocketvision.training.contrast.nt_xent import CONTRAST, PROJECTED, NtXent
from pocketvision.training.contrast.pictures import Pictures, chunks
from pocketvision.training.contrast.probe import Probe
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.training.engine import State, TrainingBatch, extended, fit
from pocketvision.training.history import HistoryFile
from pocketvision.training.inputs import IMAGES
from pocketvision.training.learner import Validated
from pocketvision.training.objective import ByTask, Validation
from pocketvision.training.settings import OptimizerSettings, PhaseSettings, RegularisationSettings, ScheduleSettings

BACKBONE = "backbone.safetensors"
"""In a run's folder: what a training starts from, without the projection head."""

_VALIDATED = 256


class ContrastModel(nn.Module):
    """A network without its tasks' heads, and the head that projects its pooled features to what is compared: two layers, which
    are thrown away afterwards."""

    def __init__(self, network: Network, projection: int, seed: int) -> None:
        super().__init__()
        self.network = network
        network.heads = nn.ModuleDict()
        network.requires_grad_(True)
        channels = network.feature_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, projection, bias=False)
            )

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, channels)."""
        return self.network.features(images, [POOLED])[POOLED]

    def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
        return {CONTRAST: {PROJECTED: self.projection(self.features(inputs[IMAGES]))}}


def phase_of(settings: ContrastSettings) -> PhaseSettings:
    """As the engine runs it: the rate rises over a tenth of the steps, then falls along a half cosine; the last epoch is kept
    where its loss is the lowest."""
    return PhaseSettings(
        1,
        epochs=settings.epochs,
        lr=settings.lr,
        batch=settings.batch,
        patience=settings.epochs,
        optimizer=OptimizerSettings(weight_decay=settings.weight_decay),
        schedule=ScheduleSettings("cosine", warmup=0.1),
        regularisation=RegularisationSettings(ema=0.0),
    )


def pretrain_network(
    network: Network,
    pictures: Pictures,
    settings: ContrastSettings,
    folder: Path,
    probe: Probe | None,
    on_event: OnEvent,
) -> State:
    """Train `network` in place, and leave `folder`/backbone.safetensors. A checkpoint in the folder is gone on from."""
    model = ContrastModel(network, settings.projection, settings.seed).to(memory_format=torch.channels_last)
    objective, phase = NtXent(settings.temperature), phase_of(settings)
    checkpoints = PhaseCheckpoints(folder / "stage1", phase.checkpoints)
    before = checkpoints.read()
    statistics = {name: each for name, each in model.named_buffers() if each.is_floating_point()}
    history = HistoryFile(folder)

    def keep(state: State) -> None:
        checkpoints.write(state)
        if not state.underway.steps:
            record = state.history[-1]
            if (wrong := history.ended(state.history)) is not None:
                on_event(Note(wrong))
            on_event(EpochEnded(record, settings.epochs, best=state.best_epoch == record.epoch))

    state = fit(
        model,
        phase,
        batches=partial(_batches, model, pictures, settings),
        steps=len(chunks(pictures.learned, settings.batch)),
        objective=objective,
        validate=partial(_validated, model, pictures, objective, probe),
        seed=settings.seed,
        statistics=statistics,
        name_of=lambda sample: str(pictures.images.samples.file(sample)),
        state=None if before is None else extended(before, phase),
        on_state=keep,
        on_step=on_event,
    )
    write_backbone(network, folder / BACKBONE)
    return state


def _batches(
    model: ContrastModel, pictures: Pictures, settings: ContrastSettings, epoch: int, first: int
) -> Iterator[TrainingBatch]:
    model.train()
    return pictures.batches(settings.batch, settings.seed, epoch, first)


@torch.no_grad()
def _validated(model: ContrastModel, pictures: Pictures, objective: NtXent, probe: Probe | None) -> Validation:
    """On pairs of views of the held-out images; with a probe, what the features tell of classes."""
    model.eval()
    loss, right, total = 0.0, 0, 0
    for images in pictures.validation(_VALIDATED):
        outputs = model({IMAGES: images})
        found, count = objective.right(outputs, None)
        loss, right, total = loss + objective.loss(outputs, None).item() * count, right + found, total + count
    figures = {} if probe is None else probe.figures(partial(features_of, model))
    return Validation(
        loss / total, right / total, {each: Validated(1 - value, value, "right") for each, value in figures.items()}
    )


@torch.no_grad()
def features_of(model: ContrastModel, batches: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Pooled features, (n, channels), of preprocessed images in batches."""
    return torch.cat([model.features(torch.from_numpy(images)) for images in batches]).numpy()


def write_backbone(network: Network, path: Path) -> None:
    """Its weights without heads, under the names of the network's state, and without the count of batches that norms have seen,
    which nothing reads: it would tell where a run was broken off."""
    weights = {
        name: torch.zeros_like(tensor) if name.endswith(".num_batches_tracked") else tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if not name.startswith("heads.")
    }
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(weights, rows_as_metadata(network.architecture)))
