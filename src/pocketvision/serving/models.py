"""The models that are served, by name and version; loaded, exchanged while they serve, and closed."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.printable import counted
from pocketvision.serving.batching import Batcher
from pocketvision.serving.drift import DriftMonitor
from pocketvision.serving.problems import UnknownModelError
from pocketvision.serving.served_model import ServedModel, ServedPrediction, Source, WarmModel, open_warm
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.telemetry import Telemetry
from pocketvision.tasks.task import Detail

AnyBatcher = Batcher[Any, Any, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleSource:
    """A name to serve under, and the folder to read. Several with one name are versions; the last is the default."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Reload:
    """What became of one folder's reload. reason: why it failed; the old version serves on then."""

    name: str
    outcome: Literal["reloaded", "unchanged", "failed"]
    version: str
    reason: str = ""


class ServedModels:
    """All models of a server. Looking one up and handing it images happens in one step, so an exchange loses no request."""

    def __init__(
        self,
        sources: Sequence[BundleSource],
        settings: ServerSettings,
        telemetry: Telemetry,
        *,
        opener: Callable[[Path, ServerSettings], WarmModel] = open_warm,
    ) -> None:
        if not sources:
            raise UsageError("there is no bundle to serve")
        self._sources = tuple(sources)
        self._settings = settings
        self._telemetry = telemetry
        self._opener = opener
        # Every model has its own threads; but pictures are large, so no more are decoded at once than there are threads for one.
        self._decoding = threading.Semaphore(settings.model_threads)
        self._batchers: list[AnyBatcher] = []  # retired ones too, while they have something left: it may hang
        self._models: dict[BundleSource, ServedModel] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self.closing = False

    @property
    def sources(self) -> tuple[BundleSource, ...]:
        """What was to be served, in order."""
        return self._sources

    @property
    def all(self) -> list[ServedModel]:
        """The models that serve, in the sources' order."""
        return [self._models[source] for source in self._sources if source in self._models]

    @property
    def ready(self) -> bool:
        """Whether every model is warm, none is being shut down, and there is a thread to decode with."""
        return not self.closing and len(self._models) == len(self._sources) and self.stuck_for == 0

    @property
    def stuck_for(self) -> float:
        """Seconds for which as many images as may be decoded at once have taken too long to decode; 0 while another may be."""
        stuck = [seconds for batcher in self._batchers for seconds in batcher.stuck()]
        return max(min(stuck), 1e-9) if len(stuck) >= self._settings.model_threads else 0.0

    def described(self) -> list[str]:
        """A line about each, for people."""
        return [
            f"{each.name} ({counted(len(each.labels), 'class')}, version {each.version})"
            + (f". {each.bundle.credit}" if each.bundle.credit else "")
            for each in self.all
        ]

    async def load(self) -> None:
        """Open every bundle. Raises BundleError for the first that can not be served, UsageError for one given twice."""
        if len(set(self._sources)) != len(self._sources):
            raise UsageError("a bundle is given twice under one name")
        for source in self._sources:
            if source not in self._models:
                self._serve(source, await asyncio.to_thread(self._opener, source.folder, self._settings))

    def get(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """A model: the first name when none is given, its last version when none is given. Raises UnknownModelError."""
        models = self.all
        if name is None and models:
            name = models[0].name
        named = [model for model in models if model.name == name]
        if not named:
            known = ", ".join(dict.fromkeys(model.name for model in models))
            raise UnknownModelError(f"There is no model {_quoted(name)}; served are {known}")
        fitting = [model for model in named if version is None or model.version == version]
        if not fitting:
            known = ", ".join(model.version for model in named)
            raise UnknownModelError(f"The model {name} has no version {_quoted(version)}; served are {known}")
        return fitting[-1]

    async def predict(
        self,
        images: Sequence[Source],
        detail: Detail = Detail(),  # noqa: B008 (frozen)
        *,
        deadline: float,
        name: str | None = None,
        version: str | None = None,
    ) -> tuple[ServedModel, list[ServedPrediction | Exception]]:
        """The model that answered, and one prediction or error for each image; see `get` and Batcher.submit.

        Nothing is awaited between the look-up and the admission: a model found here can not be retired before it has taken
        the images, and finishes them then.
        """
        model = self.get(name, version)
        return model, await model.predict(images, detail, deadline=deadline)

    async def reload(self, name: str) -> list[Reload]:
        """Read every folder of a name anew; a version that passes its hashes and its warm-up takes the place of the old one.

        Raises UnknownModelError.
        """
        self.get(name)
        return [await self.reload_source(source) for source in self._sources if source.name == name]

    async def reload_source(self, source: BundleSource) -> Reload:
        """Replace one folder's model, or say why the old one serves on. One reload happens at a time."""
        async with self._reloading:
            old = self._models[source]
            try:
                warm = await asyncio.to_thread(self._opener, source.folder, self._settings)
                if warm.version == old.version or self.closing:
                    return self._counted(Reload(source.name, "unchanged", old.version))
                self._serve(source, warm)
            except PocketVisionError as error:
                logger.warning("%s stays at version %s: %s", source.name, old.version, error)
                return self._counted(Reload(source.name, "failed", old.version, str(error)))
            except Exception as error:  # whatever a runtime raises: the old one serves on, and who asked is answered
                logger.exception("%s stays at version %s", source.name, old.version)
                return self._counted(Reload(source.name, "failed", old.version, type(error).__name__))
            if not any(model.name == old.name and model.version == old.version for model in self.all):
                self._telemetry.model.labels(old.name, old.version).set(0)
            task = asyncio.create_task(old.batcher.close(drain=self._settings.deadline))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            logger.info("%s is now version %s, was %s", source.name, warm.version, old.version)
            return self._counted(Reload(source.name, "reloaded", warm.version))

    async def close(self) -> None:
        """Finish what is in work, as long as the settings allow, and stop."""
        self.closing = True
        closing = [model.batcher.close(drain=self._settings.drain) for model in self._models.values()]
        await asyncio.gather(*closing, *self._retiring)

    def _serve(self, source: BundleSource, warm: WarmModel) -> None:
        """Put a model in its source's place; the old one, if any, is not closed."""
        others = [model for other, model in self._models.items() if other != source and other.name == source.name]
        if warm.version in [model.version for model in others]:
            raise UsageError(f"{source.folder}: the same bundle is already served as {source.name}")
        if source in self._models:
            self._models[source].stop_watching()
        # Of several versions the one that answers by default is watched: a name has one line of figures, whatever is reloaded.
        watched = source == [each for each in self._sources if each.name == source.name][-1]
        drift = DriftMonitor(source.name, warm.bundle.manifest.baseline, self._telemetry.drift) if watched else None
        self._models[source] = ServedModel(
            source.name, source.folder, warm, self._settings, self._telemetry, self._decoding, drift
        )
        self._batchers = [each for each in self._batchers if not each.closing or each.depth]
        self._batchers.append(self._models[source].batcher)
        self._telemetry.model.labels(source.name, warm.version).set(1)
        self._telemetry.expect_reloads(source.name)

    def _counted(self, reload: Reload) -> Reload:
        self._telemetry.reloads.labels(reload.name, reload.outcome).inc()
        return reload


def _quoted(text: str | None) -> str:
    """What a client sent, short enough and without control characters."""
    return repr((text or "")[:64])
