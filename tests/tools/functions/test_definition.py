"""What a function may be registered with: whatever else is given is refused by name, however hostile, and quickly."""

from typing import Any

import pytest

from agentgraph.errors import InvalidInputError
from agentgraph.tools.functions.arguments import ArgumentCheck
from agentgraph.tools.functions.definition import FunctionDefinition

CODE = "def add(a): return a"
A = {"name": "a", "type": "integer"}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "1st",
        "_add",
        "a-b",
        "a b",
        "a.b",
        "../add",
        "add\n",
        "add\0",
        "\ud800",
        "класс",
        "class",
        "None",
        "a" * 65,
        "a" * 1_000_000,
        None,
        7,
        ["add"],
    ],
)
def test_a_name_that_is_none_is_refused_in_few_words(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a function") as refused:
        FunctionDefinition.of(name, "Add.", [A], CODE)
    assert refused.value.param == "name"
    assert len(refused.value.message) < 600
    refused.value.message.encode()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        (None, "empty"),
        (b"def add(a): ...", "empty"),
        ("#" * 65_537, "at most 64 KB"),
        ("#" * 1_000_000, "at most 64 KB"),
        ("#" + "é" * 40_000, "at most 64 KB"),
        ("def add(a):\n    return '\0'", "line 2: NUL"),
        ("def add(a):\n    return '\ud800'", "line 2: NUL"),
    ],
)
def test_code_that_cannot_be_kept_is_refused(code: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        FunctionDefinition.of("add", "Add.", [A], code)
    assert refused.value.param == "code"


@pytest.mark.parametrize("description", ["", "  ", None, 7, "x" * 4_097])
def test_a_description_is_needed_and_bounded(description: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        FunctionDefinition.of("add", description, [A], CODE)
    assert refused.value.param == "description"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (None, "must be a list"),
        ({"a": "integer"}, "must be a list"),
        ("a", "must be a list"),
        (["a"], "parameters.0"),
        ([{"type": "integer"}], "parameters.0.name"),
        ([{"name": "a"}], "parameters.0.type"),
        ([{"name": "a", "type": "integr"}], "'integr': Input should be 'string', 'integer', 'number', 'boolean'"),
        ([{"name": "a", "type": "set"}], "'set'"),
        ([{"name": "a", "type": ["integer", "null"]}], "parameters.0.type"),
        ([{**A, "required": "yes"}], "parameters.0.required"),
        ([{**A, "default": 3}], "parameters.0.default"),
        ([A, A], "two parameters are called 'a'"),
        ([{**A, "name": "self!"}], "cannot name a parameter"),
        ([{**A, "name": "_a"}], "cannot name a parameter"),
        ([{**A, "name": "lambda"}], "cannot name a parameter"),
        ([{**A, "name": f"a{number}"} for number in range(65)], "at most 64 fit"),
        ([{"name": "a", **nested(30)}], "at most 8 levels"),
        ([{"name": "a", **nested(70)}], "levels of nesting"),
        ([{"name": "a", **nested(5_000)}], "levels of nesting"),
        ([{"name": "a", "type": "string", "enum": [str(each) for each in range(1_001)]}], "1000 values"),
        ([{"name": "a", "type": "number", "enum": [float("nan")]}], "JSON has no number for"),
        ([{"name": "a", "type": "integer", "enum": [2**70]}], "64 bits"),
        ([{**A, "description": object()}], "not JSON"),
    ],
)
def test_parameters_that_are_none_are_refused_by_place(parameters: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        FunctionDefinition.of("add", "Add.", parameters, CODE)
    assert said in refused.value.message
    assert refused.value.param == "parameters"


def test_pythons_names_of_types_are_taken_for_jsons() -> None:
    names = ["str", "int", "float", "bool", "list", "dict"]
    parameters = [{"name": f"a{place}", "type": name} for place, name in enumerate(names)]
    taken = FunctionDefinition.of("add", "Add.", parameters, CODE).parameters
    assert [each.type for each in taken] == ["string", "integer", "number", "boolean", "array", "object"]


def test_what_is_unreadable_in_a_description_is_replaced() -> None:
    made = FunctionDefinition.of("add", "Add\0 \ud800.", [{**A, "description": "\0"}], CODE)
    assert made.description == "Add\ufffd \ufffd."
    assert made.parameters[0].description == "\ufffd"


RICH = FunctionDefinition.of(
    "ship",
    "Ship.",
    [
        {"name": "self", "type": "string", "enum": ["fast", "slow"]},
        {"name": "json", "type": "array", "items": {"type": "integer"}},
        {"name": "config", "type": "object", "properties": {"x": {"type": "number"}}, "required": False},
        {"name": "model_fields", "type": "boolean", "required": False},
    ],
    CODE,
)


def test_arguments_come_in_their_types_whatever_they_are_called() -> None:
    given = {"self": "fast", "json": ["1", 2], "config": {"x": "1.5"}, "model_fields": "true"}
    assert ArgumentCheck(RICH)(given) == {"self": "fast", "json": [1, 2], "config": {"x": 1.5}, "model_fields": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "self: Field required; json: Field required"),
        ({"self": "medium", "json": []}, "self: Input should be 'fast' or 'slow'"),
        ({"self": "fast", "json": [1, "x"]}, "json.1"),
        ({"self": "fast", "json": [], "config": {}}, "config.x: Field required"),
        ({"self": "fast", "jsn": [], "json": []}, "jsn: no such parameter; is 'json' meant?"),
        ({"self": "fast", "json": [None]}, "json.0"),
        ({"self": "fast", "json": [2**70]}, "64 bits"),
        ({"self": "fast", "json": [float("inf")]}, "JSON has no number for"),
        (["fast"], "must be an object"),
        ({f"a{number}": 1 for number in range(50)}, "and 42 more"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        ArgumentCheck(RICH)(arguments)
    assert said in refused.value.message
    assert refused.value.param == "arguments"
