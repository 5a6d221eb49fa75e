"""`pocketvision …`: the verbs, and how errors end them: 0 done, 1 work failed or findings, 2 wrong use, 130 Ctrl-C."""

import os
import sys
from collections.abc import Sequence

import typer

from pocketvision.cli import (
    check,
    demo,
    evaluate,
    export,
    fit,
    import_weights,
    predict,
    prune,
    quantize,
    serve,
    stream,
    train,
    verify,
)
from pocketvision.cli.client import app as client
from pocketvision.cli.display import stderr
from pocketvision.cli.models import app as models
from pocketvision.errors import MissingExtraError, PocketVisionError

INTERRUPTED = 130
"""As Typer ends on Ctrl-C, and shells count: 128 and the signal's number."""

# The packages of each extra, by import name: when one is absent, the error is the extra's install line.
TRAIN_PACKAGES = ("torch", "torchvision", "onnx", "onnxscript", "huggingface_hub", "sklearn", "matplotlib", "jinja2")
EXTRA_OF = {**dict.fromkeys((*TRAIN_PACKAGES, "pyarrow"), "train"), "av": "stream"}

app = typer.Typer(
    name="pocketvision",
    help="A folder of images in; a trained, measured and shippable vision model out, on a laptop CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="demo")(demo.demo)
app.command(name="check")(check.check)
app.command(name="train")(train.train)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="predict")(predict.predict)
app.command(name="stream")(stream.stream)
app.command(name="import")(import_weights.import_weights)
app.command(name="export")(export.export)
app.command(name="prune")(prune.prune)
app.command(name="fit")(fit.fit)
app.command(name="quantize")(quantize.quantize)
app.command(name="verify")(verify.verify)
app.command(name="serve")(serve.serve)
app.command(name="new-key")(serve.new_key)
app.add_typer(client, name="client")
app.add_typer(models, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"pocketvision {version('pocketvision')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. `PV_DEBUG=1` lets the traceback of an error through."""
    # torch's threads otherwise wait for one another by spinning, and beside any other busy process that is ruinous: training
    # ran at 11 to 14 images/s with spinning and 41 to 45 without, next to one busy process on 2 cores; on a quiet machine it
    # costs nothing that we could measure. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(args=None if arguments is None else list(arguments), standalone_mode=True)
    except PocketVisionError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        _fail(str(MissingExtraError(f"This command (it uses {error.name})", extra)), MissingExtraError.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `pocketvision predict … | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk, a folder without permission: the system's own words say what and where
        _fail(str(error), PocketVisionError.exit_code)


def _fail(message: str, code: int) -> None:
    if os.environ.get("PV_DEBUG") and (error := sys.exception()) is not None:
        raise error
    stderr().print(f"[bold red]Error:[/] {_plain(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
