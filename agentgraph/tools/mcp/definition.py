"""What is known of an MCP server before it is connected to, and what may be shown of it and of its tools."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import SecretStr

from agentgraph.errors import InvalidInputError

__all__ = [
    "SEPARATOR",
    "McpResult",
    "McpServer",
    "McpTool",
    "Protocol",
    "ServerDefinition",
    "ToolState",
    "checked_name",
]

Protocol: TypeAlias = Literal["http", "sse", "websocket", "stdio"]
"""How a server is spoken to: streamable HTTP, the older HTTP with SSE, WebSocket, or a program's standard streams."""

ToolState: TypeAlias = Literal["offered", "new", "changed", "refused"]
"""`new` and `changed` tools wait for `accept`; a `refused` one breaks a rule, which its `reason` names."""

SEPARATOR: Final = "__"
"""Between a server's name and its tool's: a server's name neither holds it nor ends in `_`, so a name reads one way."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9\-]|_(?!_)){0,30}(?<!_)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDefinition:
    """How to reach a server, and what was decided about it.

    Attributes:
        name: Its tools' names begin so.
        tenant: Whose tools they are; `None` for every tenant's.
        protocol: How to speak to it.
        url: Where it is; `None` for a program.
        command: The program and its arguments, of the settings alone.
        env: Variables added to the program's environment.
        cwd: Where the program runs.
        api_key: Sent as a bearer token.
        timeout_s: Seconds one call may take; `None` for the deployment's `tool_call_timeout`.
        accept_new: Whether tools that appear later are offered without being accepted.
        needs_approval: Its own names of tools that a person must allow each call of.
        consequential: Its own names of tools that need leave once strangers' text has entered a run.
        is_configured: Whether the settings name it; such a server is not disconnected at run time.
    """

    name: str
    tenant: str | None = None
    protocol: Protocol = "http"
    url: str | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, SecretStr] = field(default_factory=dict)
    cwd: Path | None = None
    api_key: SecretStr | None = None
    timeout_s: float | None = None
    accept_new: bool = False
    needs_approval: frozenset[str] = frozenset()
    consequential: frozenset[str] = frozenset()
    is_configured: bool = False

    @property
    def key(self) -> tuple[str | None, str]:
        """What tells it from every other: whose it is, and its name."""
        return self.tenant, self.name

    @property
    def place(self) -> str:
        """Where it is, without what may be secret: a URL's query, a program's arguments."""
        return self.command[0] if self.command else str(self.url).partition("?")[0]

    @property
    def place_digest(self) -> str:
        """Tells one place from another: what was accepted of a server is not accepted of what stands elsewhere."""
        return hashlib.sha256(repr((self.protocol, self.url, self.command)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server, as it may be shown. Its key is not part of it.

    Attributes:
        name: Its name.
        tenant: Whose it is; `None` for every tenant's.
        protocol: How it is spoken to.
        place: Its URL without query, or its program.
        state: Whether it can be called just now.
        fault: Why it cannot, or could not last time.
        tools: How many of its tools are offered.
        withheld: How many are not.
        has_api_key: Whether a key is sent.
        is_configured: Whether the settings name it.
    """

    name: str
    tenant: str | None
    protocol: Protocol
    place: str
    state: Literal["connecting", "connected", "lost"]
    fault: str | None
    tools: int
    withheld: int
    has_api_key: bool
    is_configured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A tool as a server lists it.

    Attributes:
        name: As models and `call` name it: `server__tool`.
        server: The server's name.
        remote_name: The server's own name for it.
        description: The server's words, cut and cleaned.
        parameters: The JSON schema of its arguments, references resolved.
        fingerprint: Digest of everything the server says of it: what is accepted is this.
        state: Whether it is offered, and if not why.
        reason: Why it is refused.
        idempotent: Whether the server says that a call may be repeated.
        destructive: Whether the server says in so many words that it destroys something.
    """

    name: str
    server: str
    remote_name: str
    description: str
    parameters: Mapping[str, Any]
    fingerprint: str
    state: ToolState = "offered"
    reason: str | None = None
    idempotent: bool = False
    destructive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class McpResult:
    """What a tool returned; all of it the server's words.

    Attributes:
        text: Its text, with a word on what is no text; cut where it is too long.
        blocks: The same as LangChain's content blocks, pictures and sounds included.
        structured: What it returned as JSON, if it did.
        is_error: Whether the tool says that it failed.
    """

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    structured: Mapping[str, Any] | None = None
    is_error: bool = False


def checked_name(name: str) -> str:
    """Return `name`, which may be a server's.

    Raises:
        InvalidInputError: It may not.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidInputError(
            f"{name!r} cannot name an MCP server: use up to 31 of a-z, 0-9, - and single _, beginning and ending with "
            "a letter or digit",
            param="name",
        )
    return name
