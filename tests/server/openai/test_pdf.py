"""PDFs are read by a child process within its limits, and none is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentgraph.errors import InvalidInputError
from agentgraph.server.openai.pdf import PdfReader
from tests.server.openai.conftest import pdf

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for children in /proc"),
]
PLENTY = 512 * 1024 * 1024


def children() -> set[str]:
    return {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"pdf_child" in Path(f"/proc/{child}/cmdline").read_bytes()
    }


async def test_pages_are_read_in_order() -> None:
    reader = PdfReader(timeout_s=20, memory_bytes=PLENTY, most_chars=1000)
    assert await reader.text_of(pdf("One.", "Two."), param="file") == "One.\n\nTwo."


async def test_a_child_that_takes_too_long_is_killed() -> None:
    reader = PdfReader(timeout_s=0.02, memory_bytes=PLENTY, most_chars=1000)
    with pytest.raises(InvalidInputError, match="within") as caught:
        await reader.text_of(pdf("One."), param="file")
    assert caught.value.code == "file_too_slow"
    assert children() == set()


@pytest.mark.skipif(os.name == "nt", reason="has no such limit")
async def test_a_child_has_no_more_memory_than_it_is_given() -> None:
    reader = PdfReader(timeout_s=20, memory_bytes=24 * 1024 * 1024, most_chars=1000)
    with pytest.raises(InvalidInputError) as caught:
        await reader.text_of(pdf("One."), param="file")
    assert caught.value.code == "file_unreadable"
