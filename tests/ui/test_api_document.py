"""/openapi.json says all there is to say of the interface, and /api/ shows it without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from index.library import Library
from ui.api.routes import add_api
from ui.context import PageContext

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    app = FastAPI(title="RegConv", docs_url=None, redoc_url=None)
    add_api(app, PageContext.of(library))
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", item[method])
        for path, item in document["paths"].items()
        for method in METHODS & item.keys()
        if path.startswith("/api/")
    ]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_route_says_what_it_answers_and_how_it_refuses(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) >= 20
    for name, operation in found:
        assert operation["summary"], name
        assert operation["description"], name
        good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
        assert len(good) == 1, name
        for kind, content in good[0]["content"].items():
            schema = content["schema"]
            assert "$ref" in schema or schema.get("format") == "binary", f"{name} {kind}"
        bad = {code: answer for code, answer in operation["responses"].items() if code[0] in "45"}
        assert {"422", "500"} <= bad.keys(), name
        for answer in bad.values():
            assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Problem"), name
            assert answer["description"], name


def test_every_field_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{name} {parameter['name']}"
    reached = {name.rpartition("/")[2] for _, operation in operations(document) for name in references(operation)}
    schemas = document["components"]["schemas"]
    for name in schemas.keys() & reached | {"Problem", "SearchPicture", "PartWhy"}:
        for field, schema in schemas[name]["properties"].items():
            assert schema.get("description"), f"{name}.{field}"


def test_the_document_is_sound(document: dict[str, Any]) -> None:
    """What a validator asks first: the version, references that lead somewhere, ids that are unique, paths' fields."""
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            named = {one["name"] for one in item[method].get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_page_shows_every_route_and_loads_nothing(client: TestClient, document: dict[str, Any], path: str) -> None:
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    for name, operation in operations(document):
        method, route = name.split()
        assert f"<code>{method.upper()} {route}</code> {escape(operation['summary'])}" in page.text
    assert 'href="/openapi.json"' in page.text
    assert "<script" not in page.text
    assert re.findall(r"(?:src|href)=\"(?!/)[^\"]*", page.text) == []
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_other_paths_and_methods_are_refused_in_the_same_shape(client: TestClient) -> None:
    missing = client.get("/api/nothing")
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "There is no /api/nothing; /api/ says what there is."},
    )
    wrong = client.delete("/api/look")
    assert wrong.status_code == 405
    assert "DELETE is not for /api/look" in wrong.json()["error"]
