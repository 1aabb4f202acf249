"""The right few tools are ranked first, by words alone or with meaning."""

from __future__ import annotations

import pytest

from agentgraph.models.embeddings import HashEmbeddings
from agentgraph.tools.selection import ToolDocument, ToolIndex

TOOLS = [
    ToolDocument("get_time", "Get the current local time in a city or time zone."),
    ToolDocument("calculator", "Calculate an arithmetic expression."),
    ToolDocument("sendEmail", "Send an email message to a recipient."),
    ToolDocument("flights.search", "Find connections on a date.", {"origin_airport": "Three letters"}),
]


@pytest.mark.parametrize("has_meaning", [False, True])
@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("What time is it in Tokyo?", "get_time"),
        ("calculate 3 * 4", "calculator"),
        ("please email Bob", "sendEmail"),
        ("any flights from this airport?", "flights.search"),
    ],
)
async def test_the_right_tool_comes_first(question: str, best: str, has_meaning: bool) -> None:
    index = ToolIndex(TOOLS, embeddings=HashEmbeddings() if has_meaning else None)
    assert await index.ready() == has_meaning
    first, *_ = await index.rank([question], limit=3)
    assert (first.name, first.dense is not None) == (best, has_meaning)
    assert 0 < first.score <= 1
