"""Know whether strangers have a say in a run: then what has consequences needs a person, or the deployment's word.

Text that a stranger wrote may tell the model what to do, and no prompt keeps it from being obeyed. So it is noted when
such text enters, and it counts for as long as it stands in what the model reads, or a summary that was made of it does.
It enters as what a tool returned that promises `untrusted`, as a file within a message, and as a memory that is not the
user's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from agentgraph.memory.record import Recalled
from agentgraph.scope import Scope

__all__ = ["MARK", "SUMMARISED", "brings_untrusted", "is_own", "untrusted_in"]

MARK: Final = "untrusted"
"""In a message's `additional_kwargs`: strangers wrote it. It goes wherever the message goes."""
SUMMARISED: Final = "summary"
"""Stands for messages that are told in a summary by now."""

_FILES: Final = frozenset({"file", "document", "input_file", "text-plain"})
_OWN_VOICES: Final = frozenset({"user", "assistant"})


def untrusted_in(
    messages: Sequence[BaseMessage],
    *,
    known: Sequence[str] = (),
    recalled: Sequence[Recalled] = (),
    scope: Scope | None = None,
    is_summarised: bool = False,
) -> list[str]:
    """Return the ids of the messages with which untrusted text came; empty while none did.

    Args:
        messages: The live window.
        known: What was returned before, and kept in the state.
        recalled: The memories that stand in the prompt with the newest question.
        scope: Whose run it is.
        is_summarised: Whether the prompt holds a summary of what left the window.
    """
    came = [str(message.id) for message in messages if brings_untrusted(message)]
    if scope is not None and not all(is_own(memory, scope) for memory in recalled):
        question = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
        came.append(str(question.id if question is not None else None))
    live = {str(message.id) for message in messages}
    stay = [each for each in known if each in live]
    if is_summarised and len(stay) < len(known):
        stay.insert(0, SUMMARISED)
    return list(dict.fromkeys([*stay, *came]))


def brings_untrusted(message: BaseMessage) -> bool:
    """Say whether strangers wrote what `message` holds: a marked tool's result, or a file handed on."""
    if isinstance(message, ToolMessage):
        return message.additional_kwargs.get(MARK) is True
    return isinstance(message.content, list) and any(_is_file(block) for block in message.content)


def is_own(memory: Recalled, scope: Scope) -> bool:
    """Say whether a memory is the user's own: kept where this run would keep its own, in the user's or our words."""
    tenant, _, *leaf = memory["namespace"]
    own = [["user", scope.user], ["session", scope.session]]
    if scope.user is None and scope.session is None:
        own.append(["shared"])
    return tenant == scope.tenant and leaf in own and memory["speaker"] in _OWN_VOICES


def _is_file(block: str | Mapping[str, Any]) -> bool:
    return isinstance(block, Mapping) and block.get("type") in _FILES
