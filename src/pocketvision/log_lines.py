"""Log records as lines: whoever's message it is, it holds no secret, no control character and no forged line."""

import logging

from pocketvision.printable import bounded, printable
from pocketvision.redaction import redacted


def safe_lines(text: str) -> str:
    """Several lines, such as a traceback, each without secrets and control characters."""
    return "\n".join(printable(line) for line in redacted(text).split("\n"))


class LineFormatter(logging.Formatter):
    """The message on one line; a traceback below it, line by line."""

    def format(self, record: logging.LogRecord) -> str:
        """A record's text, without its end of line."""
        text = bounded(redacted(record.getMessage()))
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.capitalize()}: {text}"
        return text if not record.exc_info else f"{text}\n{safe_lines(self.formatException(record.exc_info))}"
