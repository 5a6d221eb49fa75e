"""/docs: the API on one page, made of its OpenAPI description; no script, nothing from elsewhere."""

from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>PocketVision: API</title>
<meta name="viewport" content="width=device-width"></head><body><main><h1>PocketVision</h1>
<p>The whole description for programs is <a href="/openapi.json">/openapi.json</a> (OpenAPI).</p>
"""


def docs_page(description: dict[str, Any]) -> str:
    """HTML of an OpenAPI description: every operation with its parameters, bodies and answers."""
    operations = [
        _operation(path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    return _HEAD + "\n".join(operations) + "\n</main></body></html>\n"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = [
        f"<li><code>{escape(each['name'])}</code> ({escape(each['in'])}): {escape(each.get('description', ''))}</li>"
        for each in operation.get("parameters", [])
    ]
    bodies = [
        f"<li>body: <code>{escape(kind)}</code></li>" for kind in operation.get("requestBody", {}).get("content", {})
    ]
    answers = [
        f"<li>{escape(status)}: {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    ]
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}. "
        f"{escape(operation.get('description', ''))}</p><ul>{''.join(parameters + bodies + answers)}</ul>"
    )
