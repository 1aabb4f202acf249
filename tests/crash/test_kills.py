"""`kill -9` at any moment: what was acknowledged is there, what was accepted is answered, what was done is done."""

import asyncio
import random
from collections import Counter

import pytest

from tests.crash.harness import OPEN, Child, Processes, check_effects, check_recovered
from tests.crash.seeds import scaled, seed

pytestmark = pytest.mark.integration

KILLS = 20
RECOVERY_S = 5.0


async def talk(child: Child, draw: random.Random, name: str, words: str) -> None:
    """Say one thing after the other, now and then two at once, until the process is killed."""
    turn = 0
    while child.is_running:
        at_once = [
            child.say(f"q{name}.{turn + n}{words}", plainly=draw.random() < 0.3) for n in range(draw.choice([1, 1, 2]))
        ]
        turn += len(at_once)
        for each in at_once:
            await each.over.wait()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "words", ["", " put put log put", " graph put graph"], ids=["plain", "parallel tools", "a tool with a graph"]
)
async def test_kills_lose_nothing_and_repeat_nothing(
    processes: Processes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(f"{seed()} {words}")
    options = {"tools": bool(words), "pace_ms": 4}
    child = await processes.start(seed=draw.random(), **options)
    recoveries, left = [], Counter()
    for kill in range(scaled(KILLS)):
        talking = asyncio.ensure_future(talk(child, draw, f"k{kill}", words))
        await asyncio.sleep(draw.uniform(0, 0.25))
        await child.killed()
        await talking
        left.update(row["status"] for row in processes.rows() if row["status"] in OPEN)
        child = await processes.start(seed=draw.random(), **options)
        recoveries.append(await processes.settled(within_s=RECOVERY_S))
        await check_recovered(processes, child)
        usable = await child.say(f"qafter.{kill}{words}").ended()
        assert usable.is_answered, usable.failure
    history = await check_recovered(processes, child)
    effects = check_effects(processes.directory, history)
    acknowledged = sum(turn.is_acknowledged for turn in processes.turns)
    accepted = sum(turn.run_id is not None and not turn.is_acknowledged for turn in processes.turns)
    with capsys.disabled():
        print(
            f"\n{len(recoveries)} kills: {acknowledged} turns acknowledged, {accepted} accepted only, left open "
            f"{dict(left)}, recovered within {max(recoveries):.2f} s, effects {dict(effects)}"
        )
    assert left, "no kill met a run under way"
