"""Pictures of the test pattern as an encoder of H.264 or H.265 gives them, before any container."""

from fractions import Fraction

import av

from pocketvision.streaming.pattern import draw

ONE_SLICE_OR_MORE = {"libx264": "x264-params", "libx265": "x265-params"}


def coded(encoder: str, frames: int, slices: int = 1) -> list[bytes]:
    """A packet a picture, 640 x 480, each of so many slices; every tenth is a key picture."""
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 640, 480, "yuv420p"
    context.framerate, context.time_base = Fraction(30), Fraction(1, 30)
    options = f"slices={slices}:log-level=none" if encoder == "libx265" else f"slices={slices}:sliced-threads=0"
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", ONE_SLICE_OR_MORE[encoder]: options}
    packets: list[bytes] = []
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 30)
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def units(packet: bytes) -> list[bytes]:
    """The NAL units of a byte stream (Annex B), without their start codes."""
    return [unit.rstrip(b"\0") for unit in packet.split(b"\0\0\1")[1:]]
