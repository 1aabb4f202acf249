"""A process that stands still past its lease: another takes its threads over, and what it writes late is refused."""

import random
from collections import Counter

import pytest

from tests.crash.harness import Processes
from tests.crash.scenarios import a_paused_holder
from tests.crash.seeds import scaled, seed

pytestmark = pytest.mark.integration

THREADS = 10
WORDS = {"model": "", "midway": "", "answered": " put log", "tool": " put log", "effect": " put log graph"}


@pytest.mark.parametrize("place", WORDS)
async def test_what_a_paused_holder_writes_late_is_refused_and_its_caller_is_told_the_truth(
    processes: Processes, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await a_paused_holder(processes, place, threads=scaled(THREADS), words=WORDS[place])
    with capsys.disabled():
        print(f"\n{place}: {dict(found)} of {scaled(THREADS)}")
    assert found["taken_over"] == scaled(THREADS)
    assert found["late_writes"] > 0


async def test_a_holder_may_be_paused_at_any_moment(processes: Processes, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(f"{seed()} paused")
    found: Counter[str] = Counter()
    for number in range(scaled(2)):
        found += await a_paused_holder(
            processes, f"any{number}", threads=5, words=" put log", after_s=draw.uniform(0, 0.2)
        )
    with capsys.disabled():
        print(f"\nanywhere: {dict(found)} of {5 * scaled(2)}")
