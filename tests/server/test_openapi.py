"""What the server says of itself: whole, true, and readable without a network."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from tests.server.conftest import Serve

pytestmark = pytest.mark.integration

PUBLIC = ("/health", "/page/assets")
USUAL = {"401", "403", "404", "422", "429", "500", "503"}


@pytest.fixture
def schema(serve: Serve) -> dict[str, Any]:
    described: dict[str, Any] = serve([]).http.get("/openapi.json").json()
    return described


def operations(schema: dict[str, Any], below: str = "/") -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path.startswith(below) and path != "/" and not path.startswith(PUBLIC)
    ]


def test_every_route_says_which_errors_it_has_and_what_they_look_like(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        told = operation["responses"]
        assert set(told) >= USUAL, f"{method} {path}"
        assert any(status.startswith("2") for status in told), f"{method} {path}"
        for status, response in told.items():
            if status.startswith(("4", "5")):
                ((media, content),) = response["content"].items()
                is_openai = path.startswith("/v1/")
                assert media == ("application/json" if is_openai else "application/problem+json"), f"{method} {path}"
                shape = {"$ref": f"#/components/schemas/{'OpenAIError' if is_openai else 'Problem'}"}
                assert content["schema"] == shape, f"{method} {path} {status}"
                assert response["description"]


def test_routes_name_the_statuses_of_what_they_take(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        headers = {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}
        told = set(operation["responses"])
        assert ("if-match" not in headers) or "412" in told, f"{method} {path}"
        assert ("idempotency-key" not in headers) or "409" in told, f"{method} {path}"
        assert ("requestBody" not in operation) or "413" in told, f"{method} {path}"


def test_routes_that_stream_say_so(schema: dict[str, Any]) -> None:
    streams = [(path, operation) for _, path, operation in operations(schema) if "stream" in path.rpartition("/")[2]]
    assert len(streams) >= 10
    for path, operation in streams:
        assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"], path


def test_every_resource_is_summed_up_and_shown_by_an_example(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema, "/api/v1/"):
        assert operation["summary"], f"{method} {path}"
        assert operation["description"], f"{method} {path}"
        assert operation["tags"], f"{method} {path}"
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [
            response.get("content", {}) for status, response in operation["responses"].items() if status != "204"
        ]
        assert all(contents[1:]), f"{method} {path}"
        for media in (media for content in contents for media in content.values()):
            assert media["example"] is not None, f"{method} {path}"


def test_examples_are_what_their_schemas_say(schema: dict[str, Any]) -> None:
    checked = 0
    for method, path, operation in operations(schema, "/api/v1/"):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media in part.get("content", {}).values():
                if "schema" in media:
                    whole = {**media["schema"], "components": schema["components"]}
                    try:
                        jsonschema.Draft202012Validator(whole).validate(media["example"])
                    except jsonschema.ValidationError as error:
                        pytest.fail(f"{method} {path}: {error.message}")
                    checked += 1
    assert checked > 300


def test_lists_are_told_a_page_at_a_time_wherever_they_are(schema: dict[str, Any]) -> None:
    lists = 0
    for method, path, operation in operations(schema, "/api/v1/"):
        shape = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if method == "get" and "/Page_" in shape.get("$ref", ""):
            lists += 1
            assert {"limit", "after"} <= {each["name"] for each in operation["parameters"]}, path
        elif method == "get" and "application/json" in operation["responses"]["200"]["content"]:
            name = shape["$ref"].rpartition("/")[2]
            assert schema["components"]["schemas"][name]["type"] == "object", f"{path} is a list without pages"
    assert lists >= 15


def test_what_changes_a_thing_can_be_made_to_depend_on_how_it_was_read(schema: dict[str, Any]) -> None:
    without = {
        # Neither is read with a tag: a session's data changes by itself, the others have no versions that clients see.
        ("delete", "/api/v1/sessions/{session_id}"),
        ("delete", "/api/v1/functions/{name}"),
        ("delete", "/api/v1/mcp/servers/{name}"),
        ("delete", "/api/v1/tenant"),
    }
    for method, path, operation in operations(schema, "/api/v1/"):
        if method in {"put", "patch", "delete"} and (method, path) not in without:
            headers = {each["name"].lower() for each in operation["parameters"] if each["in"] == "header"}
            assert "if-match" in headers, f"{method} {path}"


def test_the_documentation_asks_no_other_machine_for_anything(serve: Serve) -> None:
    served = serve([])
    for page in ("/docs", "/redoc"):
        text = served.http.get(page).text
        addresses = re.findall(r"(?:src|href)=[\"']([^\"']+)", text)
        assert addresses
        for address in addresses:
            assert address.startswith("/"), f"{page} asks for {address}"
            assert served.http.get(address).status_code == 200
        assert "https://" not in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL), page
