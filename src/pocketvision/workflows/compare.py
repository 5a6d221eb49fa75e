"""compare: two models on the same labelled images: who is better, is it significant, and on which pictures they differ."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pocketvision.data.sources.in_memory import given_data
from pocketvision.data.sources.named_sets import named_set
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError
from pocketvision.evaluation.answering import answer_all
from pocketvision.evaluation.images import labelled_images, seen_before
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.report.versus_page import write_versus
from pocketvision.evaluation.versus import Versus, compare_passes, require_comparable
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.progress import Counted, OnEvent, silent
from pocketvision.runtime.predictor import BATCH
from pocketvision.tasks.comparing import check_options
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.task import Detail
from pocketvision.workflows.answering import open_answering


def compare(
    a: str | Path,
    b: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    lang: str = "en",
    positive: str | None = None,
    format: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    ignore: int | None = None,
    root: str | Path | None = None,
    download: bool = False,
    batch: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    on_event: OnEvent = silent,
) -> Versus:
    """Measure `a` and `b` on the labelled images of `data`: bundles in any form (int8, ensembles), pre-trained networks' names,
    or addresses of running servers.

    Images that either has learned from are left out, where they keep hashes. Classes are compared by McNemar's exact test,
    everything else by the paired bootstrap of the headline's difference. out: a folder for compare.html (in `lang`) and
    compare.json. The rest as in `evaluate`. Raises UsageError for models with other classes or no task in common, and as
    `evaluate` does.
    """
    if out is not None:
        texts(lang)  # refused before the work
    if str(a) == str(b):
        raise UsageError(f"Both models are {a}; expected two different ones.")
    models = [open_answering(each, threads=threads, device=device) for each in (a, b)]
    require_comparable((str(a), str(b)), (models[0].bundle.tasks, models[1].bundle.tasks))
    first = models[0].bundle
    options = MeasureOptions(positive=first.positive if positive is None else positive, seed=seed)
    check_options(first.tasks, options)
    samples, _, _ = labelled_images(
        first,
        given_data(named_set(data, root, download=download), None, None, first.only_kind),
        Columns(path_column, label_column, split_column, group_column, box=tuple(box_columns)),
        format=format,
        images=images,
        ignore=ignore,
        split=split,
        on_event=on_event,
    )
    told = (_progress(name, on_event) for name in "AB")
    passes = [
        answer_all(model, samples, batch=batch or BATCH, workers=workers, max_pixels=max_pixels, on_progress=each)
        for model, each in zip(models, told, strict=True)
    ]
    seen = [seen_before(model.bundle, samples, workers, max_pixels, on_event) for model in models]
    found = compare_passes((str(a), str(b)), (passes[0], passes[1]), samples, seen=seen, options=options)
    if out is not None:
        write_versus(Path(out), found, (models[0].wanting(Detail()), models[1].wanting(Detail())), samples.root, lang)
    return found


def _progress(name: str, on_event: OnEvent) -> Callable[[int, int], None]:
    return lambda done, total: on_event(Counted(f"Answers of {name}", done, total))
