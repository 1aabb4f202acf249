"""Which of the server's tools a run may call, how many at once and for how long, where its request says so."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agentgraph import AgentGraph, Settings, tool
from agentgraph.run import RunRequest
from agentgraph.testing import ScriptedChatModel

running: list[int] = []
most: list[int] = [0]


@tool
async def counted(number: int) -> str:
    """Count how many run at once."""
    running.append(number)
    most[0] = max(most[0], len(running))
    await asyncio.sleep(0.02)
    running.remove(number)
    return str(number)


@tool
async def slow() -> str:
    """Take long."""
    await asyncio.sleep(30)
    return "at last"


def calls(*made: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(made)]
    )


@pytest.fixture
def app(tmp_path: Any) -> Any:
    def build(*script: Any) -> AgentGraph:
        return AgentGraph(
            Settings.load(storage_dir=tmp_path, enable_memory=False, storage_sync="normal"),
            chat_model=ScriptedChatModel(script=list(script)),
            tools=[counted, slow],
        )

    return build


async def test_a_run_may_call_the_tools_it_names_and_no_others(app: Any) -> None:
    async with app(calls(("slow", {})), "Done.") as agent:
        result = await agent.run(RunRequest.of("Go", tenant="acme", server_tools=("counted",)))
        assert [(ran.name, ran.status) for ran in result.tool_runs] == [("slow", "error")]
        assert [told["function"]["name"] for told in agent._chat_model.calls[0]["tools"]] == ["counted"]


@pytest.mark.parametrize(("allowed", "expected"), [(1, 1), (2, 2), (None, 4)])
async def test_so_many_tools_run_at_once(app: Any, allowed: int | None, expected: int) -> None:
    most[0] = 0
    async with app(calls(*(("counted", {"number": n}) for n in range(4))), "Done.") as agent:
        await agent.run(RunRequest.of("Go", tenant="acme", max_parallel_tools=allowed))
    assert most[0] == expected


async def test_a_tool_may_take_so_long(app: Any) -> None:
    async with app(calls(("slow", {})), "Done.") as agent:
        result = await agent.run(RunRequest.of("Go", tenant="acme", tool_timeout_s=0.05))
    assert result.tool_runs[0].status == "error"
    assert "0.05 seconds" in result.tool_runs[0].output
