"""A thread that is deleted while a run is on it stays deleted."""

import pytest

from tests.crash.harness import Processes
from tests.crash.scenarios import a_deleted_thread

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("place", "words"),
    [("model", ""), ("midway", ""), ("answered", ""), ("tool", " put log"), ("effect", " log"), ("effect", " graph")],
)
async def test_a_deleted_thread_stays_deleted_and_its_id_begins_anew(
    processes: Processes, place: str, words: str
) -> None:
    turn = await a_deleted_thread(processes, place, words=words)
    assert turn.failure is not None
    assert turn.failure["failed"] == "thread_deleted"
    assert "deleted" in turn.failure["message"]
