"""RTSP, from a small server of our own: MPEG-TS in RTP packets (RFC 2250), interleaved with the control messages (RFC 2326)."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import numpy as np
import pytest

from pocketvision.errors import SourceError
from pocketvision.predictions import Classification
from pocketvision.streaming.answers import streaming
from pocketvision.streaming.frames import SOURCES, SourceSettings
from pocketvision.streaming.pattern import number_of
from pocketvision.streaming.reader import Reconnecting

PACKET = 7 * 188
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
HEADERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\n",
}


def play(client: socket.socket, transport: bytes) -> None:
    """Send a stream and hang up, without TEARDOWN and in the middle of a packet: as when somebody pulls the plug."""
    for number, start in enumerate(range(0, len(transport), PACKET)):
        header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 300, 1)
        packet = header + transport[start : start + PACKET]
        client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        time.sleep(0.001)
    client.sendall(struct.pack(">cBH", b"$", 0, PACKET) + bytes(100))


def converse(client: socket.socket, transport: bytes) -> None:
    """Answer requests until one is PLAY; play, and hang up."""
    waiting = b""
    while received := client.recv(4096):
        waiting += received
        while b"\r\n\r\n" in waiting:
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            lines = request.decode("ascii").split("\r\n")
            verb = lines[0].split()[0]
            sequence = next(line for line in lines if line.lower().startswith("cseq"))
            body = SDP if verb == "DESCRIBE" else ""
            client.sendall(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{HEADERS.get(verb, '')}\r\n{body}".encode())
            if verb == "PLAY":
                play(client, transport)
                return


@contextmanager
def rtsp_server(transport: bytes, connections: int) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        for _ in range(connections):
            with suppress(OSError), listener.accept()[0] as client:
                converse(client, transport)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    listener.close()
    thread.join(timeout=20)


def test_an_rtsp_stream_that_is_cut_five_times_resumes(transport: bytes) -> None:
    """With every frame answered, so that what is seen does not depend on who is faster."""
    answer = Classification(("something",), np.ones(1, dtype=np.float32))
    ended = time.monotonic() + 60
    with rtsp_server(transport, connections=6) as url:
        with streaming(
            lambda damaged: SOURCES["network"].read(url, SourceSettings(), damaged), lambda _: answer,
            stopped=lambda: time.monotonic() > ended or running.counts.reconnects == 5,
            keep_all=True, reconnecting=Reconnecting(wanted=True, first_pause=0.02),
        ) as running:  # fmt: skip
            answers = [each for each in running if each.pixels is not None]
        assert running.counts.reconnects == 5
    assert {number_of(each.pixels) for each in answers if each.pixels is not None} <= set(range(40))
    indices = [each.frame.index for each in answers]
    assert indices == sorted(set(indices))  # frames are counted on, over every cut
    numbers = [number_of(each.pixels) for each in answers if each.pixels is not None]
    assert sum(after < before for before, after in pairwise(numbers)) >= 4  # the stream's own numbers began anew


def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: the timeout counts, not the server's patience."""
    from pocketvision.streaming import frames

    monkeypatch.setattr(frames, "OPEN_TIMEOUT", 0.3)
    monkeypatch.setattr(frames, "READ_TIMEOUT", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic()
    with listener:
        try:
            next(
                SOURCES["network"].read(f"tcp://127.0.0.1:{listener.getsockname()[1]}", SourceSettings(), lambda: None)
            )
        except SourceError as error:
            assert "nothing came for some seconds" in str(error)
        else:
            raise AssertionError("it gave a picture")
    assert time.monotonic() - started < 10
