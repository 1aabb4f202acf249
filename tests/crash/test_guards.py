"""Every guard is needed: what passes with it does not pass without it."""

from functools import partial
from typing import Any

import pytest

from tests.crash import scenarios
from tests.crash.child import GUARDS
from tests.crash.harness import Processes

pytestmark = pytest.mark.integration

SCENARIOS: dict[str, Any] = {
    "lease": scenarios.a_change_during_a_run,
    "fence": scenarios.a_paused_holder,
    "ledger": scenarios.a_crash_after_an_effect,
    "tombstone": scenarios.a_deleted_thread,
    "dedupe": scenarios.a_request_sent_twice,
    "repair": scenarios.a_call_nobody_answered,
    "head": partial(scenarios.clocks_that_are_set, offsets_s=(0.0, -3 * scenarios.DAY_S)),
    "acceptance": scenarios.a_crash_in_the_model,
}


def test_every_guard_has_its_scenario() -> None:
    assert set(SCENARIOS) == set(GUARDS)


@pytest.mark.parametrize("guard", SCENARIOS)
async def test_with_all_guards_nothing_goes_wrong(processes: Processes, guard: str) -> None:
    await SCENARIOS[guard](processes)


@pytest.mark.parametrize("guard", SCENARIOS)
async def test_without_its_guard_something_does(processes: Processes, guard: str) -> None:
    with pytest.raises(AssertionError) as seen:
        await SCENARIOS[guard](processes, without=[guard])
    print(f"without {guard}: {seen.value}")
