"""Where pictures begin, in what encoders make."""

import pytest

pytest.importorskip("av")
from coded import coded, units

from pocketvision.streaming.access_units import Beginning, beginning

CODECS = [("libx264", "h264"), ("libx265", "hevc")]


@pytest.mark.parametrize(("encoder", "codec"), CODECS)
@pytest.mark.parametrize("slices", [1, 4])
def test_a_picture_begins_once(encoder: str, codec: str, slices: int) -> None:
    pictures = coded(encoder, 25, slices)
    assert len(pictures) == 25
    for number, picture in enumerate(pictures):
        expected = Beginning.KEY_PICTURE if number % 10 == 0 else Beginning.PICTURE
        assert beginning(codec, b"", picture) is expected
        parts = [beginning(codec, b"", b"\0\0\1" + unit) for unit in units(picture)]
        begun = sum(part is not Beginning.NOTHING for part in parts)
        assert parts[:begun] + [Beginning.NOTHING] * (slices - 1) == parts  # the first slice and what stands before it
        assert beginning(codec, b"", picture[len(picture) // 2 + 4 :][:40].replace(b"\0\0\1", b"")) is Beginning.NOTHING


def test_what_the_container_or_nobody_can_tell_is_taken_for_whole() -> None:
    (packet,) = coded("libx264", 1)
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units(packet))
    assert beginning("h264", b"\x01\x42\xc0", lengths) is Beginning.KEY_PICTURE
    assert beginning("h264", b"\0\0\0\x01", lengths) is Beginning.NOTHING
    assert beginning("mpeg4", b"", b"\0\0\1\xb6") is Beginning.KEY_PICTURE


def test_odd_bytes_are_no_beginning() -> None:
    for odd in (b"", b"\0\0\1", b"\0\0\1\x65", b"\0\0\1\x68", b"no start code", bytes(50)):
        assert beginning("h264", b"", odd) is beginning("hevc", b"", odd) is Beginning.NOTHING


def test_a_delimiter_may_be_a_packet() -> None:
    assert (
        beginning("h264", b"", b"\0\0\0\1\x09\xf0")
        is beginning("hevc", b"", b"\0\0\0\1\x46\x01\x50")
        is Beginning.PICTURE
    )
