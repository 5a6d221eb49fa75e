"""/docs: the API on one page, made of its OpenAPI description; no script, nothing from elsewhere."""

from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>PocketVision: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="page/style.css"><link rel="stylesheet" href="page/page.css">
</head><body><main class="api"><h1>PocketVision API</h1>
<p class="lead">The whole description for programs is <a href="openapi.json">openapi.json</a> (OpenAPI).
<a href="./">The page</a> asks it about your images.</p>
"""


def docs_page(description: dict[str, Any], root_path: str = "") -> str:
    """HTML of an OpenAPI description: every operation with its parameters, bodies and answers. root_path: before every path."""
    operations = [
        _operation(root_path + path, method, operation)
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
    details = f"<details><summary>Answers</summary><ul>{''.join(answers)}</ul></details>"
    return (
        f'<article class="card"><h2><span class="tag">{method.upper()}</span> <code>{escape(path)}</code></h2>'
        f"<p><strong>{escape(operation.get('summary', ''))}</strong> {escape(operation.get('description', ''))}</p>"
        f"<ul>{''.join(parameters + bodies)}</ul>{details}</article>"
    )
