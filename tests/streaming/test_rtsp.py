"""RTSP, from a small server of our own: MPEG-TS (RFC 2250) and H.264 as cameras send it (RFC 6184) in RTP packets, interleaved
with the control messages (RFC 2326)."""

import base64
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from coded import coded, units

from pocketvision.errors import SourceError, UsageError
from pocketvision.streaming.answers import streaming
from pocketvision.streaming.frame import SourceEvents
from pocketvision.streaming.pattern import number_of
from pocketvision.streaming.reader import BackOff
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import SOURCES
from pocketvision.tasks.classification.answer import Classification

LONGEST = 7 * 188
"""Bytes that an RTP packet carries."""

Carried = tuple[int, bool, bytes]
"""What one RTP packet carries: the picture's number, whether it is the picture's last packet, and the bytes."""


@dataclass(frozen=True)
class Sent:
    """A stream as the server describes and sends it."""

    payload: int
    described: str
    packets: list[Carried]


def as_transport(transport: bytes) -> Sent:
    pieces = [transport[start : start + LONGEST] for start in range(0, len(transport), LONGEST)]
    return Sent(33, "", [(number, False, piece) for number, piece in enumerate(pieces)])


def as_h264(pictures: list[list[bytes]]) -> Sent:
    """Each picture is a list of NAL units; those that are too long for a packet are cut (fragmentation units, FU-A)."""
    packets: list[Carried] = []
    for number, picture in enumerate(pictures):
        pieces = [piece for unit in picture for piece in ([unit] if len(unit) <= LONGEST else fragments(unit))]
        packets += [(number, last == len(pieces) - 1, piece) for last, piece in enumerate(pieces)]
    parameters = ",".join(base64.b64encode(unit).decode() for unit in pictures[0] if unit[0] & 31 in (7, 8))
    described = f"packetization-mode=1;sprop-parameter-sets={parameters}"
    return Sent(96, f"a=rtpmap:96 H264/90000\r\na=fmtp:96 {described}\r\n", packets)


def fragments(unit: bytes) -> Iterator[bytes]:
    for start in range(1, len(unit), LONGEST):
        ends = 0x80 * (start == 1) | 0x40 * (start + LONGEST >= len(unit))
        yield bytes([unit[0] & 0xE0 | 28, ends | unit[0] & 0x1F]) + unit[start : start + LONGEST]


def play(client: socket.socket, sent: Sent) -> None:
    """Send a stream and hang up, without TEARDOWN and in the middle of a packet: as when somebody pulls the plug."""
    for sequence, (number, last, content) in enumerate(sent.packets):
        header = struct.pack(">BBHII", 0x80, sent.payload | 0x80 * last, sequence & 0xFFFF, number * 3000, 1)
        client.sendall(struct.pack(">cBH", b"$", 0, len(header + content)) + header + content)
        time.sleep(0.001)
    client.sendall(struct.pack(">cBH", b"$", 0, LONGEST) + bytes(100))


def converse(client: socket.socket, sent: Sent) -> None:
    """Answer requests until one is PLAY; play, and hang up."""
    described = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\n"
        f"m=video 0 RTP/AVP {sent.payload}\r\n{sent.described}a=control:track1\r\n"
    )
    headers = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(described)}\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
        "PLAY": "Session: 1\r\n",
    }
    waiting = b""
    while received := client.recv(4096):
        waiting += received
        while b"\r\n\r\n" in waiting:
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            lines = request.decode("ascii").split("\r\n")
            verb = lines[0].split()[0]
            sequence = next(line for line in lines if line.lower().startswith("cseq"))
            body = described if verb == "DESCRIBE" else ""
            client.sendall(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{headers.get(verb, '')}\r\n{body}".encode())
            if verb == "PLAY":
                play(client, sent)
                return


@contextmanager
def rtsp_server(sent: Sent, connections: int) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        for _ in range(connections):
            with suppress(OSError), listener.accept()[0] as client:
                converse(client, sent)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    listener.close()
    thread.join(timeout=20)


@pytest.fixture(scope="module", params=["transport stream", "H.264", "H.264 in four slices"])
def sent(request: pytest.FixtureRequest, transport: bytes) -> Sent:
    """40 pictures."""
    if request.param == "transport stream":
        return as_transport(transport)
    return as_h264([units(packet) for packet in coded("libx264", 40, slices=4 if "four" in request.param else 1)])


def test_an_rtsp_stream_that_is_cut_five_times_resumes(sent: Sent) -> None:
    """With every frame answered, so that what is seen does not depend on who is faster."""
    answer = {"classification": Classification(("something",), np.ones(1, dtype=np.float32))}
    ended = time.monotonic() + 60
    with rtsp_server(sent, connections=6) as url:
        with streaming(
            lambda events: SOURCES["network"].read(url, SourceSettings(), events),
            lambda _: answer,
            stopped=lambda: time.monotonic() > ended or running.counts.reconnects == 5,
            keep_all=True,
            back_off=BackOff(enabled=True, first_delay=0.02),
        ) as running:
            answers = [each for each in running if each.pixels is not None]
        assert running.counts.reconnects == 5
    assert {number_of(each.pixels) for each in answers if each.pixels is not None} <= set(range(40))
    indices = [each.frame.index for each in answers]
    assert indices == sorted(set(indices))  # frames are counted on, over every cut
    numbers = [number_of(each.pixels) for each in answers if each.pixels is not None]
    assert sum(after < before for before, after in pairwise(numbers)) >= 4  # the stream's own numbers began anew


def test_pictures_that_come_in_pieces_are_refused_when_nothing_shall_be_put_together(sent: Sent) -> None:
    """FFmpeg hands H.264 from RTP on in the pieces it came in: shown one by one they would be torn."""
    with rtsp_server(sent, connections=1) as url:
        pictures = SOURCES["network"].read(url, SourceSettings(low_latency=True), SourceEvents())
        if sent.payload == 96:
            with pytest.raises(UsageError, match="leave --low-latency off"):
                next(pictures)
        else:
            assert number_of(next(pictures).pixels()) == 0


def test_a_server_that_is_silent_is_given_up() -> None:
    """It takes the connection and says nothing: the timeout counts, not the server's patience."""
    settings = SourceSettings(open_timeout=0.3, read_timeout=0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic()
    with listener:
        try:
            next(SOURCES["network"].read(f"tcp://127.0.0.1:{listener.getsockname()[1]}", settings, SourceEvents()))
        except SourceError as error:
            assert "nothing came for some seconds" in str(error)
        else:
            raise AssertionError("it gave a picture")
    assert time.monotonic() - started < 10
