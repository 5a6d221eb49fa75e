"""`pocketvision client …`: a server asked from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvision.cli.answer_options import Details, Margin, Of, Tasks, ThenModel, listed
from pocketvision.cli.display import duration_and_rate, print_row, write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import standard_input, stderr, stdout, write_cells, write_line
from pocketvision.printable import counted
from pocketvision.redaction import redacted_url

if TYPE_CHECKING:
    from pocketvision.client import RequestFailedError, Wanted
    from pocketvision.workflows.client import RemoteSummary

app = typer.Typer(
    help="Ask a server that `pocketvision serve` started.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

Url = Annotated[str, typer.Argument(metavar="URL", help="The server: http://HOST:PORT or https://HOST.")]
# Not the key itself: what stands on a command line is seen in lists of processes and kept in the shell's history.
KeyFile = Annotated[
    Path | None,
    typer.Option(help="File that holds the API key and nothing else.  [default: the variable POCKETVISION_API_KEY]"),
]


Images = Annotated[
    list[str], typer.Argument(help="Files, folders, globs, or - for standard input: a list of paths, or a picture.")
]
Out = Annotated[Path | None, typer.Option(help="Write rows to this .csv or .jsonl file.")]
TopK = Annotated[int, typer.Option(min=1, max=1000, help="How many labels an image gets.")]
Model = Annotated[str | None, typer.Option(help="The model's name.  [default: the server's first]")]
Version = Annotated[str | None, typer.Option(help="The model's version.  [default: its last]")]
Models = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Several models about each picture, which the server decodes once; with commas."
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, help="Images asked about at once.")]
Timeout = Annotated[float, typer.Option(min=0.01, help="Seconds that an attempt may take.")]
Retries = Annotated[int, typer.Option(min=0, help="Attempts after an image's first.")]
Deadline = Annotated[float, typer.Option(min=0.01, help="Seconds for an image with all its attempts.")]


@app.command()
def predict(
    url: Url,
    images: Images,
    out: Out = None,
    top_k: TopK = 1,
    model: Model = None,
    version: Version = None,
    models: Models = None,
    tasks: Tasks = None,
    detail: Details = None,
    then: ThenModel = None,
    of: Of = None,
    margin: Margin = 0.0,
    concurrency: Concurrency = 8,
    timeout: Timeout = 30.0,
    retries: Retries = 8,
    deadline: Deadline = 60.0,
    key_file: KeyFile = None,
    json: JsonFile = None,
) -> None:
    """Ask a model of a server about images; rows keep the order of the images, and are `predict`'s.

    A server that is busy, restarts or loses the connection is asked again. An image that can not be read or is refused becomes
    a row with an error. Exit code 0: all answered; 1: some could not be, or no server is there.

    Examples:

        pocketvision client predict http://127.0.0.1:8000 photo.jpg

        pocketvision client predict http://127.0.0.1:8000 photo.jpg --models people,streets --then faces --of person

        pocketvision client predict https://vision.example.org "new/**/*.jpg" --out answers.csv --key-file key.txt
    """
    from pocketvision.workflows.client import predict_remotely, read_key

    to_terminal = out is None and str(json) != "-"
    summary = predict_remotely(
        url,
        images,
        key=read_key(key_file),
        out=out,
        top_k=top_k,
        model=model,
        version=version,
        wanted=_wanted(models, tasks, detail, then, of, margin),
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        deadline=deadline,
        lines=standard_input() if "-" in images else None,
        on_row=(lambda row: print_row(row, top_k)) if to_terminal else None,
        on_retry=_retry_printer(),
    )
    write_json_option(json, summary.to_dict())
    _print_summary(summary, counts=not to_terminal)
    if summary.incomplete:
        raise typer.Exit(1)


def _wanted(
    models: str | None, tasks: str | None, detail: list[str] | None, then: str | None, of: str | None, margin: float
) -> "Wanted":
    from pocketvision.client.wanted import Wanted
    from pocketvision.tasks.details import details_of_texts

    return Wanted(
        models=listed(models) or (),
        tasks=listed(tasks) or (),
        details=details_of_texts(detail or ()),
        then=then,
        of=listed(of) or (),
        margin=margin or None,
    )


def _print_summary(summary: "RemoteSummary", *, counts: bool) -> None:
    if counts:
        stderr().print(
            f"{counted(summary.images, 'image')} in {duration_and_rate(summary.images, summary.seconds)}, "
            f"{summary.failed} failed, {summary.retries} {'retry' if summary.retries == 1 else 'retries'}"
        )
    for each in summary.left_out:
        stderr().print(each.line, soft_wrap=True)


@app.command()
def models(url: Url, key_file: KeyFile = None, json: JsonFile = None) -> None:
    """List the models that a server has; the first one's last version answers when none is named.

    Example:

        pocketvision client models http://127.0.0.1:8000
    """
    from dataclasses import asdict

    from rich.table import Table

    from pocketvision.workflows.client import read_key, served_models

    states = served_models(url, key=read_key(key_file))
    write_json_option(json, [asdict(state) for state in states])
    if str(json) == "-":
        return
    measured = ("Measured",) if any(state.headline for state in states) else ()
    table = Table("Model", "Version", "Architecture", "Input", "Classes", *measured, box=None, header_style="bold")
    for state in states:
        size = f"{state.width} x {state.height} px"
        headline = (state.headline,) if measured else ()
        table.add_row(state.name, state.version, state.architecture, size, str(len(state.labels)), *headline)
    stdout().print(table)


@app.command()
def ready(
    url: Url,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that is not there yet.")] = 0.0,
) -> None:
    """Tell whether a server's models are ready. Exit code 0: they are; 1: they are not. It needs no key.

    Example:

        pocketvision client ready http://127.0.0.1:8000 --wait 60
    """
    from pocketvision.workflows.client import wait_until_ready

    is_ready = wait_until_ready(url, wait)
    write_line("ready" if is_ready else "not ready")
    if not is_ready:
        raise typer.Exit(1)


@app.command()
def reload(
    url: Url,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A name that `client models` shows.")],
    key_file: KeyFile = None,
) -> None:
    """Have a server with keys read a model's folder anew. Exit code 1 if it keeps the old version.

    Example:

        pocketvision client reload http://127.0.0.1:8000 leaves --key-file key.txt
    """
    from pocketvision.workflows.client import read_key, reload_model

    for state in reload_model(url, name, key=read_key(key_file)):
        write_cells(state.name, state.version, state.outcome)


def _retry_printer() -> Any:
    """Prints on standard error that a request is sent again, each cause once."""
    shown: set[str] = set()

    def show(error: "RequestFailedError", _pause: float) -> None:
        if error.reason not in shown and len(shown) < 5:
            shown.add(error.reason)
            stderr().print(f"Trying again: {redacted_url(error.url)}: {error.reason}", soft_wrap=True)

    return show
