"""A file from a plain web address: resumed after a break, checked against its hash, and in place only when it is whole."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from pocketvision.errors import WeightsError
from pocketvision.redaction import redacted, redacted_url

TIMEOUT_SECONDS = 10.0
"""How long the server may be silent."""

_BLOCK = 1 << 20


def download(url: str, target: Path, *, sha256_prefix: str, timeout: float = TIMEOUT_SECONDS) -> Path:
    """`target`, downloaded from `url` unless it is there already.

    What an earlier attempt fetched lies beside it as `.part` and is gone on with. `sha256_prefix` is the beginning of the file's
    SHA-256 in hexadecimal. Raises WeightsError that names the address and the cause; a file of another hash is thrown away.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with FileLock(target.with_name(target.name + ".lock")):  # two processes must not write one part
        if not target.exists():
            _fetch_and_verify(url, part, sha256_prefix, timeout)
            part.replace(target)
    return target


def _fetch_and_verify(url: str, part: Path, sha256_prefix: str, timeout: float) -> None:
    try:
        _fetch(url, part, timeout)
    except urllib.error.HTTPError as error:
        raise WeightsError(
            f"Can not fetch {redacted_url(url)}: the server answers {error.code} {error.reason}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        kept = f" {part.stat().st_size:,} bytes are kept; the next attempt goes on from there." if part.exists() else ""
        raise WeightsError(f"Can not fetch {redacted_url(url)}: {redacted(str(reason))}.{kept}") from error
    found = _sha256(part)
    if not found.startswith(sha256_prefix):
        part.unlink()
        raise WeightsError(
            f"{redacted_url(url)} does not have the hash it should have: SHA-256 {found[:16]}…, expected {sha256_prefix}…. "
            "The download was thrown away; try again, and if that does not help, the server's file has changed."
        )


def _fetch(url: str, part: Path, timeout: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send: the part is whole, or is not a part of this file
            return
        raise
    with answer:
        resumed = answer.status == 206
        expected = int(answer.headers.get("Content-Length") or 0)
        got = 0
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                got += len(block)
    if expected and got < expected:
        raise ConnectionError(f"the connection broke after {got:,} of {expected:,} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
