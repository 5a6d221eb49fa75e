"""Frames published to a server: `pocketvision serve --live` shows them to whoever watches, as MJPEG or over WebSockets."""

import io
import json
import logging
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from PIL import Image

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.printable import shortened
from pocketvision.redaction import redacted, redacted_url
from pocketvision.streaming.bounded_queue import BoundedQueue
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.reader import BackOff

if TYPE_CHECKING:
    from websockets.http11 import Response
    from websockets.sync.client import ClientConnection

logger = logging.getLogger(__name__)

KEY_VARIABLE = "POCKETVISION_API_KEY"
OnOptions = Callable[[Mapping[str, Any]], None]
_URL = re.compile(r"https?://[^/@?#\s]+(/[^/?#\s]+)*/live/[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EXPECTED = "http(s)://HOST:PORT/live/NAME (a name of letters, digits, dashes and underscores)"

QUALITY = 80
"""Of JPEG. Measured with Pillow on photographs: 0.7 ms of processor time and 19 KiB at 640 x 480, 2.2 ms and 40 KiB at
1280 x 720, 4.7 ms and 72 KiB at 1920 x 1080 (photographs enlarged; sharp ones take more). Quality 90 takes as long, and 37 % more
bytes."""
LONGEST_SIDE = 1920
"""Pixels. Larger pictures are scaled down: it is a screen that they are for, and a server takes 4 MiB."""

IN_FLIGHT = 4
"""Pictures that the server has not yet confirmed. More would wait in the network's buffers, and be old when they are shown."""

OPEN_TIMEOUT, CONFIRM_TIMEOUT, CLOSE_TIMEOUT = 5.0, 10.0, 2.0
"""Seconds for a connection, for the server to take a picture, and for what is left when the stream ends."""


def accepts_url(text: str) -> bool:
    """Whether a text is meant as a server's address."""
    return text.partition("://")[0].lower() in ("http", "https") and "://" in text


@contextmanager
def open_publisher(
    url: str, back_off: BackOff | None = None, on_options: OnOptions | None = None
) -> Iterator["Publisher"]:
    """A way to the stream `url` of a server; the key is taken from the environment variable POCKETVISION_API_KEY. on_options:
    called, in a thread of the publisher's own, with the options that a viewer asks for.

    Raises UsageError for an address that is none and, at the end at the latest, when the server refuses the stream;
    MissingExtraError without the package websockets.
    """
    try:
        valid = _URL.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:  # a port that is no number
        valid = False
    if not valid:
        hint = f"; a key goes into the environment variable {KEY_VARIABLE}" if "@" in url or "?" in url else ""
        raise UsageError(f"--out {shortened(redacted_url(url))}: expected {_EXPECTED}{hint}")
    try:
        import websockets.sync.client  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("Publishing to a server", "stream") from error
    key = os.environ.get(KEY_VARIABLE, "").strip() or None  # what comes from a file ends in a line's end
    publisher = Publisher(url, key, back_off or BackOff(enabled=True), on_options)
    try:
        yield publisher
    finally:
        publisher.close()
    publisher.check()


@dataclass(frozen=True, eq=False)
class _Published:
    pixels: Pixels
    line: str


class _RefusedError(Exception):
    """The server said no in a way that asking again will not change."""


class Publisher:
    """An open way to a server. A thread of its own encodes and sends the newest picture; the stream never waits for it.

    While the server is away, pictures are dropped and counted, and it is tried again after growing pauses. A server that refuses
    the first connection (a wrong key, a name that is taken) ends the stream: that is a mistake to be mended. A later refusal
    is waited out, as a server that is away is: answers are worth more than their pictures.
    """

    closed = False

    def __init__(self, url: str, key: str | None, back_off: BackOff, on_options: OnOptions | None = None) -> None:
        """url: of the stream, http(s)://HOST/live/NAME. key: the server's API key, None when it has none."""
        self._on_options = on_options
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._back_off = back_off
        self._queue: BoundedQueue[_Published] = BoundedQueue(capacity=1, drop_oldest=True)
        self._ending = threading.Event()
        self._refused: _RefusedError | None = None
        self._opened = ExitStack()
        self._connection: ClientConnection | None = None
        self._accepted = False  # ever
        self._proved = False  # whether this connection has had a picture confirmed
        self._in_flight = 0
        self._written = 0
        self._confirmed = 0
        self._failures = 0
        self._away = False
        self._thread = threading.Thread(target=self._publish, name="publishing", daemon=True)
        self._thread.start()

    def write(self, pixels: Pixels, _time: float, line: str) -> None:
        """Hand over an RGB picture (H, W, 3) and its answer, a JSON object; returns at once. Raises UsageError when the server
        refused the stream."""
        self.check()
        self._written += 1
        self._queue.put(_Published(pixels, line))

    @property
    def dropped(self) -> int:
        """Pictures that the server has not confirmed: it was away, or slower than they came."""
        return self._written - self._confirmed

    def check(self) -> None:
        """Raise UsageError when the server refused the stream."""
        if self._refused is not None:
            raise UsageError(str(self._refused))

    def close(self) -> None:
        """Send what is left if the server is there, and end."""
        self._ending.set()
        self._queue.close()
        self._thread.join(timeout=OPEN_TIMEOUT + CLOSE_TIMEOUT)

    def _publish(self) -> None:
        try:
            while (published := self._newest()) is not None:
                # That a connection was lost while nothing was sent shows only when something is: then it is sent anew.
                if not self._sent(published):
                    self._sent(published)
            if self._connection is not None:
                self._confirm(self._connection, 0, CLOSE_TIMEOUT)
        except _RefusedError as error:
            self._refused = error
        except Exception as error:  # the stream is over, or its next picture finds nobody: nothing to be saved
            logger.warning("%s: publishing ended (%s)", self._url, _message(error))
        finally:
            self._disconnect()

    def _newest(self) -> _Published | None:
        """The newest picture, taken only when there is room for one more on the way; None at the end."""
        try:
            if self._connection is not None:
                self._confirm(self._connection, IN_FLIGHT - 1, CONFIRM_TIMEOUT)
        except _lost_connection() as error:
            self._lose(error)
        return self._queue.get()

    def _sent(self, published: _Published) -> bool:
        """Send a picture, connecting if there is no connection. False when a connection was lost that had worked until then: it
        is worth to try the same picture on a new one at once. After any other failure, wait for as long as it is the turn to."""
        if self._connection is None and self._failures and self._ending.is_set():
            return True
        try:
            connection = self._connection or self._connect()
            self._confirm(connection, IN_FLIGHT, CONFIRM_TIMEOUT)  # takes what has come meanwhile
            connection.send(published.line)
            connection.send(jpeg(published.pixels))
            self._in_flight += 1
        except _lost_connection() as error:
            return not self._lose(error)
        return True

    def _lose(self, error: Exception) -> bool:
        """Give a connection up. True when it had worked; otherwise the pause that follows is over when this returns."""
        proved = self._proved
        self._disconnect()
        self._failures = 0 if proved else self._failures + 1
        if not proved:
            if not self._away:
                self._away = True
                logger.warning("%s: not published until the server is back (%s)", self._url, _message(error))
            self._ending.wait(self._back_off.delay(self._failures))
        return proved

    def _connect(self) -> "ClientConnection":
        from websockets.exceptions import InvalidStatus, InvalidURI
        from websockets.sync.client import connect

        address = "ws" + self._url.removeprefix("http") + "/publish"
        try:
            connection = self._opened.enter_context(
                connect(
                    address,
                    additional_headers=self._headers,
                    compression=None,
                    open_timeout=OPEN_TIMEOUT,
                    close_timeout=CLOSE_TIMEOUT,
                    max_size=4096,
                )
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if not self._accepted and 300 <= status < 500 and status not in (408, 429):
                raise _RefusedError(f"{self._url}: {_refusal(error.response)}") from error
            raise
        except InvalidURI as error:  # where it was sent on to
            if not self._accepted:
                raise _RefusedError(
                    f"{self._url}: it leads to {redacted_url(error.uri)}; give that address, with https://"
                ) from error
            raise
        if os.name == "posix":  # a server that stops to read would hold the thread for ever
            timeout = struct.pack("@ll", int(CONFIRM_TIMEOUT), 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._connection, self._accepted = connection, True
        return connection

    def _confirm(self, connection: "ClientConnection", at_most: int, timeout: float) -> None:
        """Wait until at most so many pictures are not confirmed; take what confirmations there are beyond."""
        while self._in_flight > 0:
            try:
                if self._took_options(connection.recv(timeout if self._in_flight > at_most else 0)):
                    continue
            except TimeoutError:
                if self._in_flight > at_most:
                    raise
                return
            self._in_flight -= 1
            self._confirmed += 1
            self._failures, self._proved = 0, True
            if self._away:
                self._away = False
                logger.warning("%s: the server is back", self._url)

    def _took_options(self, message: str | bytes) -> bool:
        """Whether a message has a viewer's options, and is no confirmation."""
        try:
            document = json.loads(message)
        except ValueError:
            return False
        if not isinstance(document, dict) or document.get("type") != "options":
            return False
        if self._on_options is not None:
            self._on_options(document)
        return True

    def _disconnect(self) -> None:
        self._connection, self._proved, self._in_flight = None, False, 0
        try:
            self._opened.close()
        except Exception as error:
            logger.debug("%s: closing failed", self._url, exc_info=error)


def jpeg(pixels: Pixels) -> bytes:
    """A JPEG file of an RGB picture (H, W, 3), no side of it longer than LONGEST_SIDE."""
    image = Image.fromarray(pixels)
    if max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _lost_connection() -> tuple[type[Exception], ...]:
    """What a connection that can not be had or that is lost raises."""
    from websockets.exceptions import WebSocketException

    return WebSocketException, OSError, EOFError


def _message(error: Exception) -> str:
    return redacted(str(error)) or type(error).__name__


def _refusal(response: "Response") -> str:
    """What the server says, or that it is not one of ours."""
    try:
        return str(json.loads(response.body or b"")["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status_code}; is it a `pocketvision serve --live`?"
