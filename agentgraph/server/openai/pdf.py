"""Have a PDF read by a child process, bounded in time, memory and output, and killed when it is past any of them."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agentgraph.errors import InvalidInputError, MissingExtraError
from agentgraph.server.openai.pdf_child import ENCRYPTED

__all__ = ["PdfReader"]

_CHILD: Final = Path(__file__).with_name("pdf_child.py")
_AT_ONCE: Final = 2
_MOST_BYTES_PER_CHAR: Final = 4
_PIECE: Final = 65_536


class PdfReader:
    """Reads PDFs, two at once. Belongs to one event loop.

    Args:
        timeout_s: How long one may take, without waiting for its turn.
        memory_bytes: Address space of the child.
        most_chars: How much text is wanted.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int, most_chars: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._most_chars = most_chars
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def text_of(self, data: bytes, *, param: str) -> str:
        """Return a PDF's text, page by page.

        Raises:
            InvalidInputError: It is broken, encrypted, without text, or takes too long or too much memory.
            MissingExtraError: pypdf is not installed.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    code, said = await self._read(data)
            except TimeoutError:
                raise InvalidInputError(
                    f"{param}: the PDF could not be read within {self._timeout_s:g} s",
                    param=param,
                    code="file_too_slow",
                ) from None
        if code == ENCRYPTED:
            raise InvalidInputError(f"{param}: the PDF needs a password", param=param, code="file_encrypted")
        text = said.decode("utf-8", "replace").strip()
        if code != 0:
            raise InvalidInputError(f"{param}: the PDF cannot be read", param=param, code="file_unreadable")
        if not text:
            raise InvalidInputError(
                f"{param}: the PDF holds no text, only pictures; send its pages as images",
                param=param,
                code="file_without_text",
            )
        return text

    async def _read(self, data: bytes) -> tuple[int, bytes]:
        spec = find_spec("pypdf")
        if spec is None or spec.origin is None:
            raise MissingExtraError("server", needed_for="reading PDFs")
        packages = Path(spec.origin).parent.parent
        limits = (self._memory_bytes, math.ceil(self._timeout_s), self._most_chars)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", str(_CHILD), str(packages), *map(str, limits)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=os.sep,
            env={},
        )
        try:
            feeding = asyncio.create_task(_feed(process, data))
            try:
                said = await _said(process, _MOST_BYTES_PER_CHAR * (self._most_chars + _PIECE))
                await feeding
            finally:
                feeding.cancel()
            return await process.wait(), said
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(ConnectionError):  # a child that has died or seen enough
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _said(process: asyncio.subprocess.Process, most_bytes: int) -> bytes:
    assert process.stdout is not None  # noqa: S101
    said = bytearray()
    while len(said) <= most_bytes and (piece := await process.stdout.read(_PIECE)):
        said += piece
    if len(said) > most_bytes:
        process.kill()
    return bytes(said)
