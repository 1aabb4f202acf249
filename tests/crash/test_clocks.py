"""A clock that is set back or forward hides nothing that was acknowledged, and changes no order."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.crash.harness import Nursery, Processes, check_history, database_of, read
from tests.crash.scenarios import DAY_S, HOUR_S, clocks_that_are_set
from tests.crash.seeds import scaled, seed

pytestmark = pytest.mark.integration

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


def libfaketime() -> list[Path]:
    """Return where the library is, as the system or the Python package of its name brings it."""
    package = find_spec("libfaketime")
    brought = Path(package.origin).parent.rglob("libfaketime.so.1") if package and package.origin else ()
    return [*brought, *(path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/")))]


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "killed"])
async def test_a_clock_set_between_processes_and_within_them_hides_nothing(processes: Processes, crash: bool) -> None:
    draw = random.Random(f"{seed()} clocks {crash}")
    offsets = [0.0, -HOUR_S, DAY_S, 0.0]
    offsets += [draw.choice([-1, 1]) * draw.uniform(0, 3 * DAY_S) for _ in range(scaled(3))]
    await clocks_that_are_set(processes, offsets, crash=crash)


async def test_processes_whose_clocks_differ_share_a_thread(processes: Processes) -> None:
    children = [await processes.start(clock_s=offset) for offset in (0.0, -HOUR_S, DAY_S)]
    draw = random.Random(f"{seed()} differ")
    for turn in range(scaled(20)):
        child = draw.choice(children)
        assert (await child.say(f"q{turn}").ended()).is_answered
        check_history(await draw.choice(children).do("history", "t"), processes.turns, processes.rows())


async def test_a_clock_set_for_the_whole_process_hides_nothing(tmp_path: Path) -> None:
    if not (found := libfaketime()):
        pytest.skip("libfaketime is not installed")
    said: list[Processes] = []
    for number, offset_s in enumerate((0, -3600, 86_400)):
        environment = {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{offset_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with Nursery(tmp_path / f"socket{number}", environment) as nursery:
            async with Processes(nursery, tmp_path) as processes:
                said.append(processes)
                child = await processes.start()
                assert (await child.say(f"q{number}").ended()).is_answered
                turns = [turn for each in said for turn in each.turns]
                check_history(await child.do("history", "t"), turns, processes.rows())
    accepted = [at for (at,) in read(database_of(tmp_path), "SELECT accepted_at FROM runs ORDER BY position")]
    assert accepted[1] < accepted[0] < accepted[2]
