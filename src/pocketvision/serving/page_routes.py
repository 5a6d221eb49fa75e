"""GET / and the page's files. They are read once; no path of a request reaches the file system."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "page"
_PAGE = (_FOLDER / "index.html").read_bytes()
_STYLE = (_FOLDER / "page.css").read_bytes()
_SCRIPT = (_FOLDER / "page.js").read_bytes()
_LIVE_SCRIPT = (_FOLDER / "live.js").read_bytes()

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """The page: images in, answers out."""
    return Response(_PAGE, media_type="text/html; charset=utf-8")


@router.get("/page/page.css")
async def style() -> Response:
    """How it looks."""
    return Response(_STYLE, media_type="text/css; charset=utf-8")


@router.get("/page/page.js")
async def script() -> Response:
    """What it does."""
    return Response(_SCRIPT, media_type="text/javascript; charset=utf-8")


@router.get("/page/live.js")
async def live_script() -> Response:
    """What shows live streams."""
    return Response(_LIVE_SCRIPT, media_type="text/javascript; charset=utf-8")
