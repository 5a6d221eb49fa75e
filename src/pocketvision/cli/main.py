"""`pocketvision …`: how a verb ends. 0 done, 1 work failed or findings, 2 wrong use; by a signal 128 and its number.

Nothing is loaded before `main` runs, so that Ctrl-C ends it quietly while the libraries are loaded, too.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pocketvision.cli.exit_codes import BROKEN_PIPE, INTERRUPTED

# The packages of each extra, by import name: when one is absent, the error is the extra's install line.
TRAIN_PACKAGES = ("torch", "torchvision", "onnx", "onnxscript", "huggingface_hub", "sklearn", "matplotlib", "jinja2")
EXTRA_OF = {**dict.fromkeys((*TRAIN_PACKAGES, "pyarrow"), "train"), "av": "stream"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. `PV_DEBUG=1` shows the traceback of an error."""
    # torch's threads otherwise wait for one another by spinning, and beside any other busy process that is ruinous: training
    # ran at 11 to 14 images/s with spinning and 41 to 45 without, next to one busy process on 2 cores; on a quiet machine it
    # costs nothing that we could measure. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _signals_interrupt() as received:
        try:
            code = _run(arguments)
        except KeyboardInterrupt as error:
            with suppress(OSError):
                sys.stderr.write(" ".join(["Interrupted.", *_notes(error)]) + "\n")
            code = INTERRUPTED
        if code == INTERRUPTED and received:
            code = 128 + received[0]
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    from pocketvision.cli.terminal import ClosedPipeError, flush, forget_output, show_any_character
    from pocketvision.errors import MissingExtraError, PocketVisionError

    show_any_character()
    _keep_secrets_out_of_messages()
    try:
        from pocketvision.cli.verbs import run_verb

        code = run_verb(None if arguments is None else list(arguments))
        flush()
    except PocketVisionError as error:
        return _failed(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        return _failed(
            str(MissingExtraError(f"This command (it uses {error.name})", extra)), MissingExtraError.exit_code
        )
    except ClosedPipeError:
        forget_output()
        return BROKEN_PIPE
    except OSError as error:  # a full disk, a folder without permission
        forget_output()
        return _failed(_os_error_text(error), PocketVisionError.exit_code)
    return code


def _notes(error: BaseException | None) -> list[str]:
    """What is kept of the work that an error ended: sentences that were made for it on its way."""
    return list(getattr(error, "__notes__", []))


def _failed(message: str, code: int) -> int:
    from pocketvision.cli.terminal import joined, stderr, styled
    from pocketvision.printable import bounded
    from pocketvision.redaction import redacted

    if os.environ.get("PV_DEBUG"):
        sys.excepthook(*sys.exc_info())
    stderr().print(joined(styled("Error: ", "bold red"), bounded(redacted(message))), soft_wrap=True)
    for note in _notes(sys.exception()):
        stderr().print(note, soft_wrap=True)
    return code


def _os_error_text(error: OSError) -> str:
    """What the operating system says, with the file's name where it tells one."""
    said = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {said}" if isinstance(error.filename, str | bytes) else said


def _keep_secrets_out_of_messages() -> None:
    """Tracebacks, and log lines and warnings that nothing else formats, are shown without secrets and control characters."""
    import logging
    import threading
    import traceback
    import warnings

    from pocketvision.errors import PictureWarning
    from pocketvision.log_lines import LineFormatter, safe_lines

    def show(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
        sys.stderr.write(safe_lines("".join(traceback.format_exception(kind, error, trace)).rstrip("\n")) + "\n")

    plain = warnings.formatwarning

    def shown_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        ours = issubclass(category, PictureWarning)
        text = f"Warning: {message}" if ours else plain(message, category, filename, lineno, line).rstrip("\n")
        return safe_lines(text) + "\n"

    sys.excepthook = show
    threading.excepthook = lambda failed: show(failed.exc_type, failed.exc_value, failed.exc_traceback)
    warnings.formatwarning = shown_warning
    # Pillow warns of odd metadata, which do not decide about a picture; `check` reports them.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LineFormatter())


@contextmanager
def _signals_interrupt() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP end a verb as Ctrl-C does, so that it keeps what it has. Gives the signals that came.

    A signal that is ignored (nohup) or handled stays so.
    """
    import signal

    received: list[int] = []

    def interrupt(number: int, _frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    with suppress(ValueError):  # only the main thread may
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
