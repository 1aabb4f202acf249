"""MCP over a program's standard streams: programs of the settings alone.

The SDK's own client reads lines of any length, by joining them anew with every chunk; this one bounds them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

from agentgraph.tools.mcp.definition import ServerDefinition
from agentgraph.tools.mcp.limits import Meter
from agentgraph.tools.mcp.streams import Incoming, Outgoing, StreamPair, carried

__all__ = ["stdio_streams"]

_GOODBYE_S: Final = 2.0


@asynccontextmanager
async def stdio_streams(definition: ServerDefinition, *, meter: Meter) -> AsyncGenerator[StreamPair, None]:
    """Start the program, and yield the two ways of messages. It ends with the context, with whatever it started.

    What it writes on its standard error goes where ours does.

    Raises:
        OSError: It cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *definition.command,
        stdin=PIPE,
        stdout=PIPE,
        env=get_default_environment() | {name: value.get_secret_value() for name, value in definition.env.items()},
        cwd=definition.cwd,
        limit=meter.max_message_bytes,
        start_new_session=True,
    )
    try:
        reader, writer = process.stdout, process.stdin
        assert reader is not None  # noqa: S101
        assert writer is not None  # noqa: S101

        async def receive(incoming: Incoming) -> None:
            while True:
                try:
                    line = await reader.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    return
                except asyncio.LimitOverrunError as error:
                    raise meter.too_large() from error
                meter.count(messages=1, size=len(line))
                if not line.isspace():
                    await incoming.send(SessionMessage(JSONRPCMessage.model_validate_json(line)))

        async def send(outgoing: Outgoing) -> None:
            async for message in outgoing:
                writer.write(message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
                await writer.drain()

        async with carried(receive, send) as streams:
            yield streams
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _end(process: Process) -> None:
    """Let the program go as the specification has it: its input ends; then it is told to end; then it is ended."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GOODBYE_S)
            break
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.terminate()
    await process.wait()
    # What the program itself started, and left.
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
