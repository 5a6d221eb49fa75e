"""A server below a path prefix (`https://example.org/vision/`), whether the proxy before it takes the prefix off or not."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """ASGI middleware that takes the prefix off, where a proxy has left it on. Routes know nothing of it."""

    def __init__(self, app: ASGIApp, root_path: str, own_paths: Iterable[str]) -> None:
        """own_paths: of the routes. A prefix that begins like one of them is the proxy's to take off: `/live/a` could be both."""
        own = {path.split("/")[1] for path in own_paths if path.count("/")}
        self._app = app
        self._prefix = "" if root_path.strip("/").split("/")[0] in own else root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        prefix = self._prefix
        if prefix and scope["type"] != "lifespan" and f"{scope['path']}/".startswith(f"{prefix}/"):
            scope = {**scope, "path": scope["path"][len(prefix) :] or "/"}
        await self._app(scope, receive, send)
