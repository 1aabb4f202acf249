"""Each key has its turn; one that fails waits, ever longer, and holds up no other."""

import asyncio

from agentgraph.memory.rounds import Rounds


def rounds(job, **options) -> Rounds[str]:
    return Rounds(job, **({"at_once": 2, "first_pause_s": 0.01, "longest_pause_s": 0.02} | options))


async def test_what_is_started_while_it_runs_runs_once_more() -> None:
    runs: list[str] = []
    gate = asyncio.Event()

    async def job(key: str) -> bool:
        runs.append(key)
        await gate.wait()
        return True

    under_way = rounds(job)
    for _ in range(3):
        under_way.start("a")
        await asyncio.sleep(0)
    gate.set()
    await under_way.settled()
    assert runs == ["a", "a"]
    assert not under_way.is_busy


async def test_what_fails_is_tried_again_and_others_do_not_wait(caplog) -> None:
    failures = [RuntimeError("no"), None, None]
    done: list[str] = []

    async def job(key: str) -> bool:
        if key == "a" and failures:
            if failure := failures.pop(0):
                raise failure
            return False
        done.append(key)
        return True

    under_way = rounds(job, at_once=1)
    under_way.start("a")
    under_way.start("b")
    await under_way.settled()
    assert done == ["b", "a"]


async def test_closing_ends_pauses_at_once_and_work_after_a_time() -> None:
    async def job(key: str) -> bool:
        if key == "hangs":
            await asyncio.sleep(60)
        return False

    under_way = rounds(job, first_pause_s=60, longest_pause_s=60)
    under_way.start("hangs")
    under_way.start("fails")
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await under_way.aclose(timeout_s=0.05)
    assert not under_way.is_busy
