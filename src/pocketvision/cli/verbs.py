"""The table of verbs, and how one is run."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from pocketvision.cli import (
    benchmark,
    benchmark_service,
    check,
    compare,
    convert,
    demo,
    diagnose,
    ensemble,
    evaluate,
    export,
    fit,
    import_weights,
    predict,
    pretrain,
    prune,
    quantize,
    serve,
    soup,
    stream,
    threshold,
    train,
    verify,
)
from pocketvision.cli.client import app as client
from pocketvision.cli.display import was_unwritten
from pocketvision.cli.explain import app as explain
from pocketvision.cli.models import app as models
from pocketvision.cli.terminal import joined, stderr, styled, write_line
from pocketvision.cli.tune import app as tune
from pocketvision.printable import bounded
from pocketvision.redaction import redacted

LONGEST_COMPLAINT = 600
"""Characters of a complaint about arguments, which repeats them."""

PROGRAM = "pocketvision"
HELP_OPTIONS = ["-h", "--help"]

app = typer.Typer(
    name=PROGRAM,
    help="A folder of images in; a trained, measured and shippable vision model out, on a laptop CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": HELP_OPTIONS},
)
app.command(name="demo")(demo.demo)
app.command(name="check")(check.check)
app.command(name="convert")(convert.convert)
app.command(name="train")(train.train)
app.command(name="pretrain")(pretrain.pretrain)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="compare")(compare.compare)
app.command(name="diagnose")(diagnose.diagnose)
app.command(name="threshold")(threshold.threshold)
app.command(name="predict")(predict.predict)
app.command(name="stream")(stream.stream)
app.command(name="import")(import_weights.import_weights)
app.command(name="export")(export.export)
app.command(name="prune")(prune.prune)
app.command(name="ensemble")(ensemble.ensemble)
app.command(name="soup")(soup.soup)
app.command(name="fit")(fit.fit)
app.command(name="quantize")(quantize.quantize)
app.command(name="verify")(verify.verify)
app.command(name="serve")(serve.serve)
app.command(name="new-key")(serve.new_key)
app.command(name="benchmark")(benchmark.benchmark)
app.command(name="benchmark-service")(benchmark_service.benchmark_service)
app.add_typer(client, name="client")
app.add_typer(explain, name="explain")
app.add_typer(models, name="models")
app.add_typer(tune, name="tune")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        write_line(f"pocketvision {version('pocketvision')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def run_verb(arguments: Sequence[str] | None) -> int:
    """Run the verb that the arguments (None: the process's) name, and return the exit code. Errors of ours are raised."""
    command = typer.main.get_command(app)
    _name_no_type_of_flags(command)
    try:
        # Not the command's own `main`: it ends the process in its own way on Ctrl-C and on a broken pipe.
        with command.make_context(PROGRAM, list(sys.argv[1:] if arguments is None else arguments)) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return 1
    except _wrong_arguments() as error:
        return _refused(error)
    return 1 if was_unwritten() else 0


def _wrong_arguments() -> type[Exception]:
    """The base of Typer's errors about arguments. It has no public name in all versions."""
    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _refused(error: Exception) -> int:
    code = int(getattr(error, "exit_code", 2))
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed
        return code
    console, context = stderr(), getattr(error, "ctx", None)
    if context is not None:
        console.print(context.get_usage(), soft_wrap=True)
        console.print(f"Try '{context.command_path} --help' for help.", soft_wrap=True)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    console.print(joined(styled("Error: ", "bold red"), bounded(redacted(message), LONGEST_COMPLAINT)), soft_wrap=True)
    return code


def _name_no_type_of_flags(command: Any) -> None:
    """A flag takes no value, and help that says `<bool>` beside it is wrong."""
    parameters = list(command.params)
    shown = command.get_help_option(typer.Context(command, help_option_names=HELP_OPTIONS))
    for parameter in [*parameters, *([] if shown is None else [shown])]:
        if isinstance(parameter, TyperOption) and parameter.is_flag and parameter.metavar is None:
            parameter.metavar = ""
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            _name_no_type_of_flags(each)
