"""Run the server tools the model called, side by side; what goes wrong is told to the model, never raised."""

from __future__ import annotations

import asyncio
import difflib
import time
from typing import Any, Literal

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from pydantic import ValidationError

from agentgraph.events import ToolFinished, ToolStarted
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.tools.runtime import wants_runtime
from agentgraph.tools.select import ToolIndex

__all__ = ["execute_tools"]


async def execute_tools(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    tools: ToolIndex,
    timeout_s: float = 30.0,
    max_parallel: int = 8,
    max_output_chars: int = 20_000,
) -> AgentState:
    """Answer every call of the newest message that is not the caller's to run."""
    message = state["messages"][-1]
    if not isinstance(message, AIMessage):
        return {}
    client_tools = runtime.context.client_tool_names
    room = asyncio.Semaphore(max_parallel)

    async def answer(call: ToolCall) -> ToolMessage:
        call_id = call["id"] or ""
        tell(runtime, ToolStarted(tool_call_id=call_id, name=call["name"], arguments=call["args"]))
        started = time.perf_counter()
        async with room:
            text, failed = await _run(tools, call, timeout_s, state, runtime)
        text = _cut(text, max_output_chars)
        status: Literal["success", "error"] = "error" if failed else "success"
        tell(
            runtime,
            ToolFinished(
                tool_call_id=call_id,
                name=call["name"],
                status=status,
                output=text,
                duration_ms=(time.perf_counter() - started) * 1000,
            ),
        )
        return ToolMessage(text, tool_call_id=call_id, name=call["name"], status=status, id=f"{message.id}-{call_id}")

    calls = [call for call in message.tool_calls if call["name"] not in client_tools]
    return {"messages": list(await asyncio.gather(*(answer(call) for call in calls)))}


async def _run(
    tools: ToolIndex, call: ToolCall, timeout_s: float, state: AgentState, runtime: Runtime[RunContext]
) -> tuple[str, bool]:
    """Return a tool's output and whether it failed."""
    tool = tools.get(call["name"])
    if tool is None:
        near = difflib.get_close_matches(call["name"], tools.names, n=3, cutoff=0.4) or list(tools.names[:3])
        return f"There is no tool {call['name']!r}. Nearest: {', '.join(near)}.", True
    try:
        async with asyncio.timeout(timeout_s):
            arguments = call["args"]
            if wants_runtime(tool):  # whatever the model wrote in its place
                arguments = {**arguments, "runtime": _handed(call, state, runtime)}
            result = await tool.ainvoke({**call, "args": arguments, "type": "tool_call"})
    except TimeoutError:
        return f"The tool {call['name']!r} did not answer within {timeout_s:g} seconds.", True
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        return f"The arguments of {call['name']!r} are not valid: {faults}", True
    except Exception as error:  # noqa: BLE001  the outermost place of a tool: its failure is the model's to handle
        return f"The tool {call['name']!r} failed: {type(error).__name__}: {error}", True
    if isinstance(result, ToolMessage):
        return _text(result), result.status == "error"
    return str(result), False


def _handed(call: ToolCall, state: AgentState, runtime: Runtime[RunContext]) -> ToolRuntime[RunContext, AgentState]:
    return ToolRuntime(
        state=state,
        context=runtime.context,
        config={},
        stream_writer=runtime.stream_writer,
        tool_call_id=call["id"],
        store=runtime.store,
    )


def _text(message: ToolMessage) -> str:
    content: Any = message.content
    return content if isinstance(content, str) else str(message.text) or str(content)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n[cut: {len(text) - longest} more characters; ask for less]"
