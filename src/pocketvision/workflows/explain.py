"""explain: where a model looks, what its layers hold and what a picture resembles, as files and one page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pocketvision.atomic_files import write_text
from pocketvision.data.find_images import find_images
from pocketvision.errors import UsageError, unknown_name
from pocketvision.explain.explained import Asked, Explainer, Explanation, explained
from pocketvision.explain.methods import AUTO, METHODS, MapOptions, method_named
from pocketvision.explain.page import explanation_page
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.shipped_map import left_out_of, shipped_maps
from pocketvision.explain.subject import Subject
from pocketvision.workflows.pretrained import open_bundle

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
    sources = [Path(str(each)) for each, _ in zip(find_images(images), range(limit), strict=False)]
    found = explained(Explainer(subject, asked, folder), sources, asked, on_done)
    page = folder.folder / PAGE
    maps = shipped_maps(subject.bundle, subject.backend_name) if asked.method == "map" else {}
    write_text(page, explanation_page(found, subject.bundle.folder.name, left_out_of(maps)))
    return replace(found, page=page)


__all__ = ["METHODS", "explain_maps"]
