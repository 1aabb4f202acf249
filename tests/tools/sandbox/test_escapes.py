"""No attempt of `escapes.py` gets anything, and each is refused for the reason that was meant to refuse it."""

from __future__ import annotations

import asyncio
import re

import pytest

from agentgraph.errors import SandboxError
from agentgraph.tools.sandbox import Sandbox
from tests.tools.sandbox.conftest import SECRET, Canary
from tests.tools.sandbox.escapes import ESCAPES, Escape

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("attempt", ESCAPES, ids=lambda attempt: attempt.name)
async def test_an_attempt_to_escape_gets_nothing(attempt: Escape, sandbox: Sandbox, canary: Canary):
    code = canary.fill_in(attempt.code)
    if attempt.refusal:
        with pytest.raises(SandboxError) as caught:
            await sandbox.run(code, function="f", arguments={"x": 1})
        told = str(caught.value)
        assert re.search(attempt.refusal, told, re.DOTALL), told
    else:
        result = await sandbox.run(code, function="f", arguments={"x": 1})
        assert result.value == attempt.value
        told = repr(result)
    assert SECRET not in told
    assert "root:" not in told
    assert not canary.path.exists()
    assert not canary.reached
    after = await sandbox.run("def f(x):\n return x + 1", function="f", arguments={"x": 1})
    assert after.value == 2


async def test_there_are_enough_attempts_and_no_two_alike():
    assert len({attempt.name for attempt in ESCAPES}) == len(ESCAPES) >= 60


async def test_the_canaries_sing(canary: Canary):
    """The guards above would go red: a connection is counted, and the file's place can be written."""
    _, writer = await asyncio.open_connection("127.0.0.1", canary.port)
    writer.close()
    canary.path.write_text("x")
    assert canary.path.exists()
    canary.path.unlink()
    for _ in range(100):
        if canary.reached:
            break
        await asyncio.sleep(0.01)
    assert canary.reached
    canary.reached.clear()
