"""A bundle's network with fewer channels or weights, tuned again, and the bundle that is written of it when it may be."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.compression.loss_weights import loss_weights_of
from pocketvision.compression.network_cost import cost_of_rows, network_cost
from pocketvision.compression.prune_channels import gradients_of, prune_channels
from pocketvision.compression.prune_settings import Importance, PruneSettings
from pocketvision.compression.prune_weights import prune_weights, sparsity, zeros_of
from pocketvision.compression.tuning import Tuner
from pocketvision.compression.variant import json_safe
from pocketvision.errors import AgreementError, UsageError
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.export.exportable import Exportable
from pocketvision.export.shipping import ship
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.cost import Cost
from pocketvision.models.network import Network, fold_norms
from pocketvision.models.spec import Architecture
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import Backend, open_backend, open_onnx
from pocketvision.tasks.comparing import compare_tasks
from pocketvision.tasks.manifest import unmeasured
from pocketvision.tasks.measuring import Comparison
from pocketvision.training.learned_tasks import calibrated_on

REPORT = "pruning-failed.json"


_TAYLOR_BATCHES = 4


@dataclass(frozen=True)
class PruneResult:
    """The pruned bundle, what it cost, and how much smaller and faster it became; weights that are not zero are counted."""

    bundle: Bundle
    comparison: Comparison
    before: Cost
    after: Cost
    weights: int
    nonzero: int
    latency: Latency
    float_latency: Latency

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(replace(self, bundle=cast(Any, None), comparison=cast(Any, None)))
        return {**plain, "comparison": self.comparison.to_dict(), "bundle": str(self.bundle.folder)}


class Pruner:
    """Prunes and tunes one bundle's network."""

    def __init__(
        self, bundle: Bundle, network: Network, learning: BundleImages, settings: PruneSettings, on_event: OnEvent
    ) -> None:
        self._bundle = bundle
        self._heads = network.head_specs
        self._teacher = fold_norms(network).to(memory_format=torch.channels_last) if settings.distill else None
        self._settings = settings
        self._on_event = on_event
        self._size = bundle.preprocessing.height
        given = settings.loss_weights
        self._tuner = Tuner(
            learning,
            bundle.preprocessing,
            batch=settings.batch,
            lr=settings.lr,
            seed=settings.seed,
            augmentation=settings.augmentation,
            loss_weights=loss_weights_of(bundle, {}, learning.truth) if given is None else given,
            on_event=on_event,
        )
        if settings.epochs:
            self._tuner.require()

    def without_weights(self, network: Network) -> Network:
        """The smallest weights at zero, and still so after the others were tuned."""
        sparse = prune_weights(network, self._settings.unstructured or 0.0)
        zeros = zeros_of(sparse)

        def keep_zero() -> None:
            with torch.no_grad():
                for name, parameter in sparse.named_parameters():
                    if name in zeros:
                        parameter.masked_fill_(zeros[name], 0.0)

        self._tune(sparse, self._settings.epochs, after_step=keep_zero)
        return sparse

    def without_channels(self, network: Network) -> Network:
        """In rounds towards the target, tuned after each."""
        if not isinstance(network.architecture, Architecture):
            raise UsageError(
                f"{network.architecture.name} is not made of convolutional rows, which are what is pruned here."
            )
        epochs = self._settings.epochs / self._settings.rounds
        whole = self._cost(network.architecture)
        if self._settings.latency_ms is not None:
            return self._until_fast(network, whole, self._settings.latency_ms)
        share = self._settings.keep_macs or self._settings.keep_parameters or 1.0
        for number in range(1, self._settings.rounds + 1):
            network = self._pruned(network, whole, share ** (number / self._settings.rounds))
            self._tune(network, epochs)
        return network

    def _until_fast(self, network: Network, whole: Cost, milliseconds: float) -> Network:
        """A tenth of the multiply-accumulates less each time, until one image is fast enough; tuned once, at the end."""
        share = 1.0
        while (latency := self._latency(network)) > milliseconds:
            self._on_event(Note(f"{latency:.2f} ms with {share:.0%} of the multiply-accumulates"))
            share *= 0.9
            network = self._pruned(network, whole, share)
        self._tune(network, self._settings.epochs)
        return network

    def _tune(self, network: Network, epochs: float, *, after_step: Callable[[], None] = lambda: None) -> None:
        self._tuner.tune(network, epochs, teacher=self._teacher, after_step=after_step)

    def _pruned(self, network: Network, whole: Cost, share: float) -> Network:
        parameters = self._settings.keep_parameters is not None
        self._on_event(Note(f"Pruning to {share:.0%} of the {'parameters' if parameters else 'multiply-accumulates'}"))

        def within(rows: Architecture) -> bool:
            left = self._cost(rows)
            return left.parameters <= share * whole.parameters if parameters else left.macs <= share * whole.macs

        importance = cast(Importance, self._settings.importance)
        gradients = None
        if importance == "taylor":
            gradients = gradients_of(self._tuner.objective, self._tuner.some(_TAYLOR_BATCHES))
        return prune_channels(network, within, size=self._size, importance=importance, gradients=gradients)

    def _cost(self, rows: Architecture) -> Cost:
        """With the bundle's own heads: ImageNet's thousand classes would be a large part of a small network."""
        return cost_of_rows(rows, self._heads, size=self._size)

    def _latency(self, network: Network) -> float:
        with tempfile.TemporaryDirectory() as temporary:
            write_onnx(_exportable(self._bundle, network), Path(temporary))
            run = open_onnx(Path(temporary) / FILE).run
            return measure_latency({"": run}, self._bundle.golden()["images"], seconds=0.5)[""].latency_ms


def _exportable(bundle: Bundle, network: Network) -> Exportable:
    return Exportable(network, bundle.tasks, bundle.preprocessing)


def write_if_accurate(
    bundle: Bundle,
    network: Network,
    images: BundleImages,
    settings: PruneSettings,
    folder: Path,
    before: Network,
    hashes: dict[str, Path | bytes],
) -> PruneResult:
    """Measured against the bundle it was made from, and written when it may be. hashes: of what it learned from."""
    with tempfile.TemporaryDirectory() as temporary:
        write_onnx(_exportable(bundle, network), Path(temporary))
        backends: dict[str, Backend] = {"float": open_backend(bundle), "pruned": open_onnx(Path(temporary) / FILE)}
        records = [images.answered(bundle.tasks, each.run).records for each in backends.values()]
        comparison = compare_tasks(bundle.tasks, *records)
        latency = measure_latency({name: each.run for name, each in backends.items()}, images.load(0)[None])
    size = bundle.preprocessing.height
    counted = sparsity(network)
    costs = [network_cost(each, size=size) for each in (before, network)]
    record = {
        "settings": asdict(settings),
        "measured_on": images.role,
        "before": asdict(costs[0]),
        "after": asdict(costs[1]),
        **asdict(counted),
        "comparison": comparison.to_dict(),
        "latency": asdict(latency["pruned"]),
        "float_latency": asdict(latency["float"]),
    }
    if not comparison.within(settings.max_accuracy_drop):
        report = folder.parent / f"{folder.name}.{REPORT}"
        write_json(report, json_safe(record))
        raise AgreementError(
            f"No bundle was written: {comparison.explain(settings.max_accuracy_drop)} All figures are in {report}. "
            "Tune it longer (--epochs), in more rounds, or prune less."
        )
    shipped = ship(
        network,
        folder,
        tasks=unmeasured(bundle.tasks),
        preprocessing=bundle.preprocessing,
        load=images.placed,
        names=[str(file) for file in images.files],
        calibrate=calibrated_on(images.truth) if images.truth else None,
        split="val",
        files=hashes,
    ).bundle
    figures = {**shipped.manifest.agreement[FILE], **comparison.figures()}
    manifest = replace(
        shipped.manifest, compression={"pruning": record}, agreement={**shipped.manifest.agreement, FILE: figures}
    )
    written = rewrite_bundle(shipped, manifest)
    return PruneResult(
        written, comparison, costs[0], costs[1], counted.weights, counted.nonzero, latency["pruned"], latency["float"]
    )
