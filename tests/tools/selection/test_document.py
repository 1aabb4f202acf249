"""A tool is read alike from LangChain, from OpenAI's form and from the older one."""

from __future__ import annotations

from typing import Literal

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from agentgraph.tools.selection import ToolDocument
from agentgraph.tools.selection.document import spaced

FUNCTION = {
    "name": "send_email",
    "description": "Send a message.",
    "parameters": {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "object", "properties": {"address": {"description": "Whose"}}}},
            "priority": {"description": "How soon.", "enum": ["low", "high", 3]},
        },
    },
}
READ = ToolDocument(
    "send_email", "Send a message.", {"to": "", "to.address": "Whose", "priority": "How soon. low, high"}
)


class Person(BaseModel):
    address: str = Field(description="Whose")


@pytest.mark.parametrize("schema", [FUNCTION, {"type": "function", "function": FUNCTION}])
def test_schemas_are_read(schema: dict[str, object]) -> None:
    assert ToolDocument.of(schema) == READ


def test_a_tool_of_langchain_is_read_with_nested_arguments() -> None:
    @tool
    def send_email(to: Person, priority: Literal["low", "high"] = "low") -> str:
        """Send a message."""
        return ""

    document = ToolDocument.of(send_email)
    assert (document.name, document.description) == ("send_email", "Send a message.")
    assert document.arguments["to.address"] == "Whose"
    assert document.arguments["priority"] == "low, high"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"name": None},
        {"function": 3},
        {"name": "x", "parameters": {"properties": {"a": True, "b": {"enum": "no"}}}},
    ],
)
def test_what_is_no_schema_is_read_as_far_as_it_goes(schema: dict[str, object]) -> None:
    assert isinstance(ToolDocument.of(schema).text, str)


@pytest.mark.parametrize("name", ["getWeather2day", "get_weather2day", "get.weather2day", "get-Weather2day"])
def test_names_are_words(name: str) -> None:
    assert spaced(name).lower() in {"get weather2day", "get weather2 day"}
    assert spaced("parseHTTPResponse") == "parse HTTP Response"
