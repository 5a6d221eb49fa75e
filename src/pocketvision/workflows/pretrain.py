"""pretrain: a backbone learns from images without labels, for a training to start from."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import EpochRecord, Note, OnEvent, silent
from pocketvision.training.contrast.pictures import read_pictures
from pocketvision.training.contrast.pretraining import BACKBONE, pretrain_network
from pocketvision.training.contrast.probe import read_probe
from pocketvision.training.contrast.run import ContrastRun, read_run
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.training.run_folder import new_run_folder


@dataclass(frozen=True)
class PretrainResult:
    """weights: of the backbone, without the head that was thrown away."""

    run: Path
    weights: Path
    model: str
    history: tuple[EpochRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        history = [asdict(each) for each in self.history]
        return {"run": str(self.run), "weights": str(self.weights), "model": self.model, "history": history}


def pretrain(
    data: str | Path | None = None,
    settings: ContrastSettings | None = None,
    *,
    out: str | Path | None = None,
    probe: str | Path | None = None,
    resume: str | Path | None = None,
    epochs: int | None = None,
    on_event: OnEvent = silent,
) -> PretrainResult:
    """Learn from all images in the folder `data` and below it, by SimCLR, and leave `out`/backbone.safetensors.

    probe: labelled images, by whose classes the features are judged after each epoch; nothing is learned from their labels.
    resume: the folder of a run to go on with, with as many epochs as before or `epochs`. Raises UsageError, TrainingError.
    """
    if resume is not None:
        if data is not None or settings is not None or probe is not None:
            raise UsageError("A run that goes on has its own images and settings: give --resume and --epochs alone.")
        folder = Path(resume)
        run = read_run(folder)
        run = replace(run, settings=replace(run.settings, epochs=epochs or run.settings.epochs))
    elif data is None:
        raise UsageError("There are no images to learn from: name a folder, or a run to --resume.")
    else:
        own = None if probe is None else str(Path(probe).resolve())
        run = ContrastRun(str(Path(data).resolve()), settings or ContrastSettings(), own)
        folder = Path()
    network, preprocessing = _network(run.settings)
    pictures = read_pictures(Path(run.data), run.settings, preprocessing, on_event)
    probed = None if run.probe is None else read_probe(Path(run.probe), preprocessing, run.settings.seed)
    if resume is None:
        folder = new_run_folder(None if out is None else Path(out), Path(run.data)).folder
    run = run.same_images(pictures, folder)
    run.write(folder)
    on_event(
        Note(f"Learning from {len(pictures.learned)} images without labels; {len(pictures.held_out)} are held out.")
    )
    state = pretrain_network(network, pictures, run.settings, folder, probed, on_event)
    return PretrainResult(folder, folder / BACKBONE, run.settings.model, state.history)


def _network(settings: ContrastSettings) -> tuple[Network, Preprocessing]:
    found = load_pretrained(settings.model, settings.weights, seed=settings.seed)
    size = settings.size
    preprocessing = found.preprocessing if size is None else found.preprocessing.with_size(size)
    return found.network, preprocessing
