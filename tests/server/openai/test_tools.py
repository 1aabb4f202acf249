"""A tenant's declared tools over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentgraph.server.keys import Keys
from tests.server.conftest import Serve, Served

pytestmark = pytest.mark.integration

BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a seat.",
        "parameters": {"type": "object", "properties": {"seat": {"type": "string"}}},
    },
}
OLDER = {"name": "fly", "description": "Fly.", "parameters": {"type": "object", "properties": {}}}


def offered(served: Served) -> list[str]:
    return [tool["function"]["name"] for tool in served.model.calls[-1]["tools"]]


def test_declared_tools_are_part_of_each_request_of_the_tenant_alone(serve: Serve) -> None:
    served = serve(["Hi."] * 3)
    answer = served.http.post("/v1/acme/tools", json=[BOOK, OLDER])
    assert answer.json() == {"status": "success", "count": 2}
    served.chat()
    assert offered(served) == ["book", "fly"]
    served.chat("other")
    assert offered(served) == []
    listed = served.http.get("/v1/acme/tools").json()
    assert [tool["function"]["name"] for tool in listed["data"]] == ["book", "fly"]
    assert served.http.get("/v1/other/tools").json()["data"] == []
    assert served.http.delete("/v1/acme/tools/book").json()["deleted"] is True
    assert served.http.delete("/v1/acme/tools/book").status_code == 404
    served.chat()
    assert offered(served) == ["fly"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "tools"),
        ("tools", "tools"),
        ([{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
        ([BOOK, BOOK], "tools"),
        ([{"type": "web_search"}], "tools[0].type"),
    ],
)
def test_what_is_no_tool_is_refused_by_place(serve: Serve, body: Any, param: str) -> None:
    response = serve([]).http.post("/v1/acme/tools", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_what_is_no_json_is_refused(serve: Serve) -> None:
    response = serve([]).http.post("/v1/acme/tools", content=b"[")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


def test_the_tenant_may_come_from_the_key_and_users_may_change_nothing(serve: Serve) -> None:
    served = serve(["Hi."])

    async def keys() -> list[str]:
        store = Keys(await served.app.records())
        made = [
            await store.create(name="t", scope="tenant", tenant="acme"),
            await store.create(name="u", scope="user", tenant="acme", user="ana"),
        ]
        return [sent for sent, _ in made]

    tenant, user = asyncio.run(keys())
    bearer = {"authorization": f"Bearer {tenant}"}
    assert served.http.post("/v1/tools", json=[BOOK], headers=bearer).status_code == 200
    for path in ("/v1/tools", "/v1/acme/tools", "/v1/models", "/v1/acme/models"):
        assert served.http.get(path, headers=bearer).status_code == 200
    assert served.http.get("/v1/other/tools", headers=bearer).status_code == 404
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    answer = served.http.post("/v1/chat/completions", json=body, headers=bearer)
    assert answer.status_code == 200
    assert offered(served) == ["book"]
    as_user = {"authorization": f"Bearer {user}"}
    assert served.http.get("/v1/tools", headers=as_user).status_code == 200
    assert served.http.post("/v1/tools", json=[BOOK], headers=as_user).status_code == 403
    assert served.http.delete("/v1/tools/book", headers=as_user).status_code == 403


def test_whom_the_auth_hook_binds_to_a_user_changes_nothing(serve: Serve) -> None:
    def auth_hook(request: Any, _: str) -> None:
        request.state.user_id = request.headers.get("x-person")

    served = serve([], auth_hook=auth_hook)
    assert served.http.post("/v1/acme/tools", json=[BOOK]).status_code == 200
    ana = {"x-person": "ana"}
    assert served.http.post("/v1/acme/tools", json=[BOOK], headers=ana).status_code == 403
    assert served.http.delete("/v1/acme/tools/book", headers=ana).status_code == 403
    assert served.http.get("/v1/acme/tools", headers=ana).status_code == 200


def test_without_a_tenant_anywhere_one_is_asked_for(serve: Serve) -> None:
    served = serve([])
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    for path, sent in (
        ("/v1/chat/completions", body),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/embeddings", {"input": "Hello"}),
        ("/v1/tools", [BOOK]),
    ):
        response = served.http.post(path, json=sent)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "tenant")
