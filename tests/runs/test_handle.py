"""What a run tells those who listen."""

import pytest

from agentgraph.errors import RunCancelledError
from agentgraph.events import RunFailed, RunStarted, TextDelta
from agentgraph.runs.handle import RunHandle


async def test_nothing_is_said_after_the_end() -> None:
    heard: list[object] = []
    handle = RunHandle("r", "acme")
    handle.observers = (heard.append,)
    ending = RunFailed(run_id="r", error=RunCancelledError("cancelled"))
    for event in (RunStarted(run_id="r", tenant="acme", thread="t", model="m"), ending, TextDelta(text="late"), ending):
        handle.tell(event)
    assert handle.ending is ending
    assert handle.events[1:] == heard[1:] == [ending]
    with pytest.raises(RunCancelledError):
        await handle.result()
