"""MCP over WebSocket: not of the specification, and spoken by servers all the same.

The SDK's own client takes neither a key nor a socket and is about to be removed, so this is one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, PayloadTooBig
from websockets.typing import Subprotocol

from agentgraph.outbound import OutboundPolicy
from agentgraph.tools.mcp.limits import Meter
from agentgraph.tools.mcp.streams import Incoming, Outgoing, StreamPair, carried

__all__ = ["websocket_streams"]

_SCHEMES: Final = ("ws", "wss")
_CLOSING_S: Final = 2.0
# When it is let to debug, the library logs every header it sends, the key's too.
_QUIET: Final = logging.getLogger(f"{__name__}.handshakes")
_QUIET.setLevel(logging.WARNING)


@asynccontextmanager
async def websocket_streams(
    url: str, *, api_key: SecretStr | None, policy: OutboundPolicy, meter: Meter
) -> AsyncGenerator[StreamPair, None]:
    """Connect, and yield the two ways of messages.

    Raises:
        InvalidInputError: The URL leads where nobody may be sent.
        OSError: Nobody answers there.
        websockets.InvalidHandshake: Whoever answers speaks no WebSocket, or redirects.
    """
    destination = policy.check(url, schemes=_SCHEMES)
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key.get_secret_value()}"}
    async with connect(
        destination.url,
        sock=await policy.open_socket(destination),
        subprotocols=[Subprotocol("mcp")],
        additional_headers=headers,
        proxy=None,
        logger=_QUIET,
        compression=None,  # a few packed bytes may be gigabytes
        max_size=meter.max_message_bytes,
        max_queue=4,
        close_timeout=_CLOSING_S,
    ) as socket:

        async def receive(incoming: Incoming) -> None:
            try:
                async for text in socket:
                    meter.count(messages=1, size=len(text))
                    await incoming.send(SessionMessage(JSONRPCMessage.model_validate_json(text)))
            except ConnectionClosed as closed:
                if isinstance(closed.__cause__, PayloadTooBig) or (closed.sent and closed.sent.code == 1009):
                    raise meter.too_large() from closed

        async def send(outgoing: Outgoing) -> None:
            async for message in outgoing:
                await socket.send(message.message.model_dump_json(by_alias=True, exclude_none=True))

        async with carried(receive, send) as streams:
            yield streams
