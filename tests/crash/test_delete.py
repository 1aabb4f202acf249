"""A thread that is deleted while a run is on it stays deleted."""

import pytest

from tests.crash.harness import Processes
from tests.crash.scenarios import a_deleted_thread

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("place", "words"),
    [("model", ""), ("midway", ""), ("answered", ""), ("tool", " put log"), ("effect", " log"), ("effect", " graph")],
)
@pytest.mark.parametrize("way", ["delete", "delete_for_good"])
@pytest.mark.parametrize("by_holder", [True, False], ids=["by its process", "by another"])
async def test_a_deleted_thread_stays_deleted_and_its_id_begins_anew(
    processes: Processes, place: str, words: str, way: str, by_holder: bool
) -> None:
    turn = await a_deleted_thread(processes, place, words=words, way=way, by_holder=by_holder)
    assert turn.failure is not None
    # A process that deletes asks its own run to be undone first.
    assert turn.failure["failed"] in {"thread_deleted", *(["rolled_back"] if way == "delete_for_good" else [])}
    assert turn.failure["kind"] == "RunCancelledError"
