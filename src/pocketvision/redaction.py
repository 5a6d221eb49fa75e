"""Secrets taken out of URLs, and of any text that may hold one. Where it is not sure what a part is, it is hidden.

A password may hold any character, so a URL is not parsed but judged: what is plainly a host, a port or a short path is
shown, and everything else is an ellipsis.
"""

import re
from difflib import get_close_matches

HIDDEN = "…"
LONGEST_LINE = 16_000
"""Characters of a line that are looked at; what stands behind them is hidden, so that no text takes seconds."""

SCHEMES = ("rtsp", "rtsps", "rtp", "rtmp", "rtmps", "tcp", "udp", "srt", "http", "https", "ws", "wss", "ftp", "sftp")
"""The schemes that a misspelt one is compared with. Every scheme:// is a URL."""

_SECRET = (
    r"pass(?:w(?:or)?d|wort|phrase|code)?|pwd|token|secret|credentials?|bearer|auth(?:orization)?|"
    r"(?:api|access|private|stream|session|account)?[_-]?key|sig(?:nature)?|stream[_-]?id"
)
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
# What instructions write where a key goes: as a whole word, or in angle brackets.
_PLACEHOLDER = r"(?-i:KEY|TOKEN|<[A-Za-z][A-Za-z _-]{0,30}>)(?![^\s`'\").,;:!?]|[.,;:!?][^\s`'\")])"
# Of text outside of URLs: fewer names, because "key=" is in many harmless sentences, and so is "unexpected token: x".
_NAMED = r"passw(?:or)?d|passphrase|passcode|pwd|secret|api[_-]?key|access[_-]?key"
_TOKEN = r"(?:access|refresh|auth|id|api|session|bearer)[_-]?token|(?<![\w.])(?<!unexpected )(?<!unknown )token"
_ASSIGNMENT = (
    rf"(?:{_NAMED}|token|authorization)[\\\"'`]*\s*=>?+\s*|"
    rf"(?:(?:{_NAMED}|{_TOKEN})[\\\"'`]*\s*:\s*|\b(?:authorization|x-api-key)[\\\"'`]*\s*:\s*(?:(?:bearer|basic|digest)\s+)?|"
    rf"\bbearer\s+)(?!(?:bearer\s+)?{_PLACEHOLDER})"
)
_ASSIGNED = re.compile(rf"({_ASSIGNMENT})(?!…)\S.*", re.IGNORECASE)
_BEFORE_SECRET = re.compile(rf"(?:{_SECRET}|users?|username|login|admin|root)", re.IGNORECASE)
# The last kind is what a path makes of `rtps//`: several slashes are one there.
_START = re.compile(
    r"(?<![\w+.-])([A-Za-z][A-Za-z0-9+.-]{1,15})"
    r"(:[/\\]{1,4}|[;.,]?[/\\]{2,4}:?|[;,][/\\]{1,2}|/(?=…@|[^\s/\\@]*:[^\n]*@))"
)
_BARE_USERINFO = re.compile(r"(?<!\S)(?:[A-Za-z]\w*[:;.,]?//+)?(?![A-Za-z]:[/\\])[^\s/\\@:]+:\S*@(?=\S)")
_PLAIN_PATH = re.compile(r"(?:[A-Za-z]:[/\\]|\.{0,2}/(?!/))?[^@:?#=]*", re.DOTALL)
_AUTHORITY = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\])(?::\d{1,5})?")
_PLAIN_SEGMENT = re.compile(r"[\w.~+-]*")
_LONG_TOKEN = re.compile(r"(?=[^.]*\d)(?=[^.]*[A-Za-z])[\w~+-]{20,}")
_CLOSING = {'"': '"', "'": "'", "`": "`", "(": ")", "<": ">", "[": "]", "{": "}", "“": "”", "‘": "’", "«": "»"}


def redacted_url(url: str) -> str:
    """One URL, however misspelt, as it may be shown: without user name, password, query, fragment and other secrets.

    The whole text is taken for the URL, so that a password may hold spaces, quotes and every delimiter.
    """
    start = _START.match(url)
    if start is None:
        return url if _PLAIN_PATH.fullmatch(url) else _redacted_rest(url, "")
    scheme = url[: start.end()]
    return scheme + _redacted_rest(url[start.end() :], start[1].lower())


def redacted(text: str) -> str:
    """Any text, with every URL in it redacted, and values after `password=`, `"token":`, `Authorization:` and such hidden.

    A line is the limit of a URL whose password holds spaces. Redacted text stays as it is when it is redacted again.
    """
    if "@" not in text and "/" not in text and not _ASSIGNED.search(text):
        return text
    return "\n".join(
        _redacted_line(line) if len(line) <= LONGEST_LINE else _redacted_line(line[:LONGEST_LINE]) + HIDDEN
        for line in text.split("\n")
    )


def looks_like_url(text: str) -> bool:
    """Whether a text is a URL or was meant as one: `scheme://…`, or a known scheme with a typing error (`rtsp:/`, `rtps//`)."""
    start = _START.match(text)
    return start is not None and _is_url(start)


def _redacted_line(line: str) -> str:
    starts = [match for match in _START.finditer(line) if _is_url(match)]
    if not starts:
        return _without_assigned(_without_bare_userinfo(line))
    ends = [match.start() for match in starts[1:]] + [len(line)]
    if assigned := _ASSIGNED.search(line[: starts[0].end()]):  # the URL is a part of the secret, or stands behind it
        return _without_bare_userinfo(line[: assigned.end(1)]) + HIDDEN
    parts = [_without_bare_userinfo(line[: starts[0].start()])]
    for start, end in zip(starts, ends, strict=True):
        opened = line[start.start() - 1 : start.start()]
        parts.append(_redacted_segment(line[start.start() : end], len(start[0]), opened))
    return "".join(parts)


def _redacted_segment(segment: str, scheme: int, opened: str) -> str:
    """A URL and the text behind it, to the next URL. scheme: the length of `rtsp://`. opened: the character before it."""
    body = segment[scheme:]
    at = body.rfind("@")
    end = _url_end(body, at + 1, _CLOSING.get(opened, ""))
    secret = _SECRET_NAME.search(body[:end], max(at, 0))
    if secret and "=" in body[secret.start() : end]:
        end = len(body)  # the value may hold spaces and quotes
        closing = _CLOSING.get(opened, "")
        end -= len(closing) if closing and body.endswith(closing) else 0
    return redacted_url(segment[: scheme + end]) + _without_assigned(body[end:])


def _url_end(body: str, least: int, closing: str) -> int:
    """Where a URL ends: at a space, or at the bracket or quote that closes the one before it; punctuation is not of it."""
    found = re.compile(rf"[\s{re.escape(closing)}]").search(body, least)
    end = len(body) if found is None else found.start()
    while end > least and body[end - 1] in ".,:;!\"'`)>]}”’»":
        if body[end - 1] == "]" and body[least:end].startswith("["):
            break
        end -= 1
    return end


def _redacted_rest(rest: str, scheme: str) -> str:
    """What follows `scheme://`. What stands before the last @ is hidden; with a delimiter in it, nothing is sure."""
    before, at, rest = rest.rpartition("@")
    if re.search(r"[\s/\\?#=&;\"'<>]", before):
        return HIDDEN
    found = re.compile(r"[/\\?#]").search(rest)
    end = len(rest) if found is None else found.start()
    authority = rest[:end]
    shown = authority if not authority or _AUTHORITY.fullmatch(authority) else HIDDEN
    return (HIDDEN + at if at else "") + shown + _redacted_path(rest[end:], scheme)


def _redacted_path(path: str, scheme: str) -> str:
    """A path as far as it is plain. The last part of an RTMP address is the key of the stream."""
    if path.startswith("\\"):
        return "\\" + HIDDEN
    segments = re.split(r"[?#]", path, maxsplit=1)[0].split("/")
    shown: list[str] = []
    for place, segment in enumerate(segments):
        plain = _PLAIN_SEGMENT.fullmatch(segment) and not _LONG_TOKEN.fullmatch(segment)
        if not plain or (scheme.startswith("rtmp") and place > 1):
            name = re.match(r"[A-Za-z]{1,12}(?==)", segment)
            shown.append((f"{name[0]}=" if name else "") + HIDDEN)
            return "/".join(shown)
        shown.append(segment)
        if _BEFORE_SECRET.fullmatch(segment) and place + 1 < len(segments):
            return "/".join([*shown, HIDDEN])
    rest = path[len("/".join(segments)) :]
    return "/".join(shown) + (rest[0] + HIDDEN if rest else "")


def _is_url(start: re.Match[str]) -> bool:
    scheme, delimiter = start[1].lower(), start[2]
    if delimiter == "://":
        return True
    return bool(get_close_matches(scheme, SCHEMES, n=1, cutoff=0.7))


def _without_bare_userinfo(text: str) -> str:
    """`user:password@host`, with no scheme or an unknown one before it. A path with a @ behind a slash is left as it is."""
    return _BARE_USERINFO.sub(HIDDEN + "@", text) if "@" in text else text


def _without_assigned(text: str) -> str:
    return _ASSIGNED.sub(lambda found: found[1] + HIDDEN, text)
