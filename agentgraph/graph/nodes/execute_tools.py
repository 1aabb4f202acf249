"""Run the server tools the model called, side by side and each once; what goes wrong is told to the model, not raised.

The order matters: a person is asked before anything is claimed, and a call is claimed before it has an effect.
LangGraph runs a node that was interrupted, or cut off, again from its start.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import ValidationError, WrapValidator

from agentgraph.events import ToolFinished, ToolStarted
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.graph.storable import storable_text
from agentgraph.stores.threads.tool_calls import Call, Claim
from agentgraph.tools.approval import (
    Approval,
    ApprovalRequest,
    Outcome,
    OutcomeRequest,
    asked,
    read_decisions,
    read_outcomes,
)
from agentgraph.tools.calls import ServerCall, arguments_digest, idempotency_key, server_calls, spelt_apart
from agentgraph.tools.ledger import ToolLedger, Wanted
from agentgraph.tools.promises import Promises
from agentgraph.tools.runtime import wants_runtime
from agentgraph.tools.schema import KEY_ARGUMENT
from agentgraph.tools.select import ToolIndex

__all__ = ["execute_tools"]

Answer = TypeVar("Answer", Approval, Outcome)


async def execute_tools(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    tools: ToolIndex,
    timeout_s: float = 30.0,
    max_parallel: int = 8,
    max_output_chars: int = 20_000,
) -> AgentState:
    """Answer every call of the newest message that is not the caller's to run.

    Raises:
        InvalidInputError: A person's answer does not fit what was asked; nothing was run.
        StoreError: A claim or a result could not be kept.
    """
    message = state["messages"][-1]
    if not isinstance(message, AIMessage):
        return {}
    context, message_id = runtime.context, message.id or ""
    calls = [
        call if tools.get(call.name) else replace(call, refusal=_no_such_tool(tools, call.name))
        for call in server_calls(message, context.client_tool_names)
    ]
    calls = _approved(calls, tools, has_thread=context.scope.thread_key is not None)
    ledger = context.ledger
    claims = {} if ledger is None else await _claimed(ledger, message_id, calls, tools)
    room = asyncio.Semaphore(max_parallel)

    async def answer(call: ServerCall) -> ToolMessage:
        tell(runtime, ToolStarted(tool_call_id=call.call_id, name=call.name, arguments=call.arguments))
        started = time.perf_counter()
        claim = claims.get(call.position)
        status: Literal["success", "error"]
        if call.refusal is not None:
            text, status = storable_text(call.refusal), "error"
        elif claim is not None and claim.status != "claimed":
            text, status = claim.output, claim.output_status
        else:
            async with room:
                text, failed = await _run(tools, call, message_id, timeout_s, state, runtime)
            text, status = _cut(storable_text(text), max_output_chars), "error" if failed else "success"
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # though the tool paid no heed
            if ledger is not None and claim is not None:
                await ledger.settle(message_id, call.position, output=text, output_status=status)
        tell(
            runtime,
            ToolFinished(
                tool_call_id=call.call_id,
                name=call.name,
                status=status,
                output=text,
                duration_ms=(time.perf_counter() - started) * 1000,
            ),
        )
        return ToolMessage(
            text, tool_call_id=call.call_id, name=call.name, status=status, id=f"{message_id}-{call.position}"
        )

    try:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(answer(call)) for call in calls]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # a tool's own are answers: this is the ledger's, and speaks for itself
    return {"messages": [task.result() for task in answers]}


def _approved(calls: Sequence[ServerCall], tools: ToolIndex, *, has_thread: bool) -> list[ServerCall]:
    """Return the calls as a person wants them, who is asked once for all that need it."""
    waiting = [call for call in calls if call.refusal is None and tools.promises(call.name).needs_approval]
    if not waiting:
        return list(calls)
    if not has_thread:
        decided = {
            call.position: replace(
                call, refusal=f"{call.name!r} needs a person's approval, which needs a thread. It was not run."
            )
            for call in waiting
        }
    else:
        request = ApprovalRequest(calls=asked(waiting))
        decisions = _ask(request, partial(read_decisions, request), Approval | dict[str, Approval])
        decided = {call.position: _decided(call, decisions[name]) for name, call in spelt_apart(waiting).items()}
    return [decided.get(call.position, call) for call in calls]


def _decided(call: ServerCall, approval: Approval) -> ServerCall:
    match approval.decision:
        case "approve":
            return call
        case "edit":
            return replace(call, arguments=approval.arguments or {}, is_edited=True)
        case "reject":
            said = f" They say: {approval.message}" if approval.message else ""
            return replace(call, refusal=f"A person did not allow this call, and it was not run.{said}")


async def _claimed(
    ledger: ToolLedger, message_id: str, calls: Sequence[ServerCall], tools: ToolIndex
) -> Mapping[int, Claim]:
    """Claim what may not be repeated, asking a person first what became of calls that were cut off."""
    by_position = {call.position: call for call in calls if call.refusal is None}
    wanted = [
        Wanted(
            call=Call(position, storable_text(call.call_id), call.name, arguments_digest(call)),
            on_unknown=_on_unknown(promises),
        )
        for position, call in by_position.items()
        if not (promises := tools.promises(call.name)).idempotent
    ]
    if not wanted:
        return {}
    claims = await ledger.claim(message_id, wanted)
    if claims.to_ask:
        in_doubt = [by_position[position] for position in claims.to_ask]
        request = OutcomeRequest(calls=asked(in_doubt))
        # LangGraph hands answers out in order: those acted upon before an earlier stop are passed over.
        for _ in range(claims.asked):
            interrupt(request.model_dump())
        found = _ask(request, partial(read_outcomes, request), Outcome | dict[str, Outcome])
        outcomes = {call.position: found[name] for name, call in spelt_apart(in_doubt).items()}
        claims = await ledger.claim(message_id, wanted, outcomes=outcomes)
    return claims.known


def _ask(
    request: ApprovalRequest | OutcomeRequest, read: Callable[[object], dict[str, Answer]], shape: Any
) -> dict[str, Answer]:
    """Return a person's answers; until they are given, this ends the run."""
    # Read where LangGraph checks: an answer that does not fit is then not kept with the task, and can be given again.
    checked: Any = Annotated[shape, WrapValidator(lambda value, _: read(value))]
    answers: dict[str, Answer] = interrupt(request.model_dump(), response_schema=checked)
    return answers


def _on_unknown(promises: Promises) -> Literal["repeat", "tell", "ask"]:
    return "repeat" if promises.may_repeat else promises.on_unknown


async def _run(
    tools: ToolIndex,
    call: ServerCall,
    message_id: str,
    timeout_s: float,
    state: AgentState,
    runtime: Runtime[RunContext],
) -> tuple[str, bool]:
    """Return a tool's output and whether it failed."""
    tool = tools.get(call.name)
    if tool is None:
        return _no_such_tool(tools, call.name), True
    # What the server fills in takes the place of whatever the model wrote there.
    arguments = dict(call.arguments)
    if tools.promises(call.name).takes_key:
        arguments[KEY_ARGUMENT] = idempotency_key(runtime.context.scope.thread_key, message_id, call)
    if wants_runtime(tool):
        arguments["runtime"] = _handed(call, state, runtime)
    try:
        async with asyncio.timeout(timeout_s):
            result = await tool.ainvoke({"name": call.name, "args": arguments, "id": call.call_id, "type": "tool_call"})
    except TimeoutError:
        return f"The tool {call.name!r} did not answer within {timeout_s:g} seconds.", True
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        return f"The arguments of {call.name!r} are not valid: {faults}", True
    except Exception as error:  # noqa: BLE001  the outermost place of a tool: its failure is the model's to handle
        return f"The tool {call.name!r} failed: {type(error).__name__}: {error}", True
    text, failed = (
        (_text(result), result.status == "error") if isinstance(result, ToolMessage) else (str(result), False)
    )
    # The history shows the model's own arguments.
    return f"A person changed the arguments to {dict(call.arguments)}.\n{text}" if call.is_edited else text, failed


def _no_such_tool(tools: ToolIndex, name: str) -> str:
    near = difflib.get_close_matches(name, tools.names, n=3, cutoff=0.4) or list(tools.names[:3])
    return f"There is no tool {name!r}. Nearest: {', '.join(near)}."


def _handed(call: ServerCall, state: AgentState, runtime: Runtime[RunContext]) -> ToolRuntime[RunContext, AgentState]:
    return ToolRuntime(
        state=state,
        context=runtime.context,
        config={},
        stream_writer=runtime.stream_writer,
        tool_call_id=call.call_id,
        store=runtime.store,
    )


def _text(message: ToolMessage) -> str:
    content: Any = message.content
    return content if isinstance(content, str) else str(message.text) or str(content)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n[cut: {len(text) - longest} more characters; ask for less]"
