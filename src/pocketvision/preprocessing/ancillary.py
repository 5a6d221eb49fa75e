"""What stands in an image file beside its pixels: texts, times, profiles, EXIF. It never decides whether a picture is sound.

A file that can not be read as it is is read once more with its pixels alone, as viewers do, which pass over what they can not
read. What the pixels need (palette, transparency, EXIF's orientation, the colour transform of a JPEG) is kept while it is whole.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_IN_A_ROW = 10_000
"""Chunks of a PNG that are looked at for damage."""
_PNG_LENGTHS = {b"tIME": (7, 7), b"gAMA": (4, 4), b"cHRM": (32, 32), b"sRGB": (1, 1), b"pHYs": (9, 9), b"sBIT": (1, 4)}
"""Bytes of chunks whose length is fixed (PNG specification, third edition, 11.3): at least and at most."""
_PNG_ZEROS = {b"tEXt": 1, b"zTXt": 1, b"iCCP": 1, b"iTXt": 3}
"""How many null bytes a chunk holds at least, after its keyword, language and so on."""
_PNG_PIXELS = (b"tRNS", b"eXIf")
"""Ancillary chunks that the picture depends on."""

_MOST_SEARCHES, _MOST_NAMES, _MOST_SEGMENTS = 4, 8, 100_000
"""Of one file: wrong lengths behind which the next part of the picture is looked for, names of parts that are tried then, and
segments of a JPEG. A file with more is not followed: a small hostile one would keep a processor busy for hours."""

_JPEG_LENGTHS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12), 0xE1: (b"Exif\0\0", 14)}
"""By marker: how a segment that the picture depends on begins, and its least length."""
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04  # profile, EXIF, XMP
_TIFF_PIXELS = frozenset([*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320])
_TIFF_PIXELS |= {322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), *range(529, 533)}
"""Tags that say how pixels are stored and shown."""


@dataclass(frozen=True)
class WithoutMetadata:
    """A file without what is beside its pixels. damaged: what was left out because it is damaged, in words."""

    content: bytes
    damaged: tuple[str, ...]


def without_metadata(format: str, content: bytes) -> Iterator[WithoutMetadata]:
    """Files with the same pixels and less beside them, the one that leaves out least first. None for other formats, and
    where the file can not be followed."""
    make = _STRIPPERS.get(format)
    if make is not None:
        with suppress(struct.error, IndexError):
            yield from make(content)


def damaged_chunks(file: IO[bytes]) -> tuple[str, ...]:
    """Names of a PNG's ancillary chunks with a wrong checksum, length or form, in order."""
    found: list[str] = []
    if file.read(8) != _PNG:
        return ()
    for _ in range(_PNG_IN_A_ROW):
        header = file.read(8)
        if len(header) < 8:
            break
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND" or not kind.isalpha():
            break
        if _is_critical(kind):
            file.seek(length + 4, 1)
        elif not _is_whole(kind, file.read(length), file.read(4)):
            found.append(kind.decode("ascii"))
    return tuple(dict.fromkeys(found))


def _is_critical(kind: bytes) -> bool:
    return not kind[0] & 0x20


def _is_whole(kind: bytes, data: bytes, checksum: bytes) -> bool:
    least, most = _PNG_LENGTHS.get(kind, (0, len(data)))
    whole = least <= len(data) <= most and data.count(b"\0") >= _PNG_ZEROS.get(kind, 0)
    return whole and zlib.crc32(kind + data).to_bytes(4, "big") == checksum


def _strip_png(content: bytes) -> Iterator[WithoutMetadata]:
    parts, damaged, place, searches = [_PNG], [], 8, 0
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        data, checksum = content[place + 8 : end - 4], content[end - 4 : end]
        if _is_critical(kind) and kind.isalpha():
            parts.append(content[place:end])
            if kind == b"IEND":
                break
        elif kind.isalpha() and _is_whole(kind, data, checksum):
            parts += [content[place:end]] if kind in _PNG_PIXELS else []
        else:
            damaged.append(kind.decode("ascii", "replace") if kind.isalpha() else "a chunk")
            if not _begins_chunk(content, end):  # a wrong length: the next chunk of the picture is looked for
                searches += 1
                if searches > _MOST_SEARCHES:
                    return
                end = _next_critical(content, place + 8)
        place = end
    yield WithoutMetadata(b"".join(parts), tuple(dict.fromkeys(damaged)))


def _begins_chunk(content: bytes, place: int) -> bool:
    kind = content[place + 4 : place + 8]
    return (
        len(kind) == 4
        and kind.isalpha()
        and place + 12 + int.from_bytes(content[place : place + 4], "big") <= len(content)
    )


def _next_critical(content: bytes, start: int) -> int:
    """Where the next critical chunk with a right checksum begins, or the end."""
    found = len(content)
    for kind in (b"PLTE", b"IDAT", b"IEND"):
        at = start + 3
        for _ in range(_MOST_NAMES):
            at = content.find(kind, at + 1, found + 4)
            if at < 0:
                break
            end = at + 4 + int.from_bytes(content[at - 4 : at], "big")
            if zlib.crc32(content[at:end]).to_bytes(4, "big") == content[end : end + 4]:
                found = min(found, at - 4)
                break
    return found


def _strip_jpeg(content: bytes) -> Iterator[WithoutMetadata]:
    """Without comments and segments of applications: at first with EXIF, whose orientation counts, then without."""
    for kept in ((0xE0, 0xE1, 0xEE), (0xE0, 0xEE), ()):
        parts, place = [b"\xff\xd8"], 2
        for _ in range(_MOST_SEGMENTS):
            place = content.find(b"\xff", place)  # past rubbish between segments
            if place < 0 or place + 4 > len(content):
                break
            if content[place + 1] in (0x00, 0xFF):  # filling
                place += 1
                continue
            marker = content[place + 1]
            if marker == 0xDA:  # the pixels
                parts.append(content[place:])
                break
            end = place + 2 + (0 if 0xD0 <= marker <= 0xD8 or marker == 1 else _length(content, place + 2))
            if 0xE0 <= marker <= 0xEF or marker == 0xFE:
                begins, least = _JPEG_LENGTHS.get(marker, (b"\0", 0))
                data = content[place + 4 : end]
                keep = marker in kept and data.startswith(begins) and len(data) >= least
                parts += [content[place:end]] if keep else []
            else:
                parts.append(content[place:end])
            place = end
        yield WithoutMetadata(b"".join(parts), ("a segment of metadata",))


def _length(content: bytes, place: int) -> int:
    return max(2, int.from_bytes(content[place : place + 2], "big"))


def _strip_webp(content: bytes) -> Iterator[WithoutMetadata]:
    parts, place, searches = [b""], 12, 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        end = place + 8 + length + length % 2
        if kind in _WEBP_PIXELS and place + 8 + length <= len(content):
            chunk = content[place : place + 8 + length] + b"\0" * (length % 2)
            if kind == b"VP8X":
                chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA_FLAGS]) + chunk[9:]
            parts.append(chunk)
        elif end > len(content):  # a wrong length: the next chunk of the picture is looked for
            searches += 1
            if searches > _MOST_SEARCHES:
                return
            following = [at for name in _WEBP_PIXELS if (at := content.find(name, place + 8)) >= 0]
            end = min(following, default=len(content))
        place = end
    body = b"".join(parts)
    yield WithoutMetadata(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, ("a chunk of metadata",))


def _strip_tiff(content: bytes) -> Iterator[WithoutMetadata]:
    """The first page's directory, with the tags of the pixels alone, in the place of the old one."""
    order = ">" if content[:1] == b"M" else "<"
    big = 43 in content[2:4]
    counts, offsets, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    start = struct.unpack_from(order + offsets, content, 8 if big else 4)[0]
    size = struct.calcsize(counts)
    count = struct.unpack_from(order + counts, content, start)[0]
    end = min(start + size + count * entry, len(content) + 1 - entry)  # a count may be any number
    entries = [content[at : at + entry] for at in range(start + size, end, entry)]
    kept = [each for each in entries if struct.unpack_from(order + "H", each)[0] in _TIFF_PIXELS]
    directory = struct.pack(order + counts, len(kept)) + b"".join(kept) + struct.pack(order + offsets, 0)
    yield WithoutMetadata(content[:start] + directory + content[start + len(directory) :], ("a tag of metadata",))


_STRIPPERS: dict[str, Callable[[bytes], Iterator[WithoutMetadata]]] = {
    "PNG": _strip_png,
    "JPEG": _strip_jpeg,
    "WEBP": _strip_webp,
    "TIFF": _strip_tiff,
}
