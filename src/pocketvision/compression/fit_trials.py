"""The bundles of the trials: each made once in a folder, and found there again when the command is repeated."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pocketvision.atomic_files import replacing, write_json
from pocketvision.bundle import RUN, Bundle, read_bundle
from pocketvision.compression.bundle_images import BundleImages, calibration_images, hashes_for
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.compression.trials import Kind, Trial, Value
from pocketvision.compression.tuning import Tuner
from pocketvision.errors import AgreementError, BundleError
from pocketvision.export.shipping import ship
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import Backend, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.manifest import unmeasured
from pocketvision.training.learned_tasks import calibrated_on

# Which settings a kind of trial depends on: when one changes, what was made with it is made again.
_DEPENDS: dict[Kind, tuple[str, ...]] = {
    "float": (),
    "size": (),
    "int8": ("calibration", "max_accuracy_drop"),
    "tuned-size": ("epochs", "lr", "batch", "seed", "loss_weights"),
    "pruning": ("epochs", "lr", "batch", "importance", "seed", "loss_weights"),
    "network": ("epochs1", "epochs2", "batch", "seed", "loss_weights"),
}


@dataclass(frozen=True)
class Verbs:
    """What trials are made with, as the Python API has it: each gives a result with a `bundle`. They stand above this room."""

    quantize: Callable[..., Any]
    prune: Callable[..., Any]
    train: Callable[..., Any]


class TrialRunner:
    """Makes trials of one bundle on one table of images; 8 bits by `method` (quantize's)."""

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        table: Path,
        images: BundleImages,
        settings: TrialSettings,
        method: str,
        verbs: Verbs,
        on_event: OnEvent,
    ) -> None:
        self._method, self._verbs = method, verbs
        self._int8_settings: Settings | None = None
        self._folder, self._table, self._images = folder, table, images
        self._settings, self._on_event = settings, on_event
        self._bundles: dict[str, Bundle] = {}
        self._keys: dict[str, str] = {}
        self._original = bundle
        self._data_key = _data_key(table, images)

    def bundle(self, trial: Trial) -> Bundle:
        """The trial's bundle, made now unless it is there. Raises PocketVisionError when it can not be made, or AgreementError
        (now and whenever asked again) when 8 bits lose too much."""
        base = self._bundles.get(trial.of, self._original)
        self._keys[trial.name] = self._key(trial)
        if trial.kind == "float":
            self._bundles[trial.name] = base
        else:
            self._bundles[trial.name] = self._kept(trial) or self._make(trial, base)
        if trial.kind == "int8" and self._int8_settings is None:
            self._int8_settings = _settings_of(self._bundles[trial.name])
        return self._bundles[trial.name]

    def answers(self, bundle: Bundle, backends: list[str]) -> dict[str, Outputs]:
        """The outputs for the validation images, by backend and name."""
        files = sorted(file.sha256 for file in bundle.manifest.files.values())
        kept = {
            name: self._folder / "answers" / f"{_hash(files, name, self._data_key)}.safetensors" for name in backends
        }
        missing = {name: open_backend(bundle, name) for name in backends if not kept[name].exists()}
        if missing:
            images = replace(self._images, preprocessing=bundle.preprocessing)
            for name, found in _answers(missing, images).items():
                with replacing(kept[name]) as temporary:
                    temporary.write_bytes(safetensors.numpy.save(found))
        return {name: safetensors.numpy.load(path.read_bytes()) for name, path in kept.items()}

    def _key(self, trial: Trial) -> str:
        below = self._keys.get(trial.of) or _hash(
            sorted(each.sha256 for each in self._original.manifest.files.values())
        )
        settings = [(name, getattr(self._settings, name)) for name in _DEPENDS[trial.kind]]
        if trial.kind == "int8":
            settings += [("method", self._method), ("int8_settings", self._int8_settings)]
        return _hash(below, self._data_key, trial.kind, trial.value, settings)

    def _kept(self, trial: Trial) -> Bundle | None:
        """What an earlier run made of this very trial. Raises AgreementError when it was refused."""
        record = self._recorded(trial)
        if record.get("refused"):
            raise AgreementError(record["refused"])
        if "bundle" not in record:
            return None
        try:
            return read_bundle(self._folder / record["bundle"])
        except BundleError:  # damaged since: it can be made again
            return None

    def _make(self, trial: Trial, base: Bundle) -> Bundle:
        self._on_event(Note(f"Making {trial.name}"))
        folder = self._folder / trial.name
        if not self._recorded(trial):  # a training that was broken off goes on where nothing changed since
            shutil.rmtree(folder, ignore_errors=True)
        write_json(self._record(trial), {"key": self._keys[trial.name]})
        try:
            made = _MAKERS[trial.kind](self, trial.value, base, folder)
        except AgreementError as error:
            write_json(self._record(trial), {"key": self._keys[trial.name], "refused": str(error)})
            raise
        place = made.folder.relative_to(self._folder)
        write_json(self._record(trial), {"key": self._keys[trial.name], "bundle": place.as_posix()})
        return made

    def _recorded(self, trial: Trial) -> dict[str, Any]:
        """What is written of this very trial; nothing where it is of other settings, images or bundles."""
        try:
            record: dict[str, Any] = json.loads(self._record(trial).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if record.get("key") == self._keys[trial.name] else {}

    def _record(self, trial: Trial) -> Path:
        return self._folder / f"{trial.name}.json"

    def _resized(self, pixels: Value, base: Bundle, folder: Path, *, epochs: float = 0) -> Bundle:
        network, preprocessing = rebuilt(base), base.preprocessing.with_size(int(pixels))
        learning = None
        if epochs:
            learning = calibration_images(base, self._table, self._on_event)
            settings = self._settings
            Tuner(
                learning,
                preprocessing,
                batch=settings.batch,
                lr=settings.lr,
                seed=settings.seed,
                loss_weights=settings.loss_weights,
                on_event=self._on_event,
            ).tune(network, epochs)
        validation = replace(self._images, preprocessing=preprocessing)
        return ship(
            network,
            folder,
            tasks=unmeasured(base.tasks),
            preprocessing=preprocessing,
            load=validation.placed,
            names=[str(file) for file in validation.files],
            calibrate=calibrated_on(validation.truth) if validation.truth else None,
            split="val",
            files=hashes_for(base, learning),
        ).bundle

    def _tuned(self, pixels: Value, base: Bundle, folder: Path) -> Bundle:
        return self._resized(pixels, base, folder, epochs=self._settings.epochs)

    def _quantized(self, _: Value, base: Bundle, folder: Path) -> Bundle:
        """With the settings that won for the bundle as it is, if they were found and do here too; else by the whole search."""
        if self._int8_settings is not None:
            with contextlib.suppress(AgreementError):
                return self._by(base, folder, [self._int8_settings])
        return self._by(base, folder, None)

    def _by(self, base: Bundle, folder: Path, candidates: list[Settings] | None) -> Bundle:
        made: Bundle = self._verbs.quantize(
            base.folder,
            data=self._table,
            out=folder,
            method=self._method,
            candidates=candidates,
            calibration=self._settings.calibration,
            max_accuracy_drop=self._settings.max_accuracy_drop,
            on_event=self._on_event,
        ).bundle
        return made

    def _pruned(self, share: Value, base: Bundle, folder: Path) -> Bundle:
        settings = self._settings
        wanted = PruneSettings(
            keep_macs=float(share),
            importance=settings.importance,
            rounds=2,
            epochs=settings.epochs,
            lr=settings.lr,
            batch=settings.batch,
            seed=settings.seed,
            max_accuracy_drop=100,
            loss_weights=settings.loss_weights,
        )
        made: Bundle = self._verbs.prune(
            base.folder, wanted, data=self._table, out=folder, on_event=self._on_event
        ).bundle
        return made

    def _trained(self, name: Value, base: Bundle, folder: Path) -> Bundle:
        """A training of its own, which goes on where it was stopped."""
        settings = self._settings
        if (folder / RUN).exists():
            result = self._verbs.train(resume=folder, on_event=self._on_event)
        else:
            result = self._verbs.train(
                self._table,
                model=str(name),
                out=folder,
                size=base.preprocessing.height,
                labels=base.asked_labels,
                epochs1=settings.epochs1,
                epochs2=settings.epochs2,
                batch=settings.batch,
                seed=settings.seed,
                settings={"loss.weights": settings.loss_weights},
                on_event=self._on_event,
            )
        made: Bundle = result.bundle
        return made


_MAKERS: dict[Kind, Callable[[TrialRunner, Value, Bundle, Path], Bundle]] = {
    "size": TrialRunner._resized,
    "int8": TrialRunner._quantized,
    "tuned-size": TrialRunner._tuned,
    "pruning": TrialRunner._pruned,
    "network": TrialRunner._trained,
}


def _settings_of(bundle: Bundle) -> Settings:
    """How a bundle was quantized, all layers in 8 bits: which ones stayed in float does not carry over to another network."""
    chosen = {name: value for name, value in bundle.manifest.compression["quantization"].items() if name != "title"}
    return Settings(**{**chosen, "float_layers": ()})


def _answers(backends: dict[str, Backend], images: BundleImages) -> dict[str, Outputs]:
    """Of all backends, every image read once."""
    found: dict[str, list[Outputs]] = {name: [] for name in backends}
    for batch in images.batches():
        for name, backend in backends.items():
            found[name].append(backend.run(batch))
    return {
        backend: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for backend, parts in found.items()
    }


def _data_key(table: Path, images: BundleImages) -> str:
    """Names the table of images, and the validation images by their sizes and times."""
    stats = [(each.st_size, each.st_mtime_ns) for each in (file.stat() for file in images.files)]
    return _hash(table.read_text(encoding="utf-8", errors="surrogateescape"), stats)


def _hash(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogateescape")).hexdigest()[:24]
