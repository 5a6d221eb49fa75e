"""Signatures: the format of an image by its first bytes."""

import re

HEAD_BYTES = 64
HEIC = "HEIC"

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the header that follows the file's own 14 bytes
_NETPBM = re.compile(rb"P[1-6](?:\s+#[^\n]*\n|\s)+\d+\s")


def format_of(head: bytes) -> str | None:
    """The format that a file begins like, by Pillow's names or HEIC; None for anything else.

    head: its first HEAD_BYTES bytes. Short signatures (BM, P6) need the header behind them to fit: text may begin so.
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return "PPM" if _NETPBM.match(head) else None


def _iso_media(head: bytes) -> str | None:
    """AVIF and HEIC share a container; the brand tells them apart, also behind the general brands mif1 and msf1."""
    size = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, min(size, len(head)), 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIC_BRANDS:
            return HEIC
    return HEIC if brands[0] in (b"mif1", b"msf1") else None
