"""What a tool promises of itself: that it may be repeated, that it wants a person's leave, whose text it brings in.

Promises stand in a LangChain tool's `metadata` (or `extras`), so a tool from anywhere can make them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from langchain_core.tools import BaseTool

from agentgraph.errors import ConfigurationError
from agentgraph.tools.schema import takes_key

__all__ = ["Promises", "promises_of", "promising"]

_ON_UNKNOWN: Final = ("tell", "ask")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What may be done with a tool.

    Attributes:
        idempotent: Running it twice does no more than running it once.
        needs_approval: A person must allow each call.
        on_unknown: What to do when a process stopped while the tool ran: tell the model that nobody knows what came of
            it, or ask a person first.
        takes_key: It is handed an `idempotency_key`, so the same call may be made again with the same key.
        pinned: It is offered to the model always, whatever else is left out.
        consequential: It does what strangers must not bring about. Once untrusted text has entered a run, a person must
            allow each call, or the deployment's `consequential_allowlist` must name the tool.
        untrusted: What it returns was written by strangers, as web pages, mail and foreign servers' answers are.
    """

    idempotent: bool = False
    needs_approval: bool = False
    on_unknown: Literal["tell", "ask"] = "tell"
    takes_key: bool = False
    pinned: bool = False
    consequential: bool = False
    untrusted: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether a call of unknown outcome may simply be made again."""
        return self.idempotent or self.takes_key


def promising(
    tool: BaseTool,
    *,
    idempotent: bool | None = None,
    needs_approval: bool | None = None,
    on_unknown: Literal["tell", "ask"] | None = None,
    pinned: bool | None = None,
    consequential: bool | None = None,
    untrusted: bool | None = None,
) -> BaseTool:
    """Return a copy of `tool` that makes these promises; of the others (`None`) it keeps what it promised before.

    Raises:
        ConfigurationError: A promise has a value that means nothing.
    """
    told = {
        "idempotent": idempotent,
        "needs_approval": needs_approval,
        "on_unknown": on_unknown,
        "pinned": pinned,
        "consequential": consequential,
        "untrusted": untrusted,
    }
    promises = {name: value for name, value in told.items() if value is not None}
    promised = tool.model_copy(update={"metadata": {**(tool.metadata or {}), **promises}})
    promises_of(promised)
    return promised


def promises_of(tool: BaseTool) -> Promises:
    """Read what `tool` promises.

    Raises:
        ConfigurationError: A promise has a value that means nothing.
    """
    told: dict[str, Any] = {**(tool.extras or {}), **(tool.metadata or {})}
    on_unknown = told.get("on_unknown", "tell")
    if on_unknown not in _ON_UNKNOWN:
        raise ConfigurationError(f"the tool {tool.name!r} has on_unknown={on_unknown!r}; write 'tell' or 'ask'")
    return Promises(
        idempotent=_flag(tool, told, "idempotent"),
        needs_approval=_flag(tool, told, "needs_approval"),
        on_unknown=on_unknown,
        takes_key=takes_key(tool),
        pinned=_flag(tool, told, "pinned"),
        consequential=_flag(tool, told, "consequential"),
        untrusted=_flag(tool, told, "untrusted"),
    )


def _flag(tool: BaseTool, told: dict[str, Any], name: str) -> bool:
    value = told.get(name, False)
    # "false" would be true: what grants or withholds leave is not guessed.
    if not isinstance(value, bool):
        raise ConfigurationError(f"the tool {tool.name!r} has {name}={value!r}; write True or False")
    return value
