"""predict: images in, rows out, to a CSV or JSON Lines file that grows row by row."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.data.box_writers.answers import Destination, answer_sink
from pocketvision.data.find_images import find_images
from pocketvision.data.left_out import LeftOut, LeftOutCounter
from pocketvision.data.standard_input import STANDARD_INPUT, Lines
from pocketvision.evaluation.asked import averaging
from pocketvision.explain.map_pictures import MapPictures
from pocketvision.preprocessing import MAX_PIXELS, count_pictures
from pocketvision.runtime.predictor import BATCH, ImageResult
from pocketvision.streaming.drawn_pictures import DrawnPictures
from pocketvision.tasks.answer_files import row_detail
from pocketvision.tasks.catalog import tell_unsure, wanted
from pocketvision.tasks.details import detail_of
from pocketvision.tasks.task import ViewOptions
from pocketvision.workflows.load import load_chain


@dataclass(frozen=True)
class PredictionSummary:
    """What a prediction run did: images seen, how many of them could not be read, the wall time in seconds, what the search of
    folders and patterns left out, and what else there is to be said."""

    images: int
    failed: int
    seconds: float
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether something that was asked for has no answer: an image, or a folder that could not be looked into."""
        return self.failed > 0 or any(each.reason == "no_permission" for each in self.left_out)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def predict(
    bundle: str | Path,
    images: Iterable[str | Path],
    *,
    out: str | Path | None = None,
    to: str | None = None,
    ids: str | Path | None = None,
    draw: str | Path | None = None,
    map: str | Path | None = None,
    masks: str | None = None,
    top_k: int = 1,
    tasks: Sequence[str] | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    then: str | Path | None = None,
    of: Sequence[str] | None = None,
    margin: float = 0.0,
    batch: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    backend: str | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    tile: int | None = None,
    scales: Sequence[float] | None = None,
    tta: Iterable[str] = (),
    unsure: bool = False,
    lines: Lines | None = None,
    on_row: Callable[[ImageResult], None] | None = None,
) -> PredictionSummary:
    """Answer `images` (files, folders, globs, `-` for `lines`) with a bundle or a pre-trained name, in order.

    images, lines: see find_images.

    out: a .csv or .jsonl file, or of masks a new folder: a palette PNG of the image's size each, whose values are the places of
    the classes, and the rows in answers.jsonl. masks: how rows of JSON have masks: rle, png, polygons or none, which is
    usual beside files. A row is handed to the system as soon as it is known, so a run
    that is killed leaves whole rows. Its keys are `path`, `error`, and of a classifier `label`, `probability`, and with top_k
    above 1 `label_2`, `probability_2` … (CSV) or `top` (JSON Lines: a list of [label, probability]), and `unsure` where the
    bundle says that; JSON Lines have all of it in `answers` too, by the tasks' names (docs/serve.md). on_row is called with
    every row. batch, workers: see Predictor.stream; threads, backend, device: see Predictor.
    tile, scales: how large pictures of masks are looked at (ViewOptions), where that is not as the bundle says.

    tta: average the answers over these views of each image (turning.VIEWS).
    unsure: say which images are unlike all that the bundle learned from, none of its classes, where it does not say that anyway;
    rows have `none_of_these` and `unsure` then, and answers `novelty` too (docs/threshold.md).

    to: coco, yolo, voc or labelme: `out` is a new folder then, with the pictures and their objects as boxes, for a person to
    correct and to train on; written once all are answered. An `out` that ends in .json has objects as COCO's results, with the
    numbers that `ids`, a COCO file, gives to images and classes. draw: a new folder for copies of the pictures with their answers
    drawn on them, as JPEG files. map: a new folder for copies with a heat map over them of where the answer is seen, of a bundle
    whose file gives one (`export --with-map`). tasks: only these of the bundle's answer; details: of single ones, as in
    {"detection": {"min_score": 0.4}}. then, of, margin: a second bundle that looks at what was found, see load_chain.

    Raises UsageError (no image found, an unknown suffix of `out`), BundleError, and PocketVisionError when `out` can not be
    written.
    """
    started, file = time.perf_counter(), None if out is None else Path(out)
    detail = row_detail(detail_of(top_k, tasks, details, looked=then is not None), masks, file)
    where = Destination.of(file, to, None if ids is None else Path(ids))
    views = ViewOptions(tile, None if scales is None else tuple(scales))
    predictor = load_chain(
        bundle,
        then,
        of,
        margin,
        backend=backend,
        threads=threads,
        device=device,
        detail=detail,
        views=views,
        unsure=unsure,
    )
    answering = wanted(predictor.bundle.tasks, detail)
    labels = (name for task in answering.values() for name in task.labels)
    drawn = None if draw is None else DrawnPictures(Path(draw), labels, max_pixels)
    maps = None if map is None else MapPictures(Path(map), predictor.bundle, predictor.backend, max_pixels)
    if tta := tuple(tta):
        predictor = averaging(predictor, tta)
    with answer_sink(where, answering, tell_unsure(answering, detail)) as sink:
        seen = failed = 0
        several: list[str] = []
        counter = LeftOutCounter()
        paths = find_images(images, lines, counter)
        for row in predictor.stream(paths, batch=batch or BATCH, workers=workers, max_pixels=max_pixels):
            row = row if row.path else replace(row, path=STANDARD_INPUT)
            sink.write(row)
            if drawn is not None:
                drawn.write(row)
            if maps is not None:
                maps.write(row, row.outputs)
            if on_row is not None:
                on_row(row)
            seen += 1
            failed += row.error is not None
            if row.error is None and row.path != STANDARD_INPUT and count_pictures(Path(row.path)) > 1:
                several.append(row.path)
    notes = (*filter(None, (predictor.bundle.credit,)), *_notes(several), *sink.notes)
    return PredictionSummary(seen, failed, time.perf_counter() - started, counter.result(), notes)


def _notes(several: list[str]) -> tuple[str, ...]:
    if not several:
        return ()
    others = "" if len(several) == 1 else f" and {len(several) - 1} more"
    return (f"Of files that hold several pictures (animations, pages) the first one is answered: {several[0]}{others}",)
