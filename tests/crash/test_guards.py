"""Every guard is needed: what passes with it does not pass without it."""

from functools import partial
from typing import Any

import pytest

from tests.crash import scenarios
from tests.crash.child import GUARDS
from tests.crash.harness import Processes

pytestmark = pytest.mark.integration

# Guard: what it guards against, and what is seen without it.
SCENARIOS: dict[str, tuple[Any, str]] = {
    "lease": (scenarios.a_change_during_a_run, "changed while a run was on it"),
    "fence": (scenarios.a_paused_holder, "acknowledged and lost|kept twice|followed by"),
    "ledger": (scenarios.a_crash_after_an_effect, "done twice"),
    "tombstone": (scenarios.a_deleted_thread, "rows of a deleted thread"),
    "dedupe": (scenarios.a_request_sent_twice, "run again"),
    "repair": (scenarios.a_call_nobody_answered, "ModelAPIError"),
    "head": (
        partial(scenarios.clocks_that_are_set, offsets_s=(0.0, -3 * scenarios.DAY_S)),
        "acknowledged and lost",
    ),
    "acceptance": (scenarios.a_crash_in_the_model, "accepted and forgotten"),
}


def test_every_guard_has_its_scenario() -> None:
    assert set(SCENARIOS) == set(GUARDS)


@pytest.mark.parametrize("guard", SCENARIOS)
async def test_with_all_guards_nothing_goes_wrong(processes: Processes, guard: str) -> None:
    scenario, _ = SCENARIOS[guard]
    await scenario(processes)


@pytest.mark.parametrize("guard", SCENARIOS)
async def test_without_its_guard_something_does(processes: Processes, guard: str) -> None:
    scenario, seen = SCENARIOS[guard]
    with pytest.raises(AssertionError, match=seen):
        await scenario(processes, without=[guard])
