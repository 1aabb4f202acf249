"""Responses that were kept: found, told again, continued and deleted.

A response is a run on a thread, and its id spells the run's. There is no second copy of anything: what is told again is
read from the thread, and what a response repeats of its request stands with the request's last message. So a thread
that is deleted or forgotten takes its responses along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastapi import Request
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.events import Usage
from agentgraph.runs.runs import RunInfo
from agentgraph.runs.threads import CheckpointInfo
from agentgraph.server.auth import authorize
from agentgraph.server.openai.responses_request import KEPT
from agentgraph.streaming.responses import function_call_item, message_item, response_id, response_usage, run_id_of

__all__ = ["OWN_THREAD", "KeptResponse", "KeptResponses"]

OWN_THREAD: Final = "resp-"
"""Threads that were begun for a response alone are called so; they go with their last response."""

_STATUS: Final[Mapping[str, str]] = {
    "queued": "queued",
    "running": "in_progress",
    "waiting": "completed",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "undone": "cancelled",
}
_REASONS: Final[Mapping[str, str]] = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResponse:
    """A response that was found.

    Attributes:
        run: Its run.
        tenant: `tenant`, or `tenant:session`.
        thread: Its thread; `None` in a session.
        state: Its thread as it stood at the run's end; `None` before that.
    """

    run: RunInfo
    tenant: str
    thread: str | None
    state: CheckpointInfo | None

    @property
    def user(self) -> str | None:
        """Whose conversation it is."""
        user: str | None = _asked(self.state.messages if self.state is not None else ()).get("user_id")
        return user


class KeptResponses:
    """The kept responses of an application.

    Raises:
        NotFoundError: There is no such response, or it is another tenant's or user's: both in the same words.
    """

    def __init__(self, app: AgentGraph) -> None:
        self._app = app

    async def find(self, request: Request, tenant: str, wanted: str) -> KeptResponse:
        """Return the response of an id."""
        run_id = run_id_of(wanted)
        try:
            if run_id is None:
                raise NotFoundError("no response's id")
            run = await self._app.runs.get(run_id, tenant=tenant)
            thread = None if ":" in tenant else run.thread
            await authorize(request, tenant, thread=thread)
            at = run.checkpoint_id or run.parent_checkpoint_id
            # Also of a run under way: a run's thread must be the one that is asked.
            state = None if at is None else await self._app.threads.checkpoint(at, tenant=tenant, thread=thread)
            if state is None and run.run_id not in await self._runs_of(tenant, thread):
                raise NotFoundError("not in this conversation")
        except NotFoundError:
            raise NotFoundError(f"Response with id {wanted!r} not found.", code="response_not_found") from None
        return KeptResponse(
            run=run, tenant=tenant, thread=thread, state=state if run.checkpoint_id is not None else None
        )

    async def end_of(self, kept: KeptResponse) -> str:
        """Return the checkpoint behind a response, to go on from there.

        Raises:
            InvalidInputError: It has none: it is under way, or came to nothing.
        """
        run = kept.run
        if run.checkpoint_id is None:
            raise InvalidInputError(
                f"the previous response is {_STATUS[run.status]}: it cannot be continued", param="previous_response_id"
            )
        # Shortening writes behind a run: where nothing has followed, that is where the thread goes on.
        head = await self._app.threads.checkpoint(tenant=kept.tenant, thread=kept.thread)
        newest = await self._app.runs.list(tenant=kept.tenant, thread=kept.thread, limit=1)
        return head.checkpoint_id if newest and newest[0].run_id == run.run_id else run.checkpoint_id

    async def retrieved(self, kept: KeptResponse) -> dict[str, Any]:
        """Return a response as it was answered."""
        run, said = kept.run, await self._said(kept)
        sent, answered = _parted(said)
        asked = {name: value for name, value in _asked(sent).items() if name != "user_id"}
        status, reason = _STATUS[run.status], None
        if status == "completed":
            reason = _REASONS.get(_finish_reason(answered))
            status = "incomplete" if reason else status
        response: dict[str, Any] = {
            "id": response_id(run.run_id),
            "object": "response",
            "created_at": _seconds(run.accepted_at),
            "completed_at": _seconds(run.ended_at) if run.ended_at and status == "completed" else None,
            "status": status,
            "error": _error(run),
            "incomplete_details": {"reason": reason} if reason else None,
            "usage": response_usage(_usage(answered)) if run.ended_at else None,
            **(asked or _UNASKED),
            "output": _output(run, answered),
        }
        if run.status == "waiting" and kept.state is not None:
            interrupts = [dict(each) for each in kept.state.interrupts]
            response["agentgraph"] = {"status": "requires_action", "interrupts": interrupts}
        return response

    async def input_items(self, kept: KeptResponse) -> list[dict[str, Any]]:
        """Return what a response was asked with, the oldest first; before its run has ended nothing is known of it."""
        sent, _ = _parted(await self._said(kept))
        return [item for message in sent for item in _input_items(message)]

    async def delete(self, kept: KeptResponse) -> None:
        """Delete a response: it is not found again, and with its thread's last one the thread goes, if it is our own.

        What was said in it stays part of the conversation for the responses that follow.
        """
        await self._app.runs.delete(kept.run.run_id, tenant=kept.tenant)
        is_own = kept.thread is not None and kept.thread.startswith(OWN_THREAD)
        if is_own and not await self._runs_of(kept.tenant, kept.thread):
            await self._app.threads.delete(tenant=kept.tenant, thread=kept.thread)

    async def _runs_of(self, tenant: str, thread: str | None) -> list[str]:
        return [run.run_id for run in await self._app.runs.list(tenant=tenant, thread=thread, limit=1_000)]

    async def _said(self, kept: KeptResponse) -> Sequence[BaseMessage]:
        """Return the messages that came with a run: what it was sent, and what it answered."""
        if kept.state is None:
            return ()
        parent = kept.run.parent_checkpoint_id
        if parent is None:
            return kept.state.messages
        try:
            before = await self._app.threads.checkpoint(parent, tenant=kept.tenant, thread=kept.thread)
        except NotFoundError:  # pruned
            return kept.state.messages
        known = {message.id for message in before.messages}
        return [message for message in kept.state.messages if message.id not in known]


_UNASKED: Final[Mapping[str, Any]] = {
    "model": "",
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "auto",
}
"""What a response repeats of its request, where that is not known: it was no Responses request, or is under way."""


def _asked(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    kept = (message.additional_kwargs.get(KEPT) for message in reversed(messages))
    return dict(next((each for each in kept if each), {}))


def _parted(said: Sequence[BaseMessage]) -> tuple[Sequence[BaseMessage], Sequence[BaseMessage]]:
    """Part what a run was sent from what it answered: only what was sent last is marked."""
    last = next((i for i in reversed(range(len(said))) if KEPT in said[i].additional_kwargs), None)
    if last is None:
        last = next((i for i in reversed(range(len(said))) if isinstance(said[i], HumanMessage)), -1)
    return said[: last + 1], said[last + 1 :]


def _output(run: RunInfo, answered: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    # A call that was answered within the run was the server's, and so is one that waits for a person.
    own = {message.tool_call_id for message in answered if isinstance(message, ToolMessage)}
    for message in answered:
        if not isinstance(message, AIMessage):
            continue
        if text := str(message.text):
            items.append(message_item(run.run_id, len(items), text))
        calls = [] if run.status == "waiting" else [*message.tool_calls, *message.invalid_tool_calls]
        items += [
            function_call_item(run.run_id, len(items) + i, call)
            for i, call in enumerate(call for call in calls if call["id"] not in own)
        ]
    return items


def _input_items(message: BaseMessage) -> list[dict[str, Any]]:
    if isinstance(message, ToolMessage):
        output = message.content if isinstance(message.content, str) else str(message.text)
        head = {"id": f"fco_{message.id}", "type": "function_call_output", "status": "completed"}
        return [{**head, "call_id": message.tool_call_id, "output": output}]
    if not isinstance(message, AIMessage):
        blocks = [message.content] if isinstance(message.content, str) else message.content
        content = [_input_part(block) for block in blocks]
        return [{"id": str(message.id), "type": "message", "role": "user", "status": "completed", "content": content}]
    run = str(message.id)
    items = [message_item(run, 0, str(message.text))] if message.text else []
    return items + [function_call_item(run, 1 + i, call) for i, call in enumerate(message.tool_calls)]


def _input_part(block: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "input_text", "text": block}
    match block.get("type"):
        case "image_url":
            image = block["image_url"]
            return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")}
        case "text-plain":
            return {"type": "input_file", "filename": block.get("title")}
        case _:
            return {"type": "input_text", "text": str(block.get("text", ""))}


def _usage(answered: Sequence[BaseMessage]) -> Usage:
    told = [message.usage_metadata for message in answered if isinstance(message, AIMessage) and message.usage_metadata]
    return Usage(
        input_tokens=sum(each["input_tokens"] for each in told),
        output_tokens=sum(each["output_tokens"] for each in told),
    )


def _finish_reason(answered: Sequence[BaseMessage]) -> str:
    answers = [message for message in answered if isinstance(message, AIMessage)]
    metadata = answers[-1].response_metadata if answers else {}
    return str(metadata.get("finish_reason") or metadata.get("stop_reason") or "").lower()


def _error(run: RunInfo) -> dict[str, Any] | None:
    if run.error is None:
        return None
    return {"code": "server_error", "message": str(run.error.get("message", "the run failed"))}


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
