"""Files within messages: checked, and read into text for the turn. Nothing of them is kept beside the conversation.

Their names are only told to the model, quoted. Where a file has to be on disk, for the deployment's `extract_text`, its
name there is ours, and the copy is gone when the hook returns.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from agentgraph.errors import AgentGraphError, InvalidInputError
from agentgraph.plain import readable
from agentgraph.run import RunRequest
from agentgraph.server.hooks import HookCalls
from agentgraph.server.openai.pdf import PdfReader
from agentgraph.settings import Settings

__all__ = ["FILE_BLOCK", "FileReader", "file_block"]

logger = logging.getLogger(__name__)

FILE_BLOCK: Final = "file"
_MOST_FILES: Final = 16
_LONGEST_NAME: Final = 200
_LONGEST_MIME: Final = 100
_CUT: Final = "\n[The file goes on; only its beginning is shown.]"
_PDF: Final = "application/pdf"
_TEXT: Final = "text/plain"
_BY_SUFFIX: Final[Mapping[str, str]] = {
    "pdf": _PDF,
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "md": "text/markdown",
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "txt": _TEXT,
}
_SUFFIXES: Final[Mapping[str, str]] = {mime: f".{suffix}" for suffix, mime in _BY_SUFFIX.items()}
_UNSAID: Final = frozenset({"", "application/octet-stream"})
_TEXTUAL: Final = frozenset({"application/json", "application/xml", "application/yaml", "application/x-yaml"})
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file as it came: where it stands in the request, what it is called, and what it says it is."""

    at: str
    name: str
    mime: str
    data: bytes


def file_block(data: str, *, at: str, name: str | None = None, mime: str | None = None) -> dict[str, Any]:
    """Return the content block that a file of a request stands in until it is read.

    Args:
        data: Base64, or a `data:` URL of it.
        at: Where in the request it is, for errors.
        name: What its sender calls it.
        mime: What its sender says it is.
    """
    return {"type": FILE_BLOCK, "data": data, "at": at, "name": name or "", "mime": mime or ""}


class FileReader:
    """Reads the files of requests. Belongs to one event loop.

    Args:
        settings: How large and how long files may be.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_bytes = int(settings.max_upload_mb * 1_000_000)
        self._most_chars = settings.max_file_chars
        self._timeout_s = settings.file_timeout_s
        self._pdf = PdfReader(
            timeout_s=settings.file_timeout_s,
            memory_bytes=int(settings.file_memory_mb * 1024 * 1024),
            most_chars=settings.max_file_chars + 1,
        )

    async def read(self, request: RunRequest, hooks: HookCalls) -> RunRequest:
        """Return the request with the text of its files in their place.

        Args:
            request: Has its files in blocks that `file_block` made.
            hooks: Has the deployment's `extract_text`.

        Raises:
            InvalidInputError: One is too large, broken, of a kind nobody here reads, or sent to a session.
        """
        files = [block for message in request.messages for block in _files_of(message)]
        if not files:
            return request
        if request.scope.session is not None:
            raise InvalidInputError(
                "a session takes no files: send them to the tenant itself, and ask about them here",
                param=files[0]["at"],
                code="session_no_upload",
            )
        if len(files) > _MOST_FILES:
            raise InvalidInputError(f"a request may bring {_MOST_FILES} files, not {len(files)}", param="messages")
        texts = {block["at"]: await self._text_block(block, hooks) for block in files}
        return replace(request, messages=tuple(_with_texts(message, texts) for message in request.messages))

    async def _text_block(self, block: Mapping[str, str], hooks: HookCalls) -> dict[str, Any]:
        file = await asyncio.to_thread(self._decoded, block)
        text = await self._text(file, hooks)
        if not text.strip():
            raise InvalidInputError(f"{file.at}: the file is empty", param=file.at, code="file_without_text")
        if len(text) > self._most_chars:
            text = text[: self._most_chars] + _CUT
        return {"type": "text-plain", "text": readable(text), "title": file.name, "mime_type": file.mime}

    def _decoded(self, block: Mapping[str, str]) -> _File:
        at, data, mime = block["at"], block["data"], block["mime"].partition(";")[0].strip().lower()
        if data[:5].lower() == "data:":
            head, comma, data = data.partition(",")
            told, *parameters = head[5:].split(";")
            if not comma or "base64" not in [each.strip().lower() for each in parameters]:
                raise InvalidInputError(f"{at}: a data URL must hold base64", param=at, code="invalid_file")
            mime = mime or told.strip().lower()
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInputError(f"{at} is not base64", param=at, code="invalid_file") from None
        if len(content) > self._most_bytes:
            raise InvalidInputError(
                f"{at}: the file is larger than {self._most_bytes / 1e6:g} MB", param=at, code="file_too_large"
            )
        name = readable(block["name"])[:_LONGEST_NAME]
        return _File(at=at, name=name, mime=_kind(content, mime, name), data=content)

    async def _text(self, file: _File, hooks: HookCalls) -> str:
        if hooks.hooks.extract_text is not None and (text := await self._extracted(file, hooks)) is not None:
            return text
        if file.mime == _PDF:
            return await self._pdf.text_of(file.data, param=file.at)
        if file.mime.startswith("text/") or file.mime in _TEXTUAL or file.mime.endswith(("+json", "+xml")):
            return await asyncio.to_thread(_as_text, file, self._most_chars)
        raise InvalidInputError(
            f"{file.at}: files of the type {file.mime!r} are not read here; send text, CSV or PDF",
            param=file.at,
            code="unsupported_file_type",
        )

    async def _extracted(self, file: _File, hooks: HookCalls) -> str | None:
        """Return what the deployment's hook makes of a file."""
        hook = hooks.hooks.extract_text
        assert hook is not None  # noqa: S101
        try:
            async with asyncio.timeout(self._timeout_s):
                with tempfile.TemporaryDirectory(prefix="agentgraph-file-", ignore_cleanup_errors=True) as directory:
                    path = Path(directory) / f"file{_SUFFIXES.get(file.mime, '')}"
                    await asyncio.to_thread(path.write_bytes, file.data)
                    returned = await hooks.call(hook, path, file.mime)
        except AgentGraphError:
            raise
        except TimeoutError:
            raise InvalidInputError(
                f"{file.at}: the file could not be read within {self._timeout_s:g} s",
                param=file.at,
                code="file_too_slow",
            ) from None
        except Exception as error:
            logger.exception("extract_text failed")
            raise InvalidInputError(
                f"{file.at}: the file cannot be read", param=file.at, code="file_unreadable"
            ) from error
        return _joined(returned)


def _files_of(message: BaseMessage) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        return []
    return [block for block in message.content if isinstance(block, dict) and block.get("type") == FILE_BLOCK]


def _with_texts(message: BaseMessage, texts: Mapping[str, Any]) -> BaseMessage:
    if isinstance(message.content, str):
        return message
    content = [
        texts[block["at"]] if isinstance(block, dict) and block.get("type") == FILE_BLOCK else block
        for block in message.content
    ]
    return message.model_copy(update={"content": content})


def _kind(data: bytes, mime: str, name: str) -> str:
    """Return what a file is: what it begins with tells more than its sender, and its sender more than its name."""
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return _PDF
    if mime not in _UNSAID:
        return mime[:_LONGEST_MIME]
    suffix = name.rpartition(".")[2].lower()
    return _BY_SUFFIX.get(suffix) or ("application/octet-stream" if b"\0" in data[:4096] else _TEXT)


def _as_text(file: _File, most_chars: int) -> str:
    """Decode text: by its byte order mark, as UTF-8, or as what Windows programs write."""
    encoding = next((name for mark, name in _MARKS if file.data.startswith(mark)), None)
    data = file.data[: 4 * most_chars + 64]  # no encoding takes more bytes a character
    if encoding is None and b"\0" in data:
        raise InvalidInputError(f"{file.at}: the file is not text", param=file.at, code="file_unreadable")
    if encoding is not None:
        return data.decode(encoding, "replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)  # a character cut in two at the end is left out
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _joined(returned: Any) -> str | None:
    if returned is None or isinstance(returned, str):
        return returned
    parts: Sequence[Any] = returned if isinstance(returned, Sequence) else [returned]
    return "\n\n".join(part.page_content if isinstance(part, Document) else str(part) for part in parts)
