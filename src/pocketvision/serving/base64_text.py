"""Base64 as clients write it: both alphabets, with or without padding and line breaks, alone or as a data URL."""

import base64
import binascii
import re

from pocketvision.printable import quoted

_LINE_BREAKS = str.maketrans("", "", "\r\n")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/_=-]")
_ADDRESS = re.compile(r"(?:https?|file|ftp|s3|blob):", re.IGNORECASE)
_PERCENT = re.compile(r"%(?:2[BbFf]|3[Dd])")


def base64_bytes(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError that names the cause when it is none, or may be read in two ways."""
    body = _without_header(text.strip().lstrip("\ufeff")).translate(_LINE_BREAKS)
    if not body:
        raise ValueError("it is empty")
    if wrong := _FOREIGN.search(body):
        raise ValueError(_foreign_cause(body, wrong))
    url_safe = "-" in body or "_" in body
    if url_safe and ("+" in body or "/" in body):
        raise ValueError("it mixes the standard alphabet (+ /) with the URL-safe one (- _)")
    content = body.rstrip("=")
    if "=" in content:
        raise ValueError(
            f"character {content.index('=') + 1} is an =, which only stands at the end; are these several texts?"
        )
    if len(content) % 4 == 1:
        raise ValueError(f"{len(content)} characters without padding are no whole number of bytes; was it cut off?")
    padding = "=" * (-len(content) % 4)
    if len(body) != len(content) and body != content + padding:
        raise ValueError(f"it ends with {len(body) - len(content)} =; expected {len(padding)}")
    altchars = b"-_" if url_safe else None
    try:
        decoded = base64.b64decode(content + padding, altchars, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(str(error)) from error
    # Without padding, spare bits that are set show that the text goes on where it was cut.
    if (
        padding
        and len(body) == len(content)
        and base64.b64encode(decoded, altchars).decode()[: len(content)] != content
    ):
        raise ValueError("it ends in the middle of a byte, without padding; was it cut off?")
    return decoded


def _without_header(text: str) -> str:
    """What follows the header of a data URL; the text itself when it is none."""
    if text[:5].lower() == "data:":
        header, comma, body = text.partition(",")
        if not comma:
            raise ValueError("it is a data URL without a comma")
        if not header.lower().rstrip().endswith(";base64"):
            raise ValueError(f"it is a data URL without `;base64` before its comma: {quoted(header, 60)}")
        return body.strip()
    if _ADDRESS.match(text):
        raise ValueError("it is an address; the server fetches nothing, send the image's content")
    return text


def _foreign_cause(body: str, wrong: "re.Match[str]") -> str:
    where = f"character {wrong.start() + 1} is {quoted(wrong[0])}"
    if wrong[0] == " ":
        return f"{where}; a form's decoding makes spaces of +"
    if _PERCENT.search(body):
        return f"{where}; it is percent-encoded, and has to be decoded first"
    return where
