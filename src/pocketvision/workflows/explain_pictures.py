"""explain neighbours, embedding and errors: pictures that look alike to a model, and its mistakes beside them."""

from collections.abc import Iterable
from pathlib import Path

from pocketvision.atomic_files import write_text
from pocketvision.errors import UsageError, unknown_name
from pocketvision.evaluation.evaluation import untouched_first
from pocketvision.explain.embedding_page import embedding_page, mistakes_page, neighbours_page
from pocketvision.explain.embeddings import MOST, Neighbour, embedded, nearest, principal_components
from pocketvision.explain.explained import Asked, Explainer, Explanation, explained
from pocketvision.explain.methods import AUTO, method_named
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.subject import Subject
from pocketvision.explain.training_pictures import training_pictures, umap_places
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.explain import PAGE, sources_of
from pocketvision.workflows.pretrained import open_bundle

LAYOUTS = ("pca", "umap")


def explain_neighbours(
    bundle: str | Path,
    images: Iterable[str | Path],
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    most: int = 6,
    limit: int = 100,
) -> list[tuple[str, list[Neighbour]]]:
    """The training pictures that are nearest to each of `images` by what the network makes of them.

    data: what the bundle learned from; None takes what its run kept, or the run's training pictures themselves. out: a new folder
    for a page. most: neighbours; limit: pictures. Raises UsageError for a bundle without a run where no data is given.
    """
    subject = Subject.of(open_bundle(bundle))
    folder = None if out is None else PictureFolder(Path(out), "--out")
    files = sources_of(images, limit)
    given = embedded(subject, files, [""] * len(files))
    found = nearest(given.vectors, training_pictures(subject, data), most)
    rows = [(str(file), near) for file, near in zip(given.files, found, strict=True)]
    if folder is not None:
        told = [(path, Path(path).name, near) for path, near in rows]
        write_text(folder.folder / PAGE, neighbours_page(told, subject.bundle.folder.name))
    return rows


def explain_embedding(
    bundle: str | Path, *, data: str | Path | None = None, out: str | Path, layout: str = "pca", limit: int = MOST
) -> Path:
    """The training pictures (or those of `data`) as points on one page, and its path. layout: of LAYOUTS; umap needs its extra.
    Raises UsageError as explain_neighbours does, MissingExtraError."""
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    subject = Subject.of(open_bundle(bundle))
    folder = PictureFolder(Path(out), "--out")
    points = training_pictures(subject, data, limit)
    if layout == "pca":
        places, shares = principal_components(points.vectors)
        said = f"Principal components of the features: {shares[0]:.0%} and {shares[1]:.0%} of their variance."
    else:
        places, said = umap_places(points), "UMAP of the features: near is alike, far says little."
    page = embedding_page(points.files, points.names, places, subject.bundle.folder.name, said)
    write_text(folder.folder / PAGE, page)
    return folder.folder / PAGE


def explain_errors(
    bundle: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    training: str | Path | None = None,
    split: str | None = None,
    method: str = AUTO,
    checks: bool = True,
    most: int = 24,
) -> Explanation:
    """The worst mistakes of a bundle on labelled images, each with where the model looked and the training pictures nearest to
    it, as a page in the new folder `out`.

    training: what it learned from, see explain_neighbours; where that is not known there are no neighbours. Raises what evaluate
    and explain_maps raise.
    """
    subject = Subject.of(open_bundle(bundle))
    folder = PictureFolder(Path(out), "--out")
    (evaluation, *_) = untouched_first([evaluate(bundle, data, split=split)])
    mistakes = [each for task in evaluation.tasks.values() for each in task.mistakes[:most]][:most]
    asked = Asked(method_named(method, subject), checks=checks)
    files = [Path(evaluation.root) / each.path for each in mistakes]
    found = explained(Explainer(subject, asked, folder), files, asked)
    near = _neighbours(subject, files, training)
    shown = {each.picture: each for each in reversed(found.answers)}
    rows = [
        (mistake.text, mistake.path, shown[str(file)].original, shown[str(file)].file, near.get(file, []))
        for mistake, file in zip(mistakes, files, strict=True)
    ]
    said = found.overall.text if found.overall is not None else ""
    page = folder.folder / PAGE
    write_text(page, mistakes_page(rows, subject.bundle.folder.name, said if rows else "No mistakes."))
    return Explanation(found.method, found.answers, found.overall, page)


def _neighbours(subject: Subject, files: list[Path], training: str | Path | None) -> dict[Path, list[Neighbour]]:
    if not files:
        return {}
    try:
        among = training_pictures(subject, training)
    except UsageError:
        if training is not None:
            raise
        return {}
    given = embedded(subject, files, [""] * len(files))
    return dict(zip(given.files, nearest(given.vectors, among, 4), strict=True))
