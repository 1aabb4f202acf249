"""Tools in any vendor's format, read into OpenAI's; what none would take is refused by index and field."""

from typing import Any

import pytest
from google.genai import types as gemini
from langchain_core.tools import tool as langchain_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agentgraph import ChatAgentGraph, RunRequest
from agentgraph.errors import InvalidInputError
from agentgraph.tool_formats import openai_tools

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}
OPENAI = {"type": "function", "function": FUNCTION}
UPPER = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}

FORMATS: dict[str, Any] = {
    "OpenAI's": OPENAI,
    "OpenAI's Responses": {"type": "function", **FUNCTION},
    "OpenAI's functions": FUNCTION,
    "Anthropic's": {"name": "weather", "description": "The weather.", "input_schema": PARAMETERS},
    "Anthropic's typed": {
        "type": "custom",
        "name": "weather",
        "description": "The weather.",
        "input_schema": PARAMETERS,
    },
    "MCP's": {"name": "weather", "description": "The weather.", "inputSchema": PARAMETERS},
    "Bedrock's": {
        "toolSpec": {"name": "weather", "description": "The weather.", "inputSchema": {"json": PARAMETERS}},
    },
    "Gemini's": {"function_declarations": [{**FUNCTION, "parameters": UPPER}]},
    "Gemini's over REST": {"functionDeclarations": [{**FUNCTION, "parameters": UPPER}]},
    "Gemini's object": gemini.Tool(
        function_declarations=[
            gemini.FunctionDeclaration(
                name="weather",
                description="The weather.",
                parameters=gemini.Schema(
                    type=gemini.Type.OBJECT,
                    properties={"city": gemini.Schema(type=gemini.Type.STRING)},
                    required=["city"],
                ),
            )
        ]
    ),
    "a JSON schema": {"title": "weather", "description": "The weather.", **PARAMETERS},
}


@pytest.mark.parametrize("declared", FORMATS.values(), ids=FORMATS)
def test_every_format_is_the_same_tool(declared: Any) -> None:
    assert openai_tools([declared]) == [OPENAI]
    assert RunRequest.of("hi", tools=[declared]).tools == (OPENAI,)
    assert ChatAgentGraph(tenant="acme").bind_tools([declared]).kwargs["tools"] == [OPENAI]  # type: ignore[attr-defined]


def test_things_of_python_are_read_too() -> None:
    class Weather(BaseModel):
        """The weather."""

        city: str = Field(description="Where.")

    class Forecast(TypedDict):
        """The forecast."""

        city: str

    @langchain_tool
    def now(zone: str) -> str:
        """The time."""
        return zone

    def add(a: int, b: int = 2) -> int:
        """Add.

        Args:
            a: One.
            b: Another.
        """
        return a + b

    read = {tool["function"]["name"]: tool["function"] for tool in openai_tools([Weather, Forecast, now, add])}
    assert list(read) == ["Weather", "Forecast", "now", "add"]
    assert read["Weather"]["parameters"]["properties"]["city"] == {"description": "Where.", "type": "string"}
    assert read["add"]["parameters"]["properties"]["b"]["description"] == "Another."
    assert read["add"]["parameters"]["required"] == ["a"]


def test_one_declaration_of_gemini_holds_several_functions() -> None:
    both = {"function_declarations": [{"name": "a", "description": "A."}, {"name": "b", "description": "B."}]}
    assert [tool["function"]["name"] for tool in openai_tools([both])] == ["a", "b"]


@pytest.mark.parametrize("extra", ["cache_control", "annotations", "outputSchema", "icons", "response", "title"])
def test_what_clients_send_along_changes_nothing(extra: str) -> None:
    assert openai_tools([{**FUNCTION, extra: {"type": "ephemeral"}}]) == [OPENAI]


def test_strictness_is_passed_on_in_openais_way() -> None:
    (tool,) = openai_tools([FUNCTION], strict=True)
    assert tool["function"]["strict"] is True
    assert tool["function"]["parameters"]["additionalProperties"] is False
    assert "additionalProperties" not in PARAMETERS


def test_a_function_without_parameters_is_one() -> None:
    assert openai_tools([{"name": "ping"}]) == [{"type": "function", "function": {"name": "ping"}}]


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"x": schema}}


WRONG: dict[str, tuple[Any, str]] = {
    "a space in the name": ({**FUNCTION, "name": "the weather"}, "tools[0].name"),
    "a name of 65": ({**FUNCTION, "name": "x" * 65}, "tools[0].name"),
    "a name with a line break": ({**FUNCTION, "name": "weather\n"}, "tools[0].name"),
    "no name": ({"type": "function", "function": {"description": "?"}}, "tools[0].function.name"),
    "a name that is a number": ({"type": "function", "function": {"name": 5}}, "tools[0].function.name"),
    "no function": ({"type": "function", "function": "weather"}, "tools[0].function"),
    "an unknown field": ({"type": "function", "function": {**FUNCTION, "color": 1}}, "tools[0].function.color"),
    "an unknown field beside": ({**OPENAI, "color": 1}, "tools[0].color"),
    "a vendor's own tool": ({"type": "web_search_preview"}, "tools[0].type"),
    "Google's own tool": ({"google_search": {}, "function_declarations": []}, "tools[0].google_search"),
    "a description that is none": ({**FUNCTION, "description": ["?"]}, "tools[0].description"),
    "strict that is none": ({**FUNCTION, "strict": "yes"}, "tools[0].strict"),
    "parameters that are none": ({**FUNCTION, "parameters": ["city"]}, "tools[0].parameters"),
    "parameters without names": ({**FUNCTION, "parameters": {"type": "array"}}, "tools[0].parameters.type"),
    "a property that is none": (
        {**FUNCTION, "parameters": {"properties": {"city": "string"}}},
        "tools[0].parameters.properties.city",
    ),
    "required that is none": ({**FUNCTION, "parameters": {"required": "city"}}, "tools[0].parameters.required"),
    "a schema too deep": ({**FUNCTION, "parameters": nested(80)}, "tools[0]"),
    "a schema too large": ({**FUNCTION, "description": "x" * 70_000}, "tools[0]"),
    "nothing": (None, "tools[0]"),
    "a number": (5, "tools[0]"),
    "text": ("weather", "tools[0]"),
}


@pytest.mark.parametrize(("declared", "param"), WRONG.values(), ids=WRONG)
def test_what_no_vendor_takes_is_refused_by_field(declared: Any, param: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        openai_tools([declared])
    assert refused.value.param == param
    assert refused.value.message.startswith(param)


def test_the_index_is_told() -> None:
    with pytest.raises(InvalidInputError, match=r"^functions\[1\]\.name: "):
        openai_tools([FUNCTION, {"name": "?"}], param="functions")


@pytest.mark.parametrize("second", [OPENAI, {"function_declarations": [{"name": "weather"}]}])
def test_two_tools_of_one_name_are_refused(second: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="two tools are called 'weather'"):
        RunRequest.of("hi", tools=[FUNCTION, second])


def test_more_tools_than_one_can_declare_are_refused() -> None:
    endless = ({"name": f"tool{i}"} for i in range(10**9))
    with pytest.raises(InvalidInputError, match="more than the 512 tools"):
        openai_tools(endless)


@pytest.mark.parametrize("tools", ["weather", FUNCTION, 5, b"x"])
def test_tools_are_a_list(tools: Any) -> None:
    with pytest.raises(InvalidInputError, match="tools must be a list"):
        openai_tools(tools)


def test_functions_and_function_call_ask_for_a_run_as_tools_do() -> None:
    request = RunRequest.of("hi", functions=[FUNCTION], function_call={"name": "weather"})
    assert request.tools == (OPENAI,)
    assert request.tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert RunRequest.of("hi", functions=[FUNCTION], function_call="none").tool_choice == "none"


def test_functions_stand_beside_tools() -> None:
    request = RunRequest.of("hi", tools=[{"name": "a"}], functions=[{"name": "b"}])
    assert [tool["function"]["name"] for tool in request.tools] == ["a", "b"]
    with pytest.raises(InvalidInputError, match="rename one"):
        RunRequest.of("hi", tools=[FUNCTION], functions=[FUNCTION])


@pytest.mark.parametrize("choice", ["required", {"name": 5}, {"name": "a", "b": 1}, 5, {}])
def test_a_function_call_that_is_none_is_refused(choice: Any) -> None:
    with pytest.raises(InvalidInputError, match="function_call must be"):
        RunRequest.of("hi", functions=[FUNCTION], function_call=choice)


def test_a_choice_is_made_once() -> None:
    with pytest.raises(InvalidInputError, match="not both"):
        RunRequest.of("hi", functions=[FUNCTION], function_call="auto", tool_choice="auto")
