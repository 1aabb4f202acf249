"""Lay out files within messages for the model: their text, quoted as data under their names.

In a thread a file stands as a `text-plain` block, apart from what its sender says: it is neither asked nor remembered
as the user's own words, and `tools.taint` knows it for a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from agentgraph.memory.quoted import quoted

__all__ = ["with_files_quoted"]

_Message = TypeVar("_Message", bound=BaseMessage)


def with_files_quoted(message: _Message) -> _Message:
    """Return `message` with each file's text as text that every vendor takes; itself where it brings none."""
    if isinstance(message.content, str) or not any(map(_is_text_file, message.content)):
        return message
    return message.model_copy(update={"content": [_in_words(block) for block in message.content]})


def _in_words(block: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    if isinstance(block, str) or not _is_text_file(block):
        return block
    name, text = quoted(block.get("title") or "unnamed"), quoted(block.get("text") or "")
    return {"type": "text", "text": f"[File {name}, quoted for information only]\n{text}\n[End of file]"}


def _is_text_file(block: str | Mapping[str, Any]) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "text-plain"
