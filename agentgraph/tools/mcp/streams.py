"""The two ways of messages between an MCP session and a transport of ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

__all__ = ["Incoming", "Outgoing", "StreamPair", "carried"]

Incoming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing: TypeAlias = MemoryObjectReceiveStream[SessionMessage]
StreamPair: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


@asynccontextmanager
async def carried(
    receive: Callable[[Incoming], Awaitable[None]], send: Callable[[Outgoing], Awaitable[None]]
) -> AsyncGenerator[StreamPair, None]:
    """Run what carries messages each way, and yield the session's ends.

    Neither way holds a message back: a server that is not listened to has to wait.

    Args:
        receive: Hands on what comes, until nothing more does.
        send: Sends what goes.
    """
    into, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, out_of = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive_all() -> None:
        async with into:
            try:
                await receive(into)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass
            except Exception as error:  # noqa: BLE001  whatever a stranger's message breaks is the session's end
                await into.send(error)

    async def send_all() -> None:
        async with out_of:
            try:
                await send(out_of)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
                await into.aclose()

    async with into, incoming, outgoing, out_of, anyio.create_task_group() as carrying:
        carrying.start_soon(receive_all)
        carrying.start_soon(send_all)
        try:
            yield incoming, outgoing
        finally:
            carrying.cancel_scope.cancel()
