"""Names that a client sends (of a query, a form, a JSON object): an unknown one is refused, never passed over.

One exception: a path that only tells a state. Probes, proxies and browsers add names of their own there (`/health?1700000000`).
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import Response

from pocketvision.printable import quoted, shortened
from pocketvision.serving.problems import ProblemError, refused
from pocketvision.serving.request_options import OPTIONS

MOST_SHOWN = 8  # unknown names in one message


def check_names(given: Iterable[str], known: Sequence[str], where: str, hints: Mapping[str, str] | None = None) -> None:
    """Raise a 422 problem (`unknown-name`) with near matches when one of the names is not known, or stands there twice.

    where: what holds them, as in "the query". hints: what to write in place of names that others use here.
    """
    counts = Counter(iter(given))
    unknown = [name for name in counts if name not in known]
    if unknown:
        raise _unknown(unknown, known, where, hints or {})
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise refused(422, "unknown-name", f"{_sentence(where)} has {quoted(twice[0])} more than once; give it once.")


def check_query(query: QueryParams, known: Sequence[str], hints: Mapping[str, str] | None = None) -> None:
    """check_names for a request's query."""
    if query:
        check_names((name for name, _ in query.multi_items()), known, "the query", hints)


def _unknown(unknown: Sequence[str], known: Sequence[str], where: str, hints: Mapping[str, str]) -> ProblemError:
    parts = []
    for name in unknown[:MOST_SHOWN]:
        near = close_names(name, known)
        if name in hints:
            parts.append(f"{quoted(name)} ({hints[name]})")
        elif near:
            parts.append(f"{quoted(name)} (did you mean {' or '.join(near)}?)")
        else:
            parts.append(quoted(name))
    more = f" and {len(unknown) - MOST_SHOWN} more" if len(unknown) > MOST_SHOWN else ""
    noun = "the unknown name" if len(unknown) == 1 else "the unknown names"
    allowed = f"It may have {', '.join(known)}." if known else "It takes none here."
    detail = f"{_sentence(where)} has {noun} {', '.join(parts)}{more}. {allowed}"
    return refused(422, "unknown-name", detail, unknown=[shortened(name) for name in unknown[:MOST_SHOWN]])


def close_names(name: str, known: Iterable[str]) -> list[str]:
    """Known names that are spelt alike, whatever the case and the separators."""
    plain = {_plain(each): each for each in known}
    return [plain[each] for each in get_close_matches(_plain(name[:64]), plain, n=3, cutoff=0.6)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _sentence(where: str) -> str:
    return where[:1].upper() + where[1:]


class CheckedRoute(APIRoute):
    """A route whose query may hold only the names that its description has. hints: see check_names."""

    hints: ClassVar[Mapping[str, str]] = {}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, behind the check."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            check_route_query(request, self)
            return await handler(request)

        return checked


def check_route_query(request: HTTPConnection, route: APIRoute) -> None:
    """check_query against the `parameters` of a route's description.

    Where a GET takes none, only what means something on other paths is refused (`/ready?model=cats` would tell of all models).
    """
    if not request.scope["query_string"]:
        return
    parameters = (route.openapi_extra or {}).get("parameters", [])
    known = [each["name"] for each in parameters if each["in"] == "query"]
    hints = getattr(route, "hints", {})
    given = [name for name, _ in request.query_params.multi_items()]
    if not known and request.scope["method"] in ("GET", "HEAD"):
        elsewhere = {_plain(name) for name in (*OPTIONS, *hints)}
        given = [name for name in given if _plain(name) in elsewhere]
    check_names(given, known, "the query", hints)
