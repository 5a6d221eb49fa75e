"""What answers about images: a bundle, a pre-trained network's name or a running server, for all that measures answers."""

import os
from collections.abc import Iterable
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.task import Detail, ViewOptions
from pocketvision.workflows.pretrained import open_bundle


def open_answering(
    model: str | Path,
    *,
    backend: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    detail: Detail = MEASURED,
    views: ViewOptions = ViewOptions(),  # noqa: B008 (frozen)
) -> Answering:
    """A Predictor, or of an address (http://HOST:PORT) what asks that server. Raises as both do; UsageError for views or a
    backend of a server, which looks at pictures as it was started."""
    if not str(model).startswith(("http://", "https://")):
        return Predictor(
            open_bundle(model), backend=backend, threads=threads, device=device, detail=detail, views=views
        )
    if views or backend is not None:
        raise UsageError(f"{model} is a server: leave backend, tile and scales out, which it was started with.")
    from pocketvision.client.answering import ServedPredictor  # needs the client's extra

    return ServedPredictor(str(model), detail=detail, key=os.environ.get("POCKETVISION_API_KEY"))


def opened_judges(bundle: Iterable[str | Path] | str | Path | None, asked: object) -> list[Answering]:
    """Those whose answers judge what was said of images (evaluation/doubts.py). Raises UsageError where nothing is `asked` of
    them, and as open_answering does."""
    given = [bundle] if isinstance(bundle, str | Path) else list(bundle or ())
    if given and asked is None:
        raise UsageError("A bundle judges objects and masks for --label-problems FOLDER. Name that folder too.")
    return [open_answering(each) for each in given]
