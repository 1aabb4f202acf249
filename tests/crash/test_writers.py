"""Many writers on one thread, in one process and in several: nothing acknowledged is lost, doubled or out of place."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from agentgraph import AgentGraph
from agentgraph.run import RunRequest
from tests.crash.child import EchoModel, answer
from tests.crash.harness import Child, Processes, Turn, check_history
from tests.crash.seeds import scaled, seed

pytestmark = pytest.mark.integration

WRITERS = 64
TURNS = 5


async def write(child: Child, name: str, turns: int, **options: Any) -> list[Turn]:
    """Say some things one after the other, each once the one before is answered, undone or refused."""
    return [await child.say(f"q{name}.{turn}", plainly=turn % 2 == 1, **options).ended() for turn in range(turns)]


async def written(child: Child, **options: Any) -> list[Turn]:
    turns = await asyncio.gather(*(write(child, f"w{n}", scaled(TURNS), **options) for n in range(WRITERS)))
    return [turn for each in turns for turn in each]


async def check(processes: Processes, child: Child) -> list[dict[str, Any]]:
    """Check the thread, as a process that has just been started reads it."""
    await processes.settled()
    told = await child.do("history", "t")
    fresh = await processes.start()
    history = await fresh.do("history", "t")
    assert history == told
    check_history(history, processes.turns, processes.rows())
    return history


def failures(turns: list[Turn]) -> set[str]:
    return {turn.failure["failed"] for turn in turns if turn.failure is not None}


async def test_64_writers_who_wait_their_turn_lose_nothing(processes: Processes) -> None:
    child = await processes.start()
    turns = await written(child, on_busy="enqueue")
    assert all(turn.is_answered for turn in turns)
    history = await check(processes, child)
    assert len(history) == 2 * WRITERS * scaled(TURNS)


async def test_of_64_writers_at_once_one_wins_and_the_others_leave_nothing(processes: Processes) -> None:
    child = await processes.start()
    for round_number in range(scaled(TURNS)):
        # Who comes first stays in the model until all others were told.
        turns = [child.say(f"qw{n}.{round_number} @model", on_busy="reject") for n in range(WRITERS)]
        await child.until(lambda turns=turns: sum(turn.failure is not None for turn in turns) == WRITERS - 1)
        (winner,) = [turn for turn in turns if turn.failure is None]
        assert failures(turns) == {"thread_busy"}
        assert {turn.failure["kind"] for turn in turns if turn.failure} == {"ThreadBusyError"}
        await child.do("open", f"{winner.text.split()[0]}@model")
        assert (await winner.ended()).is_answered
    history = await check(processes, child)
    assert len(history) == 2 * scaled(TURNS)


async def test_64_writers_who_would_not_wait_leave_what_was_acknowledged_and_nothing_else(processes: Processes) -> None:
    child = await processes.start(pace_ms=2, seed=seed())
    turns = await written(child, on_busy="reject")
    assert failures(turns) <= {"thread_busy"}
    answered = [turn for turn in turns if turn.is_answered]
    assert answered
    history = await check(processes, child)
    assert len(history) == 2 * len(answered)


async def test_64_writers_who_interrupt_leave_all_they_said_and_the_last_is_answered(processes: Processes) -> None:
    child = await processes.start(pace_ms=2, seed=seed())
    turns = await written(child, on_busy="interrupt")
    assert failures(turns) == set()
    assert all(turn.is_acknowledged for turn in turns)
    assert any(turn.is_cancelled for turn in turns)
    history = await check(processes, child)
    assert sum(message["type"] == "human" for message in history) == len(turns)
    last = processes.rows()[-1]
    assert last["status"] == "finished"
    assert next(turn for turn in turns if turn.run_id == last["run_id"]).is_answered
    statuses = {row["run_id"]: row["status"] for row in processes.rows()}
    for turn in turns:
        assert statuses[turn.run_id] == ("cancelled" if turn.is_cancelled else "finished")


async def test_64_writers_who_undo_one_another_leave_what_was_acknowledged_and_nothing_else(
    processes: Processes,
) -> None:
    child = await processes.start(pace_ms=2, seed=seed())
    turns = await written(child, on_busy="rollback")
    assert failures(turns) == {"rolled_back"}
    answered = [turn for turn in turns if turn.is_answered]
    assert processes.rows()[-1]["status"] == "finished"
    history = await check(processes, child)
    assert {message["text"] for message in history if message["type"] == "human"} == {turn.text for turn in answered}
    assert len(history) == 2 * len(answered)


async def test_8_processes_on_one_thread_lose_nothing(processes: Processes) -> None:
    children = [await processes.start() for _ in range(8)]
    await asyncio.gather(*(write(child, f"p{n}", scaled(40)) for n, child in enumerate(children)))
    assert all(turn.is_answered for turn in processes.turns)
    history = await check(processes, children[0])
    assert len(history) == 2 * 8 * scaled(40)


async def test_8_processes_that_mix_all_ways_lose_nothing_that_was_acknowledged(processes: Processes) -> None:
    children = [await processes.start(pace_ms=4, seed=seed() + n) for n in range(8)]
    draw = random.Random(f"{seed()} mix")

    async def write_mixed(child: Child, name: str, ways: list[str]) -> None:
        for turn, way in enumerate(ways):
            await child.say(f"q{name}.{turn}", on_busy=way).ended()

    ways = [[draw.choice(["enqueue", "reject", "interrupt", "rollback"]) for _ in range(scaled(10))] for _ in children]
    await asyncio.gather(
        *(write_mixed(child, f"p{n}", mine) for n, (child, mine) in enumerate(zip(children, ways, strict=True)))
    )
    assert failures(processes.turns) <= {"thread_busy", "rolled_back"}
    history = await check(processes, children[0])
    kept = {message["text"] for message in history if message["type"] == "human"}
    assert kept == {turn.text for turn in processes.turns if turn.is_acknowledged}


async def test_a_run_and_a_change_that_is_no_run_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A run is accepted with its lease and comes through its process's turnstile later: neither may wait for both."""

    async def passing(place: str, text: str) -> None:
        pass

    async with AgentGraph(
        chat_model=EchoModel(script=answer, passing=passing), enable_memory=False, storage_dir=tmp_path
    ) as app:
        await app.run("q0", tenant="acme", thread="t")
        runner, runs = app._runner, []
        hold = runner.journal.hold

        async def hold_once_a_run_is_accepted(thread_id: str) -> Any:
            if not runs:
                runs.append(await runner.start(RunRequest.of("q1", tenant="acme", thread="t")))
            return await hold(thread_id)

        runner.journal.hold = hold_once_a_run_is_accepted
        async with asyncio.timeout(5):
            await runner.access.update("acme/thread/t", {"summary": "What was said before."})
            assert (await runs[0].result()).text == "re: q1"


async def test_8_processes_create_one_file_together(processes: Processes) -> None:
    for number in range(scaled(5)):
        directory = processes.directory / str(number)
        children = [await processes.start(directory) for _ in range(8)]
        turns = [child.say(f"q{number}.{n}") for n, child in enumerate(children)]
        for turn in turns:
            assert (await turn.ended()).is_answered, turn.failure
        check_history(await children[0].do("history", "t"), turns, processes.rows(directory))
        for child in children:
            await child.killed()
