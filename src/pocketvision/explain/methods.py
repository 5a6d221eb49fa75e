"""The table of ways to explain. A new one is a function beside this and a row here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import UsageError, unknown_name
from pocketvision.explain.choice import Choice
from pocketvision.explain.heat_map import Heat, HeatMap
from pocketvision.explain.perturbed_maps import CHANNELS, WINDOWS, occlusion, score_cam
from pocketvision.explain.shipped_map import require_maps, shipped_maps
from pocketvision.explain.subject import Inputs, Subject
from pocketvision.tasks.catalog import task_named

AUTO = "auto"


@dataclass(frozen=True)
class MapOptions:
    """layer: whose map, by name; empty takes the deepest that the head reads. steps: of integrated gradients. windows: of
    occlusion, along the shorter side. channels: of Score-CAM."""

    layer: str = ""
    steps: int = 32
    windows: int = WINDOWS
    channels: int = CHANNELS


@dataclass(frozen=True)
class Method:
    """run: from a subject, one image (1, 3, H, W) and what is explained to values (h, w) and the layer that they are of. torch:
    whether it needs the network in PyTorch. what: in a few words. absolute: whether what speaks against the answer shows as
    well."""

    run: Callable[[Subject, Inputs, Choice, MapOptions], tuple[Heat, str]]
    torch: bool
    what: str
    absolute: bool = False


def _shipped(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    del options
    own = require_maps(subject.bundle, subject.backend_name).get(choice.task)
    if own is None:
        raise UsageError(f"The file gives no map of the task {choice.task}. Take occlusion, or grad-cam.")
    outputs, labels = subject.backend.run(image), subject.task(choice).labels
    maps, place = outputs[own.output][0], choice.place
    if len(maps) < len(labels):
        first = np.argsort(-outputs[subject.task(choice).outputs["logits"]][0], kind="stable")[: len(maps)].tolist()
        if place not in first:
            raise UsageError(
                f"The file gives maps of the {len(maps)} most probable classes, and {labels[place]} is none of them. "
                "Take grad-cam."
            )
        place = first.index(place)
    return np.asarray(maps[place], np.float32), own.feature


def _grad_cam(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    import torch

    from pocketvision.explain.gradient_maps import grad_cam

    layer = options.layer or subject.watched.default_layer(choice.task)
    return grad_cam(subject.watched, torch.from_numpy(image), choice, layer), layer


def _grad_cam_plus_plus(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    import torch

    from pocketvision.explain.gradient_maps import grad_cam_plus_plus

    layer = options.layer or subject.watched.default_layer(choice.task)
    return grad_cam_plus_plus(subject.watched, torch.from_numpy(image), choice, layer), layer


def _hires_cam(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    import torch

    from pocketvision.explain.gradient_maps import hires_cam

    layer = options.layer or subject.watched.default_layer(choice.task)
    return hires_cam(subject.watched, torch.from_numpy(image), choice, layer), layer


def _integrated_gradients(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    import torch

    from pocketvision.explain.gradient_maps import integrated_gradients

    return integrated_gradients(subject.watched, torch.from_numpy(image), choice, options.steps), ""


def _attention_rollout(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    import torch

    from pocketvision.explain.gradient_maps import attention_rollout

    del choice, options
    return attention_rollout(subject.watched, torch.from_numpy(image)), ""


def _occlusion(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    return occlusion(subject, image, choice, options.windows), ""


def _score_cam(subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> tuple[Heat, str]:
    return score_cam(subject, image, choice, options.layer, options.channels)


METHODS: dict[str, Method] = {
    "map": Method(_shipped, False, "Grad-CAM as the shipped file gives it (export --with-map)"),
    "grad-cam": Method(_grad_cam, True, "Grad-CAM at a layer"),
    "grad-cam++": Method(_grad_cam_plus_plus, True, "Grad-CAM++ at a layer"),
    "hires-cam": Method(_hires_cam, True, "HiResCAM at a layer: for objects"),
    "integrated-gradients": Method(_integrated_gradients, True, "integrated gradients, pixel by pixel", absolute=True),
    "attention-rollout": Method(_attention_rollout, True, "a transformer's attention, for all classes"),
    "occlusion": Method(_occlusion, False, "what happens when a square is covered"),
    "score-cam": Method(_score_cam, False, "Score-CAM at a value of model.onnx"),
}
"""By name."""

LAYERED = ("grad-cam", "grad-cam++", "hires-cam", "score-cam")
"""Those whose layer can be named."""


def method_named(name: str, subject: Subject) -> str:
    """The name, of `auto` the cheapest that this bundle has: its own map, where it holds weights and torch is here Grad-CAM, or
    HiResCAM of what finds things, else occlusion. Raises UsageError with near matches for an unknown one."""
    if name != AUTO:
        if name not in METHODS:
            raise unknown_name("way to explain", name, (AUTO, *METHODS))
        return name
    if set(shipped_maps(subject.bundle, subject.backend_name)) >= set(subject.bundle.tasks):
        return "map"
    if not subject.can_differentiate:
        return "occlusion"
    finds = any(task_named(task.kind).places is not None for task in subject.bundle.tasks.values())
    return "hires-cam" if finds else "grad-cam"


def mapped(name: str, subject: Subject, image: Inputs, choice: Choice, options: MapOptions) -> HeatMap:
    """The map of one image (1, 3, H, W). Raises what the method raises."""
    method = METHODS[name]
    if options.layer and name not in LAYERED:
        raise UsageError(f"{name} is of no layer that could be chosen; --layer is for {', '.join(LAYERED)}.")
    if method.torch:
        _ = subject.watched  # says what is missing, before a method does
    values, layer = method.run(subject, image, choice, options)
    return HeatMap(np.abs(values) if method.absolute else values, choice.words, name, layer)
