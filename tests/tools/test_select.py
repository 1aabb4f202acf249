"""The right few tools are ranked first, by words alone or with meaning."""

import pytest
from langchain_core.tools import BaseTool, StructuredTool

from agentgraph.tools.select import ToolIndex


def made(name: str, description: str) -> BaseTool:
    return StructuredTool.from_function(lambda text: text, name=name, description=description)


TOOLS = [
    made("get_time", "Get the current local time in a city or time zone."),
    made("calculator", "Calculate an arithmetic expression."),
    made("send_email", "Send an email message to a recipient."),
    made("search_flights", "Find flights between two airports on a date."),
]


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("What time is it in Tokyo?", "get_time"),
        ("calculate 3 * 4", "calculator"),
        ("please email Bob", "send_email"),
        ("any flights from Oslo to Rome?", "search_flights"),
    ],
)
async def test_the_right_tool_comes_first(question: str, best: str) -> None:
    ranked = await ToolIndex(TOOLS).rank(question)
    assert ranked[0] == (best, 1.0)


async def test_small_talk_calls_for_no_tool() -> None:
    assert await ToolIndex(TOOLS).rank("hello, how are you?") == []


async def test_no_tools_rank_as_none() -> None:
    assert await ToolIndex([]).rank("anything") == []
