"""A process that dies at a certain place, and one that dies while it carries on what the first one left."""

import asyncio
import random

import pytest

from tests.crash.child import FAIL_POINTS, PASSED
from tests.crash.harness import Processes, check_effects, check_recovered
from tests.crash.seeds import scaled, seed

pytestmark = pytest.mark.integration

PLACES = [*FAIL_POINTS, *PASSED]
IN_RECOVERY = ("before a run is taken over", "after a run is taken over")
TOOLS = " put put log graph"


async def crash(processes: Processes, place: str, countdown: int, name: str, draw: random.Random) -> None:
    """Talk, two at a time, to a process that dies at a place as it comes there for the n-th time."""
    settings = {"live_window_tokens": 500} if "window" in place else {}
    fail = {} if place in IN_RECOVERY else {place: countdown}
    child = await processes.start(tools=True, pace_ms=2, seed=draw.random(), fail=fail, settings=settings)
    for turn in range(40):
        two = [child.say(f"q{name}.{turn}{half}{TOOLS}", plainly=draw.random() < 0.3) for half in "ab"]
        if place in IN_RECOVERY and turn == 1:
            await two[0].accepted.wait()
            await child.killed()
        for each in two:
            await each.ended()
        if not child.is_running:
            return await child.dead()
    raise AssertionError(f"the process never came to {place!r}")


@pytest.mark.parametrize("place", PLACES)
async def test_a_crash_loses_nothing_and_repeats_nothing(processes: Processes, place: str) -> None:
    draw = random.Random(f"{seed()} {place}")
    for number in range(scaled(1)):
        await crash(processes, place, draw.randint(1, 3), f"c{number}", draw)
        # Whoever carries on may die over it too: at once, or a little later.
        again = place if place in IN_RECOVERY else draw.choice([place, "after a run is taken over", "tool", "model"])
        second = await processes.start(tools=True, seed=draw.random(), fail={again: 1})
        await asyncio.sleep(0.2)
        await second.killed()
        child = await processes.start(tools=True, seed=draw.random())
        await processes.settled()
        await check_recovered(processes, child)
        usable = await child.say(f"qafter.{number}{TOOLS}").ended()
        assert usable.is_answered, usable.failure
        check_effects(processes.directory, await check_recovered(processes, child))
        await child.killed()
