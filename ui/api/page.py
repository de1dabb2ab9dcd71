"""The interface's own page: its OpenAPI document as plain HTML, without scripts, and nothing from another host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

METHODS = ("get", "post", "put", "delete")
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#241f22;background:#fdfbfb}
h2{margin-top:2.5rem;border-top:1px solid #d8d0d4;padding-top:1rem;font-size:1.1rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #eae4e7}
@media(prefers-color-scheme:dark){body{color:#eee8eb;background:#1b171a}a{color:#f0a8c4}td,th,h2{border-color:#453d42}}"""


def api_page(document: dict[str, Any]) -> str:
    """The page, of an OpenAPI document."""
    sections = "".join(
        _operation(document, method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    )
    schemas = document.get("components", {}).get("schemas", {})
    types = "".join(_schema(name, schema) for name, schema in sorted(schemas.items()) if "properties" in schema)
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: interface</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title} over HTTP</h1><p>Every error is <code>{{&quot;error&quot;: words}}</code>. "
        '<a href="/openapi.json">openapi.json</a> says the same for programs.</p>'
        f"{sections}<h1>Types</h1>{types}</body></html>"
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    asked = [
        (one["name"], _kind(one["schema"]), one.get("description", ""), one.get("required", False))
        for one in operation.get("parameters", ())
    ]
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, body["schema"])
        required = schema.get("required", ())
        asked += [
            (name, f"{_kind(field)}, {kind}", field.get("description", ""), name in required)
            for name, field in schema.get("properties", {}).items()
        ]
    rows = ([f"{name} (must be given)" if must else name, kind, words] for name, kind, words, must in asked)
    answers = ([code, _types(answer), answer["description"]] for code, answer in operation["responses"].items())
    return (
        f"<h2><code>{method} {escape(path)}</code> {escape(operation.get('summary', ''))}</h2>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        f"{_table(('Field', 'Type', ''), rows)}{_table(('Answer', 'Type', ''), answers)}"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = ([field, _kind(what), what.get("description", "")] for field, what in schema["properties"].items())
    return (
        f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
        f"{_table(('Field', 'Type', ''), rows)}"
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f"<table><tr>{head}</tr>{body}</table>" if body else ""


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def _types(answer: dict[str, Any]) -> str:
    return ", ".join(_kind(one.get("schema", {})) or kind for kind, one in answer.get("content", {}).items())


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a word or two: "list of PhotoFacts", "number or null"."""
    return " or ".join(dict.fromkeys(_kinds(schema)))


def _kinds(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    elif "anyOf" in schema:
        yield from (_kind(one) for one in schema["anyOf"])
    elif "enum" in schema:
        yield from (str(one) for one in schema["enum"])
    elif schema.get("format") == "binary" or "contentMediaType" in schema:
        yield "file"
    elif schema.get("type") == "array":
        yield f"list of {_kind(schema.get('items', {})) or 'numbers'}"
    elif "type" in schema:
        yield schema["type"]
