"""GET / and the page's files. They are read once; no path of a request reaches the file system.

The page's addresses are relative, so it works below any prefix. <base> is for a prefix that is asked without its last slash.
"""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from pocketvision.serving.problems import refused
from pocketvision.serving.service import service_of
from pocketvision.style import stylesheet
from pocketvision.tasks.catalog import task_named

_FOLDER = Path(__file__).parent / "page"
_CSS, _JAVASCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
# The page asks its user for a key where the server wants one.
_PAGES = {
    keys: (_FOLDER / "index.html").read_bytes().replace(b'data-keys=""', b'data-keys="%s"' % word)
    for keys, word in ((True, b"required"), (False, b"none"))
}
_STYLE = stylesheet().encode()
_LAYOUT = (_FOLDER / "page.css").read_bytes()
_SCRIPTS = {name: (_FOLDER / f"{name}.js").read_bytes() for name in ("page", "switches", "camera", "live")}
"""What it does; what says which models and tasks answer; what shows a camera, and live streams."""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """The page: images in, answers out."""
    settings = service_of(request).settings
    text, root_path = _PAGES[bool(settings.keys)], settings.root_path
    if root_path:
        text = text.replace(b"<head>", f'<head>\n<base href="{root_path}/">'.encode(), 1)
    return Response(text, media_type="text/html; charset=utf-8")


@router.get("/page/style.css")
async def style() -> Response:
    """The look that it shares with the report."""
    return Response(_STYLE, media_type=_CSS)


@router.get("/page/page.css")
async def layout() -> Response:
    """Where things stand on it."""
    return Response(_LAYOUT, media_type=_CSS)


@router.get("/page/{name}.js")
async def script(name: str) -> Response:
    """One of the page's own scripts."""
    content = _SCRIPTS.get(name)
    if content is None:
        raise refused(404, "not-found", "The page has no script of this name.")
    return Response(content, media_type=_JAVASCRIPT)


@router.get("/page/tasks/{kind}.js")
async def task_module(request: Request, kind: str) -> Response:
    """What shows the answers of a kind of task that is served."""
    served = {task.kind for model in service_of(request).models.all for task in model.tasks.values()}
    content = _module(kind) if kind in served else None
    if content is None:
        raise refused(404, "not-found", "No kind of task that is served has a module of this name.")
    return Response(content, media_type=_JAVASCRIPT)


@cache
def _module(kind: str) -> bytes | None:
    page = task_named(kind).page
    return None if page is None else page.read_bytes()
