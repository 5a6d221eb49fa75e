"""client: images to a server of ours, rows out as `predict` writes them; what it serves, and whether it is ready."""

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.client import (
    Client,
    ConnectionFailedError,
    ModelState,
    Outcome,
    Prediction,
    ReloadState,
    ServerProblemError,
    UnexpectedAnswerError,
)
from pocketvision.client.in_order import CONCURRENCY
from pocketvision.client.settings import DEADLINE, RETRIES, TIMEOUT, OnRetry
from pocketvision.client.values import CLASSIFICATION_ALONE
from pocketvision.client.wanted import Wanted, answer_kinds
from pocketvision.data.find_images import find_images
from pocketvision.data.left_out import LeftOut, LeftOutCounter
from pocketvision.data.standard_input import STANDARD_INPUT, Lines
from pocketvision.errors import ImageError, PocketVisionError, UsageError
from pocketvision.printable import counted
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.rows import check_suffix, row_sink
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import Kinds

KEY_VARIABLE = "POCKETVISION_API_KEY"
POLL = 0.2  # seconds between looks whether a server is ready
# What the server says of one image, or of one moment. Other problems would be every image's.
_ABOUT_THE_IMAGE = (400, 408, 413, 415, 422, 429, 500, 504)
_LINE_OF_A_SERVER = re.compile(r"[^:]+:[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class RemoteRow:
    """What became of one image: its path as it was given, and either its prediction or the cause why there is none."""

    path: str
    prediction: Prediction | None
    error: str | None

    @property
    def answers(self) -> Answers:
        """By the tasks' names; none if there is an error."""
        return {} if self.prediction is None else self.prediction.answers


@dataclass(frozen=True)
class RemoteSummary:
    """What a run did: images seen, how many have an error, attempts beyond each image's first, wall time in seconds, and what
    the search of folders and patterns left out."""

    images: int
    failed: int
    retries: int
    seconds: float
    left_out: tuple[LeftOut, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether something that was asked for has no answer: an image, or a folder that could not be looked into."""
        return self.failed > 0 or any(each.reason == "no_permission" for each in self.left_out)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def predict_remotely(
    url: str,
    images: Iterable[str | Path],
    *,
    key: str | None = None,
    out: str | Path | None = None,
    top_k: int = 1,
    model: str | None = None,
    version: str | None = None,
    wanted: Wanted | None = None,
    concurrency: int = CONCURRENCY,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    deadline: float = DEADLINE,
    lines: Lines | None = None,
    on_row: Callable[[RemoteRow], None] | None = None,
    on_retry: OnRetry | None = None,
) -> RemoteSummary:
    """Answer `images` (files, folders, globs, `-` for `lines`) with a server's model, in order.

    images, lines: see find_images.

    out, on_row: see workflows.predict. The rest: see Client and Client.predict_many.

    An image that can not be read or is refused becomes a row with an error. Raises PocketVisionError when the next
    image would fare no better: no server there in spite of all retries, a wrong key, an unknown model. Rows until then
    are written.
    """
    detail = Detail(top_k=top_k, looked=wanted is not None and wanted.then is not None)
    started = time.perf_counter()
    seen = failed = repeated = 0
    counter = LeftOutCounter()
    file = None if out is None else Path(out)
    check_suffix(file)
    client = Client(url, key=key, timeout=timeout, retries=retries, deadline=deadline, on_retry=on_retry)
    kinds, told = ({}, detail) if file is None else _asked(client, model, version, wanted, detail)
    with client, row_sink(file, kinds, told) as write:
        found = find_images(images, lines, counter)
        for outcome in client.predict_many(
            found, top_k=top_k, model=model, version=version, wanted=wanted, concurrency=concurrency
        ):
            row = _row(outcome, seen)
            write(row)
            if on_row is not None:
                on_row(row)
            seen += 1
            failed += row.error is not None
            repeated += _attempts(outcome) - 1
    return RemoteSummary(seen, failed, repeated, time.perf_counter() - started, counter.result())


def _asked(
    client: Client, model: str | None, version: str | None, wanted: Wanted | None, detail: Detail
) -> tuple[Kinds, Detail]:
    """Of the tasks that are asked, and what is told of them: a table's columns have to be known before its first row."""
    states = client.models()
    names = [] if wanted is None else list(wanted.models)
    asked = {name: _state(states, *_name_and_version(name, states)) for name in names}
    if not names:
        first = states[0].name if model is None and states else model
        asked = {"": _state(states, first, version)}
    found = {name: state for name, state in asked.items() if state is not None}
    if len(found) < len(asked):  # what is not there is said when it is asked
        return CLASSIFICATION_ALONE, detail
    kinds = answer_kinds(found, () if wanted is None else wanted.tasks)
    return kinds, replace(detail, unsure=any(state.says_unsure for state in found.values()))


def _name_and_version(text: str, states: Sequence[ModelState]) -> tuple[str, str | None]:
    name, sign, version = text.rpartition("@")
    return (name, version) if sign and all(each.name != text for each in states) else (text, None)


def _state(states: Sequence[ModelState], name: str | None, version: str | None) -> ModelState | None:
    fitting = [each for each in states if each.name == name and version in (None, each.version)]
    return fitting[-1] if fitting else None


def served_models(url: str, *, key: str | None = None) -> tuple[ModelState, ...]:
    """The models that a server has."""
    with Client(url, key=key) as client:
        return client.models()


def reload_model(url: str, name: str, *, key: str | None = None) -> tuple[ReloadState, ...]:
    """Have a server read a model's folder anew. Raises ServerProblemError when it refuses the new bundle."""
    with Client(url, key=key) as client:
        return client.reload(name)


def wait_until_ready(
    url: str,
    seconds: float = 0.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether a server's models are ready, asked at once and again until `seconds` are over.

    Raises RequestFailedError for an address that is another program's, and for a host that is still unknown at the end.
    """
    ends = clock() + seconds
    while True:
        left = ends - clock()
        with Client(url, timeout=min(TIMEOUT, max(left, 1.0))) as client:
            try:
                if client.ready():
                    return True
            except ConnectionFailedError:  # a host's name may become known with its container
                if clock() >= ends:
                    raise
        left = ends - clock()
        if left <= 0:
            return False
        sleep(min(POLL, left))


def read_key(file: Path | None) -> str | None:
    """The key in a file that holds nothing else, or in the environment variable POCKETVISION_API_KEY; None without
    either.

    Raises UsageError, which does not repeat what the file holds.
    """
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        key = file.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: the key can not be read ({error})") from error
    if _LINE_OF_A_SERVER.fullmatch(key):
        raise UsageError(f"{file}: that is a line of the server's file; expected the key that `new-key` showed")
    if not key or len(key.split()) > 1:
        raise UsageError(f"{file}: expected one key and nothing else")
    return key


def _row(outcome: Outcome, seen: int) -> RemoteRow:
    """Raises PocketVisionError for an error that ends the run."""
    error = outcome.error
    if error is None:
        return RemoteRow(outcome.path or STANDARD_INPUT, outcome.prediction, None)
    if (
        (isinstance(error, ConnectionFailedError) and not error.sent)
        or isinstance(error, UnexpectedAnswerError)
        or (isinstance(error, ServerProblemError) and error.status not in _ABOUT_THE_IMAGE)
    ):
        answered = f"; {counted(seen, 'image')} answered before that, the others not" if seen else ""
        raise PocketVisionError(f"{error}{answered}") from error
    reason = error.reason if isinstance(error, ImageError | ServerProblemError | ConnectionFailedError) else str(error)
    return RemoteRow(outcome.path or STANDARD_INPUT, None, reason)


def _attempts(outcome: Outcome) -> int:
    attempts: int = getattr(outcome.prediction or outcome.error, "attempts", 1)
    return attempts
