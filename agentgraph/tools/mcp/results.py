"""Put what a server's tool returned into words and content blocks, bounded."""

from __future__ import annotations

from typing import Any, Final

import orjson
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agentgraph.tools.mcp.definition import McpResult

__all__ = ["result_of"]

_MOST_BLOCKS: Final = 200


def result_of(answer: CallToolResult, *, longest: int) -> McpResult:
    """Return what `answer` says.

    Args:
        answer: As the server gave it.
        longest: Characters of text that are kept.
    """
    blocks = [_block(each) for each in answer.content[:_MOST_BLOCKS]]
    if len(answer.content) > _MOST_BLOCKS:
        blocks.append(_text(f"[{len(answer.content) - _MOST_BLOCKS} more parts left out]"))
    if answer.structuredContent is not None and not any(block["type"] == "text" for block in blocks):
        blocks.append(_text(_json(answer.structuredContent)))
    text = "\n".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in blocks)
    if len(text) > longest:
        text = f"{text[:longest]}\n[cut: {len(text) - longest:,} more characters]"
    return McpResult(
        text=text,
        blocks=tuple(blocks),
        structured=answer.structuredContent,
        is_error=bool(answer.isError),
    )


def _block(content: ContentBlock) -> dict[str, Any]:
    match content:
        case TextContent():
            return _text(content.text)
        case ImageContent():
            return {"type": "image", "base64": content.data, "mime_type": content.mimeType}
        case AudioContent():
            return {"type": "audio", "base64": content.data, "mime_type": content.mimeType}
        case ResourceLink():
            return _text(f"[resource {content.name}: {content.uri}]")
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return _text(resource.text)
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            return _text(f"[resource {resource.uri}, {resource.mimeType or 'binary'}, not shown]")
    return _text(f"[{type(content).__name__}, not shown]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
