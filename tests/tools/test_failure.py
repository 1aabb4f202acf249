"""A model is told why a tool failed, and nothing of the machine it failed on."""

from typing import Any

import pytest
from langchain_core.tools import ToolException
from pydantic import BaseModel, ValidationError

from agentgraph.errors import NotFoundError
from agentgraph.tools.failure import arguments_at_fault, failure_in_words

TRACE = 'Traceback (most recent call last):\n  File "/srv/app/pay.py", line 3, in pay\n    raise X\nX: no'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such city"), "The tool 'f' failed: ValueError: no such city"),
        (ValueError(), "The tool 'f' failed: ValueError"),
        (ToolException("closed on Sundays"), "The tool 'f' failed: closed on Sundays"),
        (NotFoundError("there is no file 'a'"), "The tool 'f' failed: there is no file 'a'"),
        (ExceptionGroup("some", [ExceptionGroup("more", [KeyError("x")])]), "The tool 'f' failed: KeyError: 'x'"),
        (RuntimeError(f"went wrong\n{TRACE}"), "The tool 'f' failed: RuntimeError: went wrong"),
        (RuntimeError("one\n  two\x00"), "The tool 'f' failed: RuntimeError: one two\ufffd"),
    ],
)
def test_a_failure_is_told_in_a_line(error: Exception, words: str) -> None:
    assert failure_in_words("f", error) == words


@pytest.mark.parametrize(
    "text",
    [
        "[Errno 2] No such file or directory: '{secret}'",
        "cannot open {secret}: denied",
    ],
)
@pytest.mark.parametrize(
    "path", ["/srv/agent/keys.db", "~/.ssh/id_rsa", "/root", "C:\\Users\\ann\\keys.txt", "\\\\host\\share\\a"]
)
def test_no_path_is_told(text: str, path: str) -> None:
    words = failure_in_words("f", OSError(text.format(secret=path)))
    assert path not in words
    assert "[path]" in words
    assert path in failure_in_words("f", ToolException(f"choose another than {path}"))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Invalid key: sk-proj-abcdefghij0123456789", "sk-proj-abcdefghij0123456789"),
        ("401 for https://api.example.com/v1?key=hunter2&q=x", "hunter2"),
        ("connect to postgresql://bob:hunter2@db:5432/x failed", "hunter2"),
        ("header Authorization: Bearer abc.def-123", "abc.def-123"),
        ("api_key=hunter2 is wrong", "hunter2"),
        ('{"password": "hunter2"}', "hunter2"),
        ("token eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.s5fd8a", "eyJhbGciOiJIUzI1"),
        ("refused 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"),
    ],
)
@pytest.mark.parametrize("kind", [ValueError, ToolException])
def test_no_secret_is_told(text: str, secret: str, kind: type[Exception]) -> None:
    words = failure_in_words("f", kind(text))
    assert secret not in words
    assert "[hidden]" in words


@pytest.mark.parametrize("text", ["no city 'Rome' and/or 'Paris'", "see https://example.com/docs/errors", "5 / 3 = 2"])
def test_what_is_harmless_stays(text: str) -> None:
    assert text in failure_in_words("f", ValueError(text))


def test_a_long_failure_is_cut() -> None:
    words = failure_in_words("f", ValueError("word " * 100_000))
    assert len(words) < 600
    assert words.endswith(" …")


class Arguments(BaseModel):
    amount: int
    to: list[str]


def fault(**arguments: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Arguments(**arguments)
    return caught.value


def test_each_argument_at_fault_is_named() -> None:
    words = arguments_at_fault("pay", fault(amount="lots", to=["a", 3]))
    assert words.startswith("The arguments of 'pay' are not valid, and it was not run: amount: Input should be a valid")
    assert "; to.1: Input should be a valid string" in words


def test_of_many_faults_a_few_are_named() -> None:
    words = arguments_at_fault("pay", fault(amount=1, to=list(range(1000))))
    assert words.endswith("; and 990 more")
    assert len(words) < 2500
