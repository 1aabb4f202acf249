"""`manager_fn`: a function of the deployment's own that changes what is asked, or has another agent answer it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessageChunk, BaseMessage, SystemMessage, convert_to_openai_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.pregel import Pregel
from starlette.requests import HTTPConnection

from agentgraph.errors import AgentGraphError
from agentgraph.events import AnswerCompleted, RunEvent, RunFailed, RunFinished, RunStarted, TextDelta, Usage
from agentgraph.run import RunRequest
from agentgraph.server.hooks import HookCalls

__all__ = ["answers_of", "managed"]

logger = logging.getLogger(__name__)
_ROLES: Final = ("messages",)


async def managed(
    calls: HookCalls, request: HTTPConnection, asked: RunRequest, *, timeout_s: float
) -> RunRequest | Runnable[Any, Any]:
    """Return what `manager_fn` makes of a request: another request, whoever answers instead, or the request itself.

    One that fails, takes too long or returns something else is logged, and the request goes on as it came.
    """
    manager = calls.hooks.manager_fn
    if manager is None:
        return asked
    try:
        returned = await asyncio.wait_for(
            calls.call(manager, request, asked.scope.tenant, conversation_of(asked)), timeout_s
        )
        return asked if returned is None else _understood(returned, asked)
    except Exception:  # whatever a caller's function does: the request goes on
        logger.exception("manager_fn failed")
        return asked


def conversation_of(asked: RunRequest) -> list[dict[str, Any]]:
    """Return the messages of a request as OpenAI spells them; its instructions come first."""
    messages: list[BaseMessage] = list(asked.messages)
    if asked.system_prompt is not None:
        messages.insert(0, SystemMessage(asked.system_prompt))
    return [dict(message) for message in convert_to_openai_messages(messages)]


def _understood(returned: Any, asked: RunRequest) -> RunRequest | Runnable[Any, Any]:
    if isinstance(returned, Runnable):
        return returned
    if isinstance(returned, Mapping) and set(returned) == set(_ROLES):  # a graph's state
        returned = returned["messages"]
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        raise TypeError(f"return messages, a runnable or None, not {type(returned).__name__}")
    read = RunRequest.of(list(returned), tenant=asked.scope.tenant)
    return replace(asked, messages=read.messages, system_prompt=read.system_prompt)


async def answers_of(runnable: Runnable[Any, Any], asked: RunRequest, model: str) -> AsyncGenerator[RunEvent, None]:
    """Have another agent answer, and tell it as a run's events.

    A graph is given `{"messages": …}` and the conversation's id as its `thread_id`, a model its messages, and any other
    runnable what a graph is. Nothing of it is written to memory or to the thread: that is the other agent's.
    """
    run_id, message_id, started = f"run-{uuid4().hex}", f"msg-{uuid4().hex}", time.perf_counter()
    yield RunStarted(
        run_id=run_id, tenant=asked.scope.tenant, thread=asked.scope.session or asked.scope.thread, model=model
    )
    said: list[str] = []
    usage = Usage()
    try:
        async with aclosing(_pieces(runnable, asked)) as pieces:
            async for text, used in pieces:
                usage += used
                if text:
                    said.append(text)
                    yield TextDelta(text=text)
        if not said:
            raise AgentGraphError("the agent that manager_fn named did not answer", code="no_answer")
    except Exception as error:  # noqa: BLE001  the outermost place of a run: handed to the caller
        yield RunFailed(run_id=run_id, error=error)
        return
    whole = "".join(said)
    yield AnswerCompleted(message_id=message_id, text=whole, tool_calls=(), finish_reason="stop", usage=usage)
    yield RunFinished(
        run_id=run_id,
        message_id=message_id,
        text=whole,
        tool_calls=(),
        finish_reason="stop",
        usage=usage,
        duration_ms=(time.perf_counter() - started) * 1000,
    )


async def _pieces(runnable: Runnable[Any, Any], asked: RunRequest) -> AsyncGenerator[tuple[str, Usage], None]:
    messages: list[BaseMessage] = list(asked.messages)
    if asked.system_prompt is not None:
        messages.insert(0, SystemMessage(asked.system_prompt))
    # Each one-off run has an id of its own: whatever the agent keeps by it, nobody else is shown.
    thread_id = asked.scope.thread_key or f"{asked.scope.tenant}/one-off/{uuid4().hex}"
    config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    told: AsyncIterator[Any]
    if isinstance(runnable, Pregel):
        told = runnable.astream({"messages": messages}, config, stream_mode="messages")
        async for message, _ in told:
            if isinstance(message, AIMessageChunk) or getattr(message, "type", "") == "ai":
                yield _piece(message)
        return
    given: Any = messages if isinstance(runnable, BaseLanguageModel) else {"messages": messages}
    async for piece in runnable.astream(given, config):
        yield _piece(piece)


def _piece(piece: Any) -> tuple[str, Usage]:
    if isinstance(piece, str):
        return piece, Usage()
    if isinstance(piece, Mapping):  # of a runnable that answers as a graph does
        messages = piece.get("messages") or ()
        piece = messages[-1] if messages else ""
        return (piece, Usage()) if isinstance(piece, str) else _piece(piece)
    if isinstance(piece, BaseMessage):
        used = getattr(piece, "usage_metadata", None) or {}
        usage = Usage(input_tokens=used.get("input_tokens", 0), output_tokens=used.get("output_tokens", 0))
        return str(piece.text), usage
    return str(piece), Usage()
