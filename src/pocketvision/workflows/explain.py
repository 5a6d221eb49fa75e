"""explain: where a model looks, what its layers hold and what a picture resembles, as files and one page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import write_text
from pocketvision.data.find_images import find_images
from pocketvision.errors import UsageError, unknown_name
from pocketvision.explain.explained import Asked, Explainer, Explanation, explained
from pocketvision.explain.layer_page import feature_page, layer_page
from pocketvision.explain.methods import AUTO, MapOptions, method_named
from pocketvision.explain.page import explanation_page
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.shipped_map import left_out_of, shipped_maps
from pocketvision.explain.subject import Subject
from pocketvision.preprocessing import Placement
from pocketvision.workflows.pretrained import open_bundle

if TYPE_CHECKING:
    from pocketvision.explain.layer_statistics import LayerStatistics

PAGE = "index.html"


def explain_maps(
    bundle: str | Path,
    images: Iterable[str | Path],
    *,
    out: str | Path,
    method: str = AUTO,
    layer: str | None = None,
    class_name: str | None = None,
    tasks: Sequence[str] | None = None,
    most: int = 1,
    checks: bool = True,
    limit: int = 100,
    threads: int | None = None,
    backend: str | None = None,
    on_done: Callable[[int], None] = lambda _done: None,
) -> Explanation:
    """Lay over a copy of each picture what speaks for the bundle's answer, and say how far that is to be believed.

    out: a new folder, for copies and a page. method: of METHODS, or auto. layer: whose map, by name. class_name: what is
    explained; None for what was answered. tasks: only these. most: objects, tags or classes a picture at most. checks: deletion,
    insertion and random weights, some hundred runs of the network a map. limit: pictures at most.

    Raises UsageError for a layer, a class, a task or a method that is not there, and for a method that the bundle's network can
    not be explained by; BundleError where model.onnx gives no map, or is not there.
    """
    if most < 1 or limit < 1:
        raise UsageError(f"most is {most} and limit {limit}; expected 1 or more of each.")
    subject = Subject.of(open_bundle(bundle), backend, threads)
    for name in tasks or ():
        if name not in subject.bundle.tasks:
            raise unknown_name("task", name, subject.bundle.tasks)
    asked = Asked(
        method_named(method, subject),
        replace(MapOptions(), layer=layer or ""),
        None if tasks is None else tuple(tasks),
        class_name,
        most,
        checks,
    )
    folder = PictureFolder(Path(out), "--out")
    sources = sources_of(images, limit)
    found = explained(Explainer(subject, asked, folder), sources, asked, on_done)
    page = folder.folder / PAGE
    maps = shipped_maps(subject.bundle, subject.backend_name) if asked.method == "map" else {}
    write_text(page, explanation_page(found, subject.bundle.folder.name, left_out_of(maps)))
    return replace(found, page=page)


def explain_layers(
    bundle: str | Path, images: Iterable[str | Path] = (), *, out: str | Path | None = None, limit: int = 64
) -> "list[LayerStatistics]":
    """What a bundle's layers hold, and put out for `images` (at most `limit`): mean, spread, range, zeros, dead channels,
    histograms; as a page in the new folder `out`, if there is one. Raises UsageError for a bundle without weights,
    MissingExtraError without torch."""
    subject = Subject.of(open_bundle(bundle))
    inputs = [_input(subject, source)[0] for source in sources_of(images, limit)]
    folder = None if out is None else PictureFolder(Path(out), "--out")
    found = subject.layer_statistics(inputs)
    if folder is not None:
        write_text(folder.folder / PAGE, layer_page(found, subject.bundle.folder.name, len(inputs)))
    return found


def explain_features(
    bundle: str | Path, image: str | Path, *, out: str | Path, layers: Sequence[str] | None = None
) -> Path:
    """Sheets of what layers see in an image, channel by channel, and of the first layer's filters, with a page, in the new folder
    `out`; the page's path. layers: by name; None takes every stage. Raises UsageError for a layer that is not there, ImageError
    for an image that can not be read."""
    subject = Subject.of(open_bundle(bundle))
    inputs, _ = _input(subject, Path(image))
    folder = PictureFolder(Path(out), "--out")
    files = []
    for title, said, picture in subject.sheets(inputs[None], None if layers is None else tuple(layers)):
        files.append((title, said, folder.save(title.replace(" ", "-"), picture)))
    write_text(folder.folder / PAGE, feature_page(files, f"{subject.bundle.folder.name}: {image}"))
    return folder.folder / PAGE


def sources_of(images: Iterable[str | Path], limit: int) -> list[Path]:
    """At most so many of the images that are meant; none where none are named."""
    wanted = list(images)
    return [Path(str(each)) for each, _ in zip(find_images(wanted), range(limit), strict=False)] if wanted else []


def _input(subject: Subject, source: Path) -> tuple[NDArray[np.float32], Placement]:
    return subject.bundle.preprocessing.place(source)
