"""The server's log on standard error: a line a request, as text or as JSON Lines."""

import logging
import math
import sys
import time
import warnings

from pocketvision.json_text import json_text
from pocketvision.log_lines import safe_lines
from pocketvision.printable import bounded, printable
from pocketvision.redaction import redacted
from pocketvision.serving.request_middleware import access


class _AccessLogFormatter(logging.Formatter):
    """One record, one line: control characters that a client sent can not forge another, and secrets in URLs are hidden."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """A line without its end."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        request = getattr(record, "request", None)
        if self._as_json:
            fields = request or {"message": bounded(redacted(record.getMessage()))}
            if record.exc_info:
                fields = {**fields, "traceback": safe_lines(self.formatException(record.exc_info))}
            return json_text({"time": stamp, "level": record.levelname, "logger": record.name, **fields})
        if request is not None:
            rest = [f"{name}={request[name]}" for name in ("messages", "answers") if name in request]
            line = " ".join(
                [
                    f"{stamp} {request['client']} {request['key'] or '-'} {request['method']} {request['path']!r}",
                    f"{request['status']} {request['ms']:.1f} ms {request['request_id']}",
                    *rest,
                    request["problem"],
                ]
            )
            return printable(line.rstrip())
        text = f"{stamp} {record.levelname} {record.name}: {bounded(redacted(record.getMessage()))}"
        return text if not record.exc_info else f"{text}\n{safe_lines(self.formatException(record.exc_info))}"


class _OncePerMinute(logging.Filter):
    """One line a minute of what begins like this, without the traceback: thousands would say no more."""

    def __init__(self, beginning: str = "") -> None:
        super().__init__()
        self._beginning = beginning
        self._last = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a minute has passed, or it is about something else."""
        if not record.getMessage().startswith(self._beginning):
            return True
        record.exc_info = None
        if time.monotonic() - self._last < 60:
            return False
        self._last = time.monotonic()
        return True


def _handler(*, as_json: bool) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AccessLogFormatter(as_json=as_json))
    return handler


def log_to_stderr(*, as_json: bool) -> None:
    """Send our log, the access log, uvicorn's, asyncio's and Python's warnings to standard error. For a process of its own:
    loggers are global."""
    handler = _handler(as_json=as_json)
    levels = {"pocketvision": logging.INFO, **dict.fromkeys(("uvicorn", "asyncio", "py.warnings"), logging.WARNING)}
    logging.captureWarnings(True)
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    logging.getLogger("asyncio").filters = [_OncePerMinute("socket.accept() out of system resource")]
    exporting = logging.getLogger("opentelemetry")
    exporting.handlers, exporting.propagate = [_handler(as_json=as_json)], False
    exporting.handlers[0].addFilter(_OncePerMinute())  # of a collector that can not be reached
    access.setLevel(logging.INFO)
    # Pillow warns of damaged files in their own words, and Python remembers every different warning for ever.
    warnings.filterwarnings("ignore", module=r"PIL\.")
