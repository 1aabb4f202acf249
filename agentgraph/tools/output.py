"""What a tool returned, as a model can read it: text, or text with pictures, and never more than fits.

A result may be anything: a million rows, bytes, an object whose `str()` fails or never ends. `in_words` reads no more
of it than it keeps; where that may take long, its caller sees to it (`execution`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from langchain_core.messages import ToolMessage
from pydantic import BaseModel

from agentgraph.plain import readable

__all__ = ["Content", "Output", "as_text", "cut", "in_words", "is_quickly_told", "kept", "restored"]

Content: TypeAlias = str | list[dict[str, Any]]
"""Text, or content blocks as LangChain's messages hold them."""

_NOTHING: Final = "[no output]"
_LONGEST_MEDIA: Final = 4_000_000  # characters of base64, 3 MB
_TEXT_BLOCKS: Final = ("text", "input_text", "output_text")
_MEDIA_BLOCKS: Final[Mapping[str, str]] = {
    "image": "image",
    "image_url": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "file",
    "document": "file",
}
_KEPT: Final = "agentgraph:output:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What came of a call.

    Attributes:
        content: For the model.
        status: Whether the tool did what it was asked.
        is_untrusted: Whether strangers wrote it.
    """

    content: Content
    status: Literal["success", "error"] = "success"
    is_untrusted: bool = False


def is_quickly_told(result: object) -> bool:
    """Say whether putting `result` into words takes no time and runs nobody's code."""
    return result is None or type(result) in {str, bool, float, bytes}


def in_words(result: object, longest: int, *, media: AbstractSet[str] = frozenset()) -> Content:
    """Return what a tool returned as content for a model.

    Args:
        result: Anything.
        longest: How many characters of text are kept; the rest gives way to a note that says so.
        media: Which of `image`, `audio`, `video` and `file` the model reads in a tool's result. Others give way to a
            note.

    Raises:
        Exception: Whatever the result's own methods raise.
    """
    if isinstance(result, ToolMessage):
        result = result.content
    if isinstance(result, str):
        return _cut_or_nothing(result, longest)
    if result is None:
        return _NOTHING
    if isinstance(result, bytes | bytearray | memoryview):
        return _cut_or_nothing(_of_bytes(bytes(result), longest), longest)
    if isinstance(result, Mapping) and _is_block(result):
        result = [result]
    if isinstance(result, Sequence) and result and all(map(_is_block, result)):
        return _blocks(result, longest, media)
    return _json(result, longest)


def cut(text: str, longest: int) -> str:
    """Return `text`, readable, and no longer than `longest` with a note on what is left out."""
    if len(text) <= longest:
        return readable(text)
    return f"{readable(text[:longest])}\n[cut: {len(text) - longest} more characters; ask for less]"


def as_text(content: Content) -> str:
    """Return content for people and logs, with a word in place of what is no text."""
    if isinstance(content, str):
        return content
    return "\n".join(_text_of(block) if block.get("type") in _TEXT_BLOCKS else _note(block) for block in content)


def kept(output: Output) -> str:
    """Return an output as one text, from which `restored` makes it again; its status is kept beside it."""
    if isinstance(output.content, str) and not output.is_untrusted and not output.content.startswith(_KEPT):
        return output.content
    return _KEPT + json.dumps([output.content, output.is_untrusted], ensure_ascii=False)


def restored(text: str, status: Literal["success", "error"]) -> Output:
    """Return the output that was kept."""
    if not text.startswith(_KEPT):
        return Output(content=text, status=status)
    content, is_untrusted = json.loads(text.removeprefix(_KEPT))
    return Output(content=content, status=status, is_untrusted=is_untrusted)


def _cut_or_nothing(text: str, longest: int) -> str:
    # Anthropic refuses blank text, and an empty answer tells a model nothing.
    return cut(str.__str__(text), longest) if text.strip() else _NOTHING


def _of_bytes(data: bytes, longest: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # A text cut within a character is a text all the same.
        if error.start > len(data) - 4 and len(data) > longest:
            return data[: error.start].decode()
    return f"[{len(data)} bytes that are no text]"


# Content blocks


def _is_block(part: object) -> bool:
    return isinstance(part, str) or (
        isinstance(part, Mapping)
        and (
            (part.get("type") in _TEXT_BLOCKS and isinstance(part.get("text"), str))
            or part.get("type") in _MEDIA_BLOCKS
        )
    )


def _blocks(parts: Sequence[Any], longest: int, media: AbstractSet[str]) -> Content:
    """Keep texts up to `longest` together, and the media a model reads."""
    told: list[dict[str, Any]] = []
    room, left_out = longest, 0
    for part in parts:
        block: Mapping[str, Any] = {"type": "text", "text": part} if isinstance(part, str) else part
        if block["type"] not in _TEXT_BLOCKS:
            if _MEDIA_BLOCKS[block["type"]] in media and (shown := _shown(block)) is not None:
                told.append(shown)
                continue
            block = {"type": "text", "text": f"{_note(block)[:-1]}, which cannot be shown here]"}
        text = _text_of(block)
        if room > 0 and text.strip():
            told.append({"type": "text", "text": readable(text[:room])})
        left_out += max(0, len(text) - room)
        room = max(0, room - len(text))
    if left_out:
        told.append({"type": "text", "text": f"[cut: {left_out} more characters; ask for less]"})
    if all(block["type"] == "text" for block in told):  # which every vendor takes
        return "\n".join(block["text"] for block in told) or _NOTHING
    return told


def _shown(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a block of plain JSON, or `None` where it holds too much, or what JSON cannot."""
    if _size(block) > _LONGEST_MEDIA:
        return None
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(block)))
    except (TypeError, ValueError, RecursionError):
        return None
    return plain


def _note(block: Mapping[str, Any]) -> str:
    kind = _MEDIA_BLOCKS.get(str(block.get("type")), "part")
    mime = block.get("mime_type") or block.get("media_type")
    return (
        f"[{kind}{f' {readable(str(mime)[:60])}' if isinstance(mime, str) else ''}, {max(1, _size(block) // 1000)} kB]"
    )


def _size(block: Mapping[str, Any], depth: int = 3) -> int:
    parts: Iterable[Any] = block.values()
    return sum(
        len(part)
        if isinstance(part, str | bytes)
        else _size(part, depth - 1)
        if isinstance(part, Mapping) and depth
        else 0
        for part in parts
    )


def _text_of(block: Mapping[str, Any]) -> str:
    return str.__str__(block["text"])


# Everything else


def _json(result: object, longest: int) -> str:
    """Return about as much of `result` as fits, as JSON where it is data, else in its own words."""
    plain = _data(result)
    if plain is None:
        return _cut_or_nothing(str(result), longest)
    pieces: list[str] = []
    length = 0
    encoder = json.JSONEncoder(ensure_ascii=False, default=_of_part(longest), check_circular=True)
    try:
        for piece in encoder.iterencode(plain):
            pieces.append(piece)
            length += len(piece)
            if length > longest:
                return f"{readable(''.join(pieces)[:longest])}\n[cut here: there is more; ask for less]"
    except (TypeError, ValueError, RecursionError):  # keys that are no text, a circle, too deep
        return _cut_or_nothing(str(result), longest)
    return readable("".join(pieces))


def _of_part(longest: int) -> Callable[[object], Any]:
    def told(part: object) -> Any:
        if isinstance(part, bytes | bytearray | memoryview):
            return _of_bytes(bytes(part), longest)
        return str(part) if (plain := _data(part)) is None else plain

    return told


def _data(value: object) -> Any:
    """Return `value` as something JSON's encoder goes through, or `None` where it is no data."""
    match value:
        case bool() | int() | float() | list() | tuple() | dict():
            return value
        case BaseModel():
            return dict(value)
        case Enum():
            return value.value
        case set() | frozenset():
            return list(value)
        case Mapping():
            return dict(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
    return None
