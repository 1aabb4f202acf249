from __future__ import annotations

import pytest

from agentgraph.tools.sandbox import Problem, Sandbox, SandboxLimits
from tests.tools.sandbox.conftest import Canary

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}


async def check(code: str) -> list[str]:
    async with Sandbox(SandboxLimits(time_s=0.5)) as sandbox:
        return [str(each) for each in await sandbox.check(code, function="forecast", parameters=PARAMETERS)]


@pytest.mark.parametrize(
    "code",
    [
        "def forecast(city: str, days: int = 3) -> str:\n    return f'{city} {days}'",
        "def forecast(city, days=3):\n    return city",
        "def forecast(city: str, *, days: int | None = None, unit: str = 'C') -> dict:\n    return {city: unit}",
        "import math\ndef _half(n: int) -> float: return math.pi * n\ndef forecast(city, days=1): return _half(3)",
        "def forecast(city: str, days: float = 1) -> str:\n    'What for.'\n    return city + '\\d' * int(days)",
    ],
)
async def test_good_code_has_no_problems(code: str):
    assert await check(code) == []


@pytest.mark.parametrize(
    ("code", "place", "words"),
    [
        ("def forecast(city, days=1):\n    return (city", "line 2, column 17", "not valid Python: unexpected EOF"),
        ("def forecast(city, days=1):\n\treturn 1\n  x", "line 3, column 1", "unindent does not match"),
        ("def forecast(city, days=1):\n    yield city", "line 2, column 5", "build a list and return it"),
        ("class A(dict): pass\ndef forecast(city, days=1): pass", "line 1, column 1", "one class without bases"),
        ("def forecast(city, days=1):\n    del city", "line 2, column 5", r"use .pop()"),
        ("type A = int\ndef forecast(city, days=1): pass", "line 1, column 1", "write the type where it is used"),
        ("from math import *\ndef forecast(city, days=1): pass", "line 1, column 1", "import each name"),
        ("def forecast(city, days=1):\n    return t'{city}'", "line 2, column 12", "use an f-string"),
        ("import socket\ndef forecast(city, days=1): pass", "line 1, column 1", "'socket'; the sandbox has asyncio"),
        ("def forecast(city, days=1):\n    import enum", "line 2, column 12", "`enum`; the sandbox has asyncio"),
        (
            "def weather(city, days=1): pass",
            "line 1, column 1",
            "must define 'forecast' at its top level; it has weather",
        ),
        ("x = 1", "line 1, column 1", "it has no function at all"),
        ("def forecast(city, days=1): pass\ndef other(): pass", "line 2, column 1", "call this one '_other'"),
        ("def forecast(city, days=1): pass\n\ndef forecast(city, days=1): pass", "line 3, column 1", "defined twice"),
        ("async def forecast(city, days=1): pass", "line 1, column 1", "write def"),
        ("def forecast(city): pass", "line 1, column 1", "declared parameter 'days' is missing"),
        ("def forecast(city, days): pass", "line 1, column 20", "'days' is declared optional, and needs a default"),
        ("def forecast(city, days=1, *, unit): pass", "line 1, column 31", "'unit' is not among the declared"),
        ("def forecast(city, /, days=1): pass", "line 1, column 14", "leave the / out"),
        ("def forecast(city, days=1, **rest): pass", "line 1, column 30", "'rest' takes what is not declared"),
        ("def forecast(city: int, days: int = 1): pass", "line 1, column 14", "parameter 'city' as declared"),
        ("def forecast(city: str, days: str = ''): pass", "line 1, column 25", "parameter 'days' as declared"),
        (
            "def forecast(city: str, days: int = 1) -> int:\n    return city",
            "line 2, column 12",
            "expected `int`, found `str`",
        ),
        ("def forecast(city: str, days: int = 1):\n    return city.uper()", "line 2, column 12", "no attribute `uper`"),
        ("def forecast(city, days=1):\n    return cityy", "line 2, column 12", "`cityy`"),
        ("1 / 0\ndef forecast(city, days=1): pass", "line 1, column 1", "ZeroDivisionError"),
        ("while True: pass\ndef forecast(city, days=1): pass", "line 1, column 1", "did not finish within"),
        ("x = [0] * 10**12\ndef forecast(city, days=1): pass", "line 1, column 1", "needed more memory"),
        ("x = " + "(" * 3000 + "1" + ")" * 3000, "line 1, column ", "nested"),
        ("x = " + "-" * 30000 + "1", "line 1, column ", "nested"),
        ("x = " + "1+" * 20000 + "1", "line 1, column ", "nested"),
        ("#" * 70_000, "line 1, column 1", "65,536 are allowed"),
    ],
)
async def test_a_problem_is_told_with_its_place_and_what_to_write_instead(code: str, place: str, words: str):
    told = await check(code)
    assert any(each.startswith(place) and words in each for each in told), told


async def test_every_type_error_is_told_at_once():
    told = await check("def forecast(city: str, days: int = 1) -> int:\n    a: int = city\n    return city")
    assert [each.split(":")[0] for each in told] == ["line 2, column 14", "line 3, column 12"]


async def test_checking_touches_nothing_outside(canary: Canary):
    told = await check(f"open({str(canary.path)!r}, 'w')\ndef forecast(city, days=1): pass")
    assert "PermissionError" in told[0]
    assert not canary.path.exists()


async def test_a_name_that_is_no_name_is_a_problem():
    async with Sandbox() as sandbox:
        problems = await sandbox.check("def f(): pass", function="f()", parameters={})
    assert problems == [Problem(line=1, column=1, message="'f()' cannot be the name of a function.")]


async def test_hostile_names_of_parameters_are_no_code(canary: Canary):
    names = {"a): pass\nprint(1)\ndef g(b": {"type": "string"}, "class": {"type": "string"}}
    async with Sandbox() as sandbox:
        problems = await sandbox.check(
            "def f(): pass", function="f", parameters={"type": "object", "properties": names}
        )
    assert len(problems) == 2
    assert all("cannot be the name" in each.message for each in problems)
