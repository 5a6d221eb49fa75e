"""explain neighbours, embedding and errors: pictures that look alike to a model, and its mistakes beside them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pocketvision.atomic_files import write_text
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import MissingExtraError, UsageError, unknown_name
from pocketvision.evaluation.evaluation import untouched_first
from pocketvision.explain.embedding_page import embedding_page, mistakes_page, neighbours_page
from pocketvision.explain.embeddings import MOST, Embedded, Neighbour, embedded, nearest, principal_components
from pocketvision.explain.explained import Asked, Explainer, Explanation, explained
from pocketvision.explain.methods import AUTO, method_named
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.subject import Subject
from pocketvision.export.shipping import evenly
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.explain import PAGE, sources_of
from pocketvision.workflows.looking import SPLIT, kept_of_run
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
        places, said = _umap(points), "UMAP of the features: near is alike, far says little."
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


def training_pictures(subject: Subject, data: str | Path | None, limit: int = MOST) -> Embedded:
    """What a bundle learned from, as vectors: what its run kept, else at most `limit` of the pictures, evenly chosen. Raises
    UsageError where neither is known."""
    bundle = subject.bundle
    kept_split = bundle.folder.resolve().parent / SPLIT
    if data is None and not kept_split.is_file():
        raise UsageError(
            f"{bundle.folder} lies in no run, and its features of what it learned from were not kept. Say which pictures "
            "those were: --data."
        )
    if data is None and (kept := kept_of_run(subject)) is not None:
        return _some(kept, limit)
    samples = read_samples(kept_split if data is None else data, task=bundle.only_kind, labels=bundle.asked_labels)
    rows = _training_rows(samples)
    rows = [rows[place] for place in evenly(len(rows), limit)]
    return embedded(subject, [samples.file(row) for row in rows], [samples.class_name(row) for row in rows])


def _training_rows(samples: Samples) -> list[int]:
    rows: list[int] = [] if samples.splits is None else samples.split_indices("train").tolist()
    return rows or list(range(len(samples)))


def _some(kept: Embedded, limit: int) -> Embedded:
    rows = evenly(len(kept.files), limit)
    return Embedded(tuple(kept.files[row] for row in rows), tuple(kept.names[row] for row in rows), kept.vectors[rows])


def _umap(points: Embedded) -> np.ndarray:
    try:
        import umap
    except ImportError:
        raise MissingExtraError("UMAP", "umap") from None
    neighbours = min(15, max(len(points.files) - 1, 2))
    return np.asarray(umap.UMAP(n_neighbors=neighbours, random_state=0).fit_transform(points.vectors), np.float32)
