"""agentgraph as an MCP server, asked by the official client."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

pytestmark = pytest.mark.integration


@asynccontextmanager
async def client(url: str, **headers: str) -> AsyncIterator[ClientSession]:
    async with (
        httpx.AsyncClient(headers=headers, timeout=20) as http,
        streamable_http_client(url, http_client=http) as (incoming, outgoing, _),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield session


def said(result: CallToolResult) -> str:
    assert not result.isError, result.content
    return result.content[0].text


async def test_the_official_client_chats_saves_and_searches(serve: Any) -> None:
    served = serve()
    async with client(f"{served.url}/mcp/acme") as session:
        listed = await session.list_tools()
        assert [tool.name for tool in listed.tools] == ["chat", "search_memory", "save_memory"]
        assert said(await session.call_tool("chat", {"message": "Hello"})).endswith("Hello")
        assert "Saved" in said(await session.call_tool("save_memory", {"text": "I moved to Rome in May 2025."}))
        assert "Rome" in said(await session.call_tool("search_memory", {"query": "Where did I move?"}))


async def test_a_thread_goes_on_and_is_its_tenants_alone(serve: Any) -> None:
    served = serve(lambda messages, _: str(len([m for m in messages if m.type == "human"])))
    async with client(f"{served.url}/mcp/acme") as session:
        chat = {"message": "Again", "thread": "t1"}
        assert [said(await session.call_tool("chat", chat)) for _ in range(2)] == ["1", "2"]
    async with client(f"{served.url}/mcp/globex") as session:
        assert said(await session.call_tool("chat", chat)) == "1"


async def test_memories_are_their_tenants_and_their_users_alone(serve: Any) -> None:
    served = serve()
    secret, question = {"text": "The safe opens with 4711."}, {"query": "What opens the safe?"}
    async with client(f"{served.url}/mcp/acme", **{"x-user-id": "ana"}) as session:
        await session.call_tool("save_memory", secret)
        assert "4711" in said(await session.call_tool("search_memory", question))
    for tenant, user in (("globex", "ana"), ("acme", "bob")):
        async with client(f"{served.url}/mcp/{tenant}", **{"x-user-id": user}) as session:
            assert said(await session.call_tool("search_memory", question)) == "Nothing was found."


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}])
async def test_without_a_key_nothing_is_told(serve: Any, headers: dict[str, str]) -> None:
    served = serve(api_keys=("secret",))
    answer = served.http.post("/mcp/acme", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
    assert answer.status_code == 401
    assert "chat" not in answer.text


async def test_with_a_key_it_answers(serve: Any) -> None:
    served = serve(api_keys=("secret",))
    async with client(f"{served.url}/mcp/acme", authorization="Bearer secret") as session:
        assert said(await session.call_tool("chat", {"message": "Hi"})).endswith("Hi")


@pytest.mark.parametrize(("tenant", "status"), [("_global", 403), ("a%20b", 400), ("a" * 200, 400)])
async def test_a_tenant_that_is_none_is_refused(serve: Any, tenant: str, status: int) -> None:
    served = serve()
    answer = served.http.post(f"/mcp/{tenant}", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert answer.status_code == status


async def test_a_page_of_another_site_is_refused(serve: Any) -> None:
    served = serve()
    answer = served.http.post("/mcp/acme", json={}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("chat", {}, "message"),
        ("chat", {"message": 7}, "string"),
        ("chat", {"message": "Hi", "tenant": "globex"}, "tenant"),
        ("chat", {"message": "Hi", "thread": "a/b"}, "not allowed"),
        ("nothing", {}, "there is no tool 'nothing'"),
    ],
)
async def test_bad_calls_are_answered(serve: Any, name: str, arguments: Any, told: str) -> None:
    served = serve()
    async with client(f"{served.url}/mcp/acme") as session:
        result = await session.call_tool(name, arguments)
        assert result.isError
        assert told in result.content[0].text
        assert said(await session.call_tool("chat", {"message": "Hi"})).endswith("Hi")


async def test_what_fails_inside_is_not_told_outside(serve: Any) -> None:
    def fail(*_: Any) -> str:
        raise RuntimeError("the password is 4711")

    served = serve(fail)
    async with client(f"{served.url}/mcp/acme") as session:
        result = await session.call_tool("chat", {"message": "Hi"})
    assert result.isError
    assert "4711" not in result.content[0].text


async def test_memory_switched_off_is_said(serve: Any) -> None:
    served = serve(enable_memory=False)
    async with client(f"{served.url}/mcp/acme") as session:
        result = await session.call_tool("search_memory", {"query": "What?"})
    assert result.isError
    assert "memory is switched off" in result.content[0].text


async def test_over_standard_streams(tmp_path: Path) -> None:
    arguments = ["-m", "agentgraph", "mcp", "--tenant", "acme", "--model", "scripted/echo", "--storage", str(tmp_path)]
    program = StdioServerParameters(command=sys.executable, args=arguments, env={"AGENTGRAPH_ENABLE_MEMORY": "false"})
    async with stdio_client(program) as streams, ClientSession(*streams) as session:
        await session.initialize()
        assert said(await session.call_tool("chat", {"message": "Hello", "thread": "t"})).endswith("Hello")
