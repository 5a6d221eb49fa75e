"""Answers in JSON, whatever names they hold."""

from typing import Any

from starlette.responses import JSONResponse

from pocketvision.json_text import json_text


class JsonResponse(JSONResponse):
    """Starlette's fails on class names that are not UTF-8 (see json_text)."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json_text(content).encode()
