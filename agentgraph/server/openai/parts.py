"""Parts of a message's content: text, pictures, recordings and files.

Source: https://platform.openai.com/docs/api-reference/chat/create; `file_data` is brain-proxy's word for a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentgraph.errors import InvalidInputError
from agentgraph.server.openai.files import file_block
from agentgraph.server.openai.wire import Wire, field_names

__all__ = ["PART_FIELDS", "Part", "blocks", "checked_address"]

_FETCHABLE: Final = ("http://", "https://", "data:")


class TextPart(Wire):
    """Text."""

    type: Literal["text"]
    text: str


class RefusalPart(Wire):
    """What an assistant refused, sent back."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(Wire):
    """Where an image is: `https:`, `http:` or `data:`."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Wire):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(Wire):
    """Base64 of a recording."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Wire):
    """A recording."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class File(Wire):
    """A file: base64, or a data URL of it, and what it is called."""

    file_data: str | None = None
    file_id: str | None = Field(default=None, description="Refused: files are not kept here.")
    filename: str | None = None


class FilePart(Wire):
    """A file, read for the turn: text, CSV or PDF."""

    type: Literal["file"]
    file: File


class NamedFile(Wire):
    """A file: its name, its type, and base64 of it."""

    name: str | None = None
    mime: str | None = None
    data: str


class FileDataPart(Wire):
    """A file, as brain-proxy's clients send it."""

    type: Literal["file_data"]
    file_data: NamedFile


Part = Annotated[TextPart | RefusalPart | ImagePart | AudioPart | FilePart | FileDataPart, Field(discriminator="type")]

PART_FIELDS: Final = field_names(
    TextPart, RefusalPart, ImagePart, ImageUrl, AudioPart, InputAudio, FilePart, File, FileDataPart, NamedFile
)


def blocks(parts: Sequence[Part], where: str) -> list[str | dict[str, Any]]:
    """Return parts as LangChain's content blocks; files are still to be read.

    Raises:
        InvalidInputError: A picture's address is none that may be fetched, or a file is named by an id.
    """
    return [_block(part, f"{where}.content[{i}]") for i, part in enumerate(parts)]


def checked_address(url: str, at: str) -> str:
    """Return the address of a picture.

    Raises:
        InvalidInputError: A model's integration that fetches it might read this machine's own files.
    """
    if not url.lower().startswith(_FETCHABLE):
        raise InvalidInputError(f"{at} must be an http:, https: or data: URL", param=at)
    return url


def _block(part: Part, at: str) -> dict[str, Any]:
    match part:
        case RefusalPart():
            return {"type": "text", "text": part.refusal}
        case ImagePart():
            checked_address(part.image_url.url, f"{at}.image_url.url")
        case FilePart():
            file = part.file
            if file.file_id is not None:
                raise InvalidInputError(
                    f"{at}.file.file_id: files are not kept here; send file_data", param=f"{at}.file.file_id"
                )
            if file.file_data is None:
                raise InvalidInputError(f"{at}.file.file_data is missing", param=f"{at}.file.file_data")
            return file_block(file.file_data, at=f"{at}.file.file_data", name=file.filename)
        case FileDataPart():
            named = part.file_data
            return file_block(named.data, at=f"{at}.file_data.data", name=named.name, mime=named.mime)
        case _:
            pass
    return part.model_dump(exclude_none=True)
