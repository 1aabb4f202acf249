"""What goes wrong, from beginning to end, with what has to hold afterwards.

Each is played twice: with every guard in place, where it passes, and without the one it is about (`without`, as
`child.py` names them), where it must not.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.crash.child import effects_of
from tests.crash.harness import (
    Processes,
    Turn,
    check_effects,
    check_history,
    check_recovered,
    database_of,
    key_of,
    read,
)

Guards = Sequence[str]
HOUR_S, DAY_S = 3600.0, 86_400.0


async def a_paused_holder(
    processes: Processes,
    place: str = "model",
    *,
    threads: int = 1,
    words: str = "",
    after_s: float | None = None,
    ttl_s: float = 0.6,
    without: Guards = (),
) -> Counter[str]:
    """Stop a process that holds threads until another has taken them over, then let it go on; count what it tried.

    Args:
        processes: Where.
        place: Where its runs are; anywhere with `after_s`.
        threads: On how many threads.
        words: Said with every question.
        after_s: Stop it so long after its runs began, wherever they are.
        ttl_s: How long a lease lasts.
        without: Guards to be switched off.
    """
    options: dict[str, Any] = {"tools": True, "ttl_s": ttl_s, "without": list(without)}
    paused = await processes.start(pace_ms=30 if after_s is not None else 0, **options)
    other = await processes.start(gates_open=True, **options)
    names = [f"{place}{n}" for n in range(threads)]
    for name in names:  # one turn before, so that there is something to write over
        assert (await other.say(f"q{name}.first{words}", thread=name).ended()).is_answered
        if after_s is None:
            await paused.do("close", f"q{name}.paused@{place}")
    mine = [paused.say(f"q{name}.paused{words}", thread=name) for name in names]
    if after_s is None:
        for name in names:
            # Every tool comes there, side by side with the others.
            await paused.at(place, f"q{name}.paused", times=len(words.split()) if place in {"tool", "effect"} else 1)
        await paused.paused_outside_of(database_of(processes.directory), effects_of(processes.directory))
    else:
        await asyncio.sleep(after_s)
        paused.signal(signal.SIGSTOP)
    theirs = [other.say(f"q{name}.other{words}", thread=name) for name in names]
    # Stopped in the middle of a write, it keeps everybody out of the file until it goes on.
    with suppress(TimeoutError):
        async with asyncio.timeout(10 if after_s is None else 4 * ttl_s):
            await asyncio.gather(*(turn.over.wait() for turn in theirs))
    found = Counter(taken_over=sum(turn.is_acknowledged for turn in theirs))
    if after_s is None:
        for name in names:
            paused._send("open", f"q{name}.paused@{place}")  # it hears of this when it goes on
    paused.signal(signal.SIGCONT)
    for turn in (*mine, *theirs):
        await turn.ended()
    for name in names:
        assert (await paused.say(f"q{name}.last{words}", thread=name).ended()).is_answered
    await processes.settled()
    found["late_writes"] = await paused.do("late_writes")
    for turn in processes.turns:
        assert turn.is_answered, f"{turn.text!r}: {turn.failure}"
    fresh = await processes.start(tools=True)
    everything = []
    for name in sorted({turn.thread for turn in processes.turns}):
        everything += await check_recovered(processes, fresh, name)
    check_effects(processes.directory, everything)
    for child in (paused, other, fresh):
        await child.killed()
    return found


async def a_change_during_a_run(processes: Processes, *, without: Guards = ()) -> None:
    """Change a thread, as its shortening does, while another process's run is on it."""
    holder = await processes.start(without=list(without), ttl_s=1.0)
    other = await processes.start(without=list(without), ttl_s=1.0)
    turn = holder.say("q0 @model")
    await holder.at("model", "q0")
    changing = asyncio.ensure_future(other.do("touch", "t"))
    await asyncio.wait([changing], timeout=0.5)
    try:
        assert not changing.done(), "a thread was changed while a run was on it"
    finally:
        await holder.do("open", "q0@model")
        await turn.ended()
        await changing
    assert turn.is_answered
    check_history(await other.do("history", "t"), processes.turns, processes.rows())


async def a_crash_after_an_effect(processes: Processes, *, without: Guards = ()) -> str:
    """Kill a process between a tool's effect and its result, where the tool can not be run again; return the result."""
    first = await processes.start(tools=True, fail={"effect": 1}, without=list(without))
    turn = first.say("q0 log")
    await turn.ended()
    assert not turn.is_acknowledged
    await first.dead()
    second = await processes.start(tools=True, without=list(without))
    await processes.settled()
    history = await check_recovered(processes, second)
    check_effects(processes.directory, history)
    return next(message["text"] for message in history if message["type"] == "tool")


async def a_deleted_thread(
    processes: Processes,
    place: str = "model",
    *,
    words: str = "",
    way: str = "delete",
    by_holder: bool = False,
    without: Guards = (),
) -> Turn:
    """Delete a thread while a run is on it, and go on with its id; return the run that was on it."""
    holder = await processes.start(tools=True, without=list(without))
    other = await processes.start(tools=True, without=list(without))
    assert (await holder.say(f"qbefore{words}").ended()).is_answered
    await holder.do("close", f"q0@{place}")
    turn = holder.say(f"q0{words}")
    await holder.at(place, "q0")
    await (holder if by_holder else other).do(way, "t")
    assert_gone(processes, but=("threads",))
    await holder.do("open", f"q0@{place}")
    await turn.ended()
    await asyncio.sleep(0.05)
    assert_gone(processes)
    assert await other.do("history", "t") == []
    fresh = [child.say(f"q{name}.after{words}") for name, child in (("h", holder), ("o", other))]
    for each in fresh:
        assert (await each.ended()).is_answered, each.failure
    check_history(await holder.do("history", "t"), fresh, processes.rows())
    return turn


def assert_gone(processes: Processes, thread: str = "t", *, but: Sequence[str] = ()) -> None:
    """See to it that no table holds anything of a thread but that it was deleted."""
    path = database_of(processes.directory)
    for (table,) in read(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'threads'"):
        if "thread_id" in [name for _, name, *_ in read(path, f"PRAGMA table_info({table})")]:
            rows = read(path, f"SELECT * FROM {table} WHERE thread_id = ?", key_of(thread))
            assert rows == [], f"{table} holds {len(rows)} rows of a deleted thread"
    if "threads" not in but:
        assert read(path, "SELECT deleted FROM threads WHERE thread_id = ?", key_of(thread)) == [(1,)], "no tombstone"


async def a_request_sent_twice(processes: Processes, *, without: Guards = ()) -> None:
    """Send a request again, while it is under way, after it, and from another process."""
    first = await processes.start(without=list(without))
    second = await processes.start(without=list(without))
    turn = first.say("q0 @model", is_retry=True)
    await first.at("model", "q0")
    again = [child.say("q0 @model", is_retry=True) for child in (first, second)]
    await again[0].accepted.wait()
    await asyncio.sleep(0.1)  # the other process hears of it when it is over
    for child in (first, second):
        await child.do("open", "q0@model")
    for each in (turn, *again):
        await each.ended()
    later = await second.say("q0 @model", is_retry=True).ended()
    assert all(each.is_answered for each in (turn, *again, later))
    assert {each.run_id for each in (*again, later)} == {turn.run_id}, "a repeated request was run again"
    check_history(await first.do("history", "t"), [turn], processes.rows())


async def a_call_nobody_answered(processes: Processes, *, without: Guards = ()) -> None:
    """Let a client leave a tool call of its own unanswered, and go on talking to a model that refuses that."""
    child = await processes.start(without=list(without))
    tool = {"type": "function", "function": {"name": "put", "parameters": {"type": "object", "properties": {}}}}
    called = await child.say("q0 put", tools=[tool]).ended()
    assert called.calls
    later = await child.say("q1").ended()
    assert later.is_answered, later.failure


async def a_crash_in_the_model(processes: Processes, *, without: Guards = ()) -> None:
    """Kill a process while its model is asked: the run was accepted, so somebody answers it."""
    first = await processes.start(without=list(without))
    turn = first.say("q0 @model")
    await first.at("model", "q0")
    assert turn.run_id is not None, "asked before it was accepted"
    await first.killed()
    second = await processes.start(gates_open=True, without=list(without))
    await processes.settled()
    await check_recovered(processes, second)


async def clocks_that_are_set(
    processes: Processes, offsets_s: Sequence[float], *, crash: bool = False, without: Guards = ()
) -> None:
    """Set the clock before every turn, in one process and between processes; nothing is hidden, or out of order."""
    heads: list[str] = []
    for number, offset_s in enumerate(offsets_s):
        child = await processes.start(tools=True, clock_s=offset_s, without=list(without))
        for turn, within_s in enumerate((0.0, -HOUR_S, DAY_S)):
            await child.do("clock", offset_s + within_s)
            said = await child.say(f"q{number}.{turn} put").ended()
            assert said.is_answered, said.failure
            check_history(await child.do("history", "t"), processes.turns, processes.rows())
            listed = await child.do("checkpoints", "t")
            heads.append(listed[0])
            assert [head for head in reversed(listed) if head in heads] == heads, "listed out of order"
        await (child.killed() if crash else child.quit())
