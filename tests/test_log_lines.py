"""Log records hold no secret, no control character and no line that somebody else made up."""

import logging
import sys

from pocketvision.log_lines import LineFormatter


def record(message: str, *arguments: object, level: int = logging.INFO, error: bool = False) -> str:
    made = logging.LogRecord("any", level, __file__, 1, message, arguments, sys.exc_info() if error else None)
    return LineFormatter().format(made)


def test_a_message_is_one_line_without_secrets() -> None:
    shown = record("%s: lost (%s)", "rtsp://me:hunter2@cam/live", "\x1b[2Jnone\nWarning: forged \udcff")
    assert shown == r"rtsp://…@cam/live: lost (\x1b[2Jnone\nWarning: forged \xff)"
    assert record("a", level=logging.WARNING) == "Warning: a"


def test_a_traceback_keeps_its_lines_without_secrets() -> None:
    try:
        try:
            raise OSError("rtsp//me:hunter2@cam/live\x1b]0;x\x07")
        except OSError as error:
            raise ValueError("http://h/?password=hunter2 and more") from error
    except ValueError:
        shown = record("failed", error=True)
    assert "hunter2" not in shown and "\x1b" not in shown and "\x07" not in shown
    assert shown.startswith("failed\nTraceback") and "OSError: rtsp//…@cam/…" in shown
