"""`app.forget`: nothing of it is left on disk, and nothing brings it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from agentgraph import AgentGraph
from agentgraph.errors import AgentGraphError, InvalidInputError
from agentgraph.memory.record import Owed
from agentgraph.memory.write import write_episodes
from agentgraph.stores.vectors import pack
from agentgraph.testing import FrozenClock, HashEmbeddings
from agentgraph.tools.promises import promising

OpenApp = Callable[..., Any]
SAID = "I bought a violin from Xylander last week."
OTHER = "My sister is called Wilhelmina."


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "tenants"


@pytest.fixture
async def app(open_app: OpenApp) -> AgentGraph:
    opened, _ = await open_app(lambda messages, tools: "Very well.")
    return opened


def traces(storage: Path, *needles: str | bytes) -> list[str]:
    """Return the files that hold a needle, as text, as JSON or (bytes) as it is; journals and free pages included.

    A page may end in the middle of one: then one of its halves is whole.
    """
    spelt = [needle for each in needles for needle in ([each] if isinstance(each, bytes) else _spellings(each))]
    wanted = [part for needle in spelt for part in _parts(needle)]
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert files or not storage.exists()
    return [path.name for path in files if any(needle in path.read_bytes() for needle in wanted)]


def _spellings(text: str) -> Iterable[bytes]:
    return {text.encode(), text.lower().encode(), json.dumps(text).encode(), text.encode("utf-16-le")}


def _parts(needle: bytes) -> Iterable[bytes]:
    return [needle[: len(needle) // 2], needle[len(needle) // 2 :]] if len(needle) > 24 else [needle]


def vector_of(text: str) -> bytes:
    (vector,) = pack([HashEmbeddings().embed_query(text)])
    return vector


async def conversation(app: AgentGraph, *, user: str | None = "ann") -> str:
    """Say one thing on a thread, another besides, and ask for both on a second; return the first's key."""
    await app.run(SAID, tenant="acme", user=user, thread="t1")
    await app.run(OTHER, tenant="acme", user=user, thread="t3")
    await app.settled()
    asked = await app.run("What did I buy last week from Xyl?", tenant="acme", user=user, thread="t2")
    assert SAID in [memory["text"] for memory in asked.memories]
    await app.settled()
    (memory,) = [each for each in await app.memories.list(tenant="acme", user=user) if each.text == SAID]
    return memory.key


# No trace


async def test_a_memory_with_its_threads_leaves_no_trace_in_any_file(app: AgentGraph, storage: Path) -> None:
    key = await conversation(app)
    assert traces(storage, SAID)
    assert traces(storage, vector_of(SAID))

    receipt = await app.forget(tenant="acme", user="ann", memory=key, include_threads=True)

    assert traces(storage, SAID, "Xylander", vector_of(SAID)) == []
    assert traces(storage, OTHER)
    assert traces(storage, vector_of(OTHER))
    assert [(removed.place, removed.kind) for removed in receipt.removed] == [
        ("memory/user/ann", "episode"),
        ("threads", "recalled"),
        ("threads", "thread"),
    ]
    assert receipt.kept_threads == ()
    assert receipt.unfinished_runs == 0
    assert await app.history(tenant="acme", thread="t1") == []
    asked, _ = await app.history(tenant="acme", thread="t2")
    assert str(asked.text).startswith("What did I buy")
    await app.run("Go on.", tenant="acme", user="ann", thread="t2")
    assert len(await app.history(tenant="acme", thread="t2")) == 4


async def test_without_its_threads_the_receipt_names_the_conversation(app: AgentGraph, storage: Path) -> None:
    key = await conversation(app)
    receipt = await app.forget(tenant="acme", user="ann", memory=key)
    assert receipt.kept_threads == ("acme/thread/t1",)
    assert traces(storage, SAID) == ["threads.db"]
    assert [m.text for m in await app.history(tenant="acme", thread="t1")] == [SAID, "Very well."]
    found = await app.memories.search("violin from Xylander", tenant="acme", user="ann")
    assert SAID not in [memory["text"] for memory in [*found.kept, *found.left_out]]


async def test_a_thread_that_repeats_it_word_for_word_is_named_and_goes_along(open_app: OpenApp, storage: Path) -> None:
    def answer(messages: list[Any], tools: Any) -> str:
        return f"You said: {SAID}" if "from Xyl?" in str(messages) else "Very well."

    app, _ = await open_app(answer)
    key = await conversation(app)
    plan = await app.forget(tenant="acme", user="ann", memory=key, dry_run=True)
    assert plan.kept_threads == ("acme/thread/t1", "acme/thread/t2")
    await app.forget(tenant="acme", user="ann", memory=key, include_threads=True)
    assert traces(storage, SAID, "Xylander") == []
    assert len(await app.history(tenant="acme", thread="t3")) == 2


async def test_many_turns_later_no_page_holds_it(app: AgentGraph, storage: Path) -> None:
    key = await conversation(app)
    for number in range(25):
        await app.run(f"What did I buy from Xyl last week, {number}?", tenant="acme", user="ann", thread="t2")
        await app.memories.add(f"Filler {number}. " + "words " * 300, tenant="acme", user="ann")
    history = [str(message.text) for message in await app.history(tenant="acme", thread="t2")]
    await app.memories.update(key, "I bought a violin from Quentin last week.", tenant="acme", user="ann")
    await app.forget(tenant="acme", user="ann", memory=key, include_threads=True)
    assert traces(storage, SAID, "Xylander", "Quentin", vector_of(SAID)) == []
    assert [str(message.text) for message in await app.history(tenant="acme", thread="t2")] == history


async def test_a_tenant_leaves_nothing_at_all_and_can_begin_anew(app: AgentGraph, storage: Path) -> None:
    await conversation(app)
    await app.run(SAID, tenant="globex", thread="t1")
    await app.settled()
    receipt = await app.forget(tenant="acme")
    assert not (storage / "acme").exists()
    assert receipt.count >= 5
    assert await app.memories.list(tenant="acme") == []
    assert await app.history(tenant="acme", thread="t1") == []
    assert len(await app.memories.list(tenant="globex")) == 1
    await conversation(app)


async def test_a_user_goes_with_notes_history_and_ledger_and_no_other_user(app: AgentGraph, storage: Path) -> None:
    key = await conversation(app)
    await app.memories.update(key, "I bought a violin from Quentin.", tenant="acme", user="ann")
    await app.memories.put("door", "Ann's door sticks terribly.", tenant="acme", user="ann")
    await app.memories.add("The key of the safe is 17.", tenant="acme", user="ann", ttl_minutes=5)
    await app.memories.add("Bob likes rye bread a lot.", tenant="acme", user="bob")
    receipt = await app.forget(tenant="acme", user="ann", include_threads=True)
    assert traces(storage, "Xylander", "Quentin", "sticks", "Wilhelmina", "safe is 17", vector_of(SAID)) == []
    assert [memory.text for memory in await app.memories.list(tenant="acme")] == ["Bob likes rye bread a lot."]
    assert {removed.place for removed in receipt.removed} >= {"memory/user/ann", "notes/user/ann", "threads"}
    assert receipt.tombstones >= 4
    assert receipt.remarks == ()


async def test_a_session_goes_with_its_conversation(app: AgentGraph, storage: Path) -> None:
    await app.run(SAID, tenant="acme:visit")
    await app.run(OTHER, tenant="acme", thread="t1")
    await app.settled()
    await app.forget(tenant="acme:visit")
    assert traces(storage, SAID, "Xylander") == []
    assert traces(storage, OTHER)


async def test_a_thread_goes_with_what_was_learned_in_it(app: AgentGraph, storage: Path) -> None:
    await conversation(app)
    await app.forget(tenant="acme", thread="t1")
    assert traces(storage, SAID, "Xylander") == []
    assert [memory.text for memory in await app.memories.list(tenant="acme")] == [OTHER]


async def test_a_source_is_a_message_a_thread_or_an_import(app: AgentGraph) -> None:
    rows = [{"text": f"Imported fact {number}.", "thread": "old"} for number in range(3)]
    await app.memories.import_rows(rows, tenant="acme", user="ann", name="old.jsonl")
    key = await conversation(app)
    message_id = (await app.memories.get(key, tenant="acme", user="ann")).source["message_id"]

    async def planned(source: str | None) -> int:
        plan = await app.forget(tenant="acme", source=source, dry_run=True)
        return sum(removed.count for removed in plan.removed if removed.place == "memory/user/ann")

    assert [await planned(source) for source in ("old.jsonl", "old", "t3", message_id, "x")] == [3, 3, 1, 1, 0]
    await app.forget(tenant="acme", source="old.jsonl")
    assert {memory.text for memory in await app.memories.list(tenant="acme")} == {SAID, OTHER}
    again = await app.memories.import_rows(rows, tenant="acme", user="ann", name="old.jsonl")
    assert (again.added, again.forgotten) == (0, 3)


async def test_what_everybody_read_from_global_memory_is_forgotten_everywhere(open_app: OpenApp, storage: Path) -> None:
    app, _ = await open_app(lambda messages, tools: "Very well.", enable_global_memory=True)
    key = (await app.memories.add("The office in Xanadu closes at six.", tenant="_global")).key
    await app.run("When does the office in Xanadu close?", tenant="acme", thread="t1")
    await app.settled()
    assert traces(storage / "acme", "The office in Xanadu closes at six.")
    await app.forget(tenant="_global", memory=key)
    assert traces(storage, "The office in Xanadu closes at six.") == []


SECRET = "Quetzalcoatlus"


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} is by the {SECRET}."


@tool
def book(what: str) -> str:
    """Book something."""
    return f"Booked {what}."


def _tells(messages: list[Any], tools: Any) -> Any:
    if messages[-1].type != "human" or "Fail" in messages[-1].text:
        return f"So it is, {SECRET}."
    for name in ("look", "book"):
        if messages[-1].text.rpartition("\n")[2].startswith(name):  # after what is told of the time
            return AIMessage("", tool_calls=[{"name": name, "args": {"what": SECRET}, "id": f"c{len(messages)}"}])
    if "Nothing" in messages[-1].text:
        return "Very well."
    return f"I see, the {SECRET}. " + "And so on and on. " * 20


async def test_wherever_the_words_of_a_thread_were_kept_none_is_left(open_app: OpenApp, storage: Path) -> None:
    app, model = await open_app(_tells, tools=[look, promising(book, needs_approval=True)], live_window_tokens=256)
    for number in range(6):
        await app.run(f"{number}: tell me of the {SECRET}.", tenant="acme", user="ann", thread="t1")
        await app.settled()
    await app.run(f"look for the {SECRET}", tenant="acme", user="ann", thread="t1")
    await app.run("book it", tenant="acme", user="ann", thread="t1")
    await app.run("book it", tenant="acme", user="ann", thread="t2")

    async def fails(*args: Any, **kwargs: Any) -> Any:
        raise AgentGraphError(f"I know of no {SECRET}", code="model_failed")

    answer = model._agenerate
    object.__setattr__(model, "_agenerate", fails)
    with pytest.raises(AgentGraphError):
        await app.run(f"Fail with the {SECRET}.", tenant="acme", user="ann", thread="t3")
    object.__setattr__(model, "_agenerate", answer)
    await app.run("Nothing of it here.", tenant="acme", user="bob", thread="t4")
    await app.settled()
    holding = {
        (table, column)
        for table, column in [
            ("archive", "message"),
            ("checkpoints", "checkpoint"),
            ("writes", "value"),
            ("runs", "result"),
            ("runs", "error"),
            ("tool_calls", "output"),
        ]
        if await _holds(app, table, column)
    }
    assert len(holding) == 6, holding
    plan = await app.forget(tenant="acme", user="ann", dry_run=True)
    assert plan.kept_threads == ("acme/thread/t1", "acme/thread/t2", "acme/thread/t3")

    receipt = await app.forget(tenant="acme", user="ann", include_threads=True)

    assert receipt.kept_threads == ()
    assert traces(storage, SECRET, SECRET[:8], SECRET[6:]) == []
    assert len(await app.history(tenant="acme", thread="t4")) == 2


async def test_what_was_forked_from_a_persons_thread_is_that_persons(app: AgentGraph, storage: Path) -> None:
    await conversation(app)
    await app.threads.fork(tenant="acme", thread="t1", to="t1-forked")
    plan = await app.forget(tenant="acme", user="ann", dry_run=True)
    assert "acme/thread/t1-forked" in plan.kept_threads
    await app.forget(tenant="acme", user="ann", include_threads=True)
    assert traces(storage, SAID, OTHER) == []


async def _holds(app: AgentGraph, table: str, column: str) -> bool:
    rows = await app._runner.database.read(
        "acme",
        lambda saver: saver.conn.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL").fetchall(),
    )
    return any(SECRET in (value.decode("utf-8", "replace") if isinstance(value, bytes) else value) for (value,) in rows)


# Plans


async def test_a_plan_changes_nothing_and_holds_no_text(app: AgentGraph, storage: Path) -> None:
    key = await conversation(app)
    plan = await app.forget(tenant="acme", user="ann", include_threads=True, dry_run=True)
    assert plan.is_dry_run
    assert "Xylander" not in json.dumps(plan.as_record())
    assert key in json.dumps(plan.as_record())
    assert len(await app.memories.list(tenant="acme")) == 2
    receipt = await app.forget(tenant="acme", user="ann", include_threads=True)
    assert [(r.place, r.kind, r.count) for r in plan.removed if r.place != "threads"] == [
        (r.place, r.kind, r.count) for r in receipt.removed if r.place != "threads"
    ]
    assert plan.tombstones == 0


async def test_forgetting_twice_is_harmless(app: AgentGraph) -> None:
    key = await conversation(app)
    await app.forget(tenant="acme", user="ann", memory=key)
    assert (await app.forget(tenant="acme", user="ann", memory=key)).count == 0
    assert (await app.forget(tenant="nobody")).count == 0


async def test_one_target_at_a_time(app: AgentGraph) -> None:
    with pytest.raises(InvalidInputError, match="at a time"):
        await app.forget(tenant="acme", memory="a", source="b")
    with pytest.raises(InvalidInputError, match="at a time"):
        await app.forget(tenant="acme", memory="a", thread="b")


# Nothing brings it back


async def test_what_was_forgotten_is_not_learned_from_a_resend(app: AgentGraph, clock: FrozenClock) -> None:
    key = await conversation(app)
    await app.forget(tenant="acme", user="ann", memory=key, include_threads=True)
    clock.move_to(clock().replace(day=20))
    await app.run(SAID, tenant="acme", user="ann", thread="t9")
    await app.settled()
    assert [memory.text for memory in await app.memories.list(tenant="acme", user="ann")] == [OTHER]


async def test_a_caller_who_adds_it_again_means_it(app: AgentGraph) -> None:
    key = await conversation(app)
    await app.forget(tenant="acme", user="ann", memory=key)
    await app.memories.add(SAID, tenant="acme", user="ann")
    assert len(await app.memories.list(tenant="acme", user="ann")) == 2


async def test_what_is_still_owed_is_struck_off(open_app: OpenApp, storage: Path) -> None:
    app, _ = await open_app(lambda messages, tools: "Very well.")
    owed = {
        "namespace": ["acme", "memory", "user", "ann"],
        "message_id": "m1",
        "thread": "acme/thread/t1",
        "run_id": "r1",
        "text": SAID,
        "speaker": "user",
        "said_at": "2026-03-02T12:00:00+00:00",
        "zone": "UTC",
    }
    await app.settled()  # an app that opens looks for debts
    outbox = app._runner.outbox
    await outbox.owe("acme", [owed, {**owed, "run_id": "r2", "namespace": ["acme", "memory", "user", "bob"]}])
    receipt = await app.forget(tenant="acme", user="ann")
    assert [(r.place, r.kind, r.ids) for r in receipt.removed] == [("outbox", "message", ("m1",))]
    assert [item["namespace"][-1] for _, item in await outbox.owed("acme")] == ["bob"]


@pytest.mark.parametrize("target", [{}, {"user": "ann"}, {"source": "m1"}, {"thread": "t1"}])
async def test_what_was_owed_is_not_written_any_more(app: AgentGraph, target: dict[str, Any]) -> None:
    await app.settled()
    owed: Owed = {
        "namespace": ["acme", "memory", "user", "ann"],
        "message_id": "m1",
        "thread": "acme/thread/t1",
        "run_id": "r1",
        "text": SAID,
        "speaker": "user",
        "said_at": "2026-03-02T12:00:00+00:00",
        "zone": "UTC",
    }
    await app._runner.outbox.owe("acme", [owed])
    await app.forget(tenant="acme", **target)
    await write_episodes(app.store, [owed])
    assert await app.memories.list(tenant="acme") == []


async def test_a_run_under_way_does_not_bring_it_back(open_app: OpenApp, storage: Path) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    app, model = await open_app(lambda messages, tools: "Very well.")
    key = await conversation(app)
    answer = model._agenerate

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        await leave.wait()
        return await answer(*args, **kwargs)

    object.__setattr__(model, "_agenerate", slowly)
    asking = asyncio.create_task(app.run("What did I buy from Xyl last week?", tenant="acme", user="ann", thread="t5"))
    await entered.wait()
    forgetting = asyncio.create_task(app.forget(tenant="acme", user="ann", memory=key, include_threads=True))
    await asyncio.sleep(0.1)
    assert not forgetting.done()
    leave.set()
    await asking
    receipt = await forgetting
    assert receipt.unfinished_runs == 0
    assert traces(storage, SAID, "Xylander") == []


async def test_a_run_that_does_not_end_is_counted(open_app: OpenApp) -> None:
    app, model = await open_app(lambda messages, tools: "Very well.")
    key = await conversation(app)
    entered, leave = asyncio.Event(), asyncio.Event()
    answer = model._agenerate

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        await leave.wait()
        return await answer(*args, **kwargs)

    object.__setattr__(model, "_agenerate", slowly)
    asking = asyncio.create_task(app.run("Hello there.", tenant="acme", user="ann", thread="t1"))
    await entered.wait()
    receipt = await app.forget(tenant="acme", user="ann", memory=key, timeout_s=0.05)
    assert receipt.unfinished_runs == 1
    leave.set()
    await asking


async def test_a_run_on_a_thread_that_goes_is_ended_first(open_app: OpenApp, storage: Path) -> None:
    app, model = await open_app(lambda messages, tools: "Very well.")
    await conversation(app)
    entered = asyncio.Event()

    async def for_ever(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    object.__setattr__(model, "_agenerate", for_ever)
    asking = asyncio.create_task(app.run("The vault is in Zanzibar.", tenant="acme", user="ann", thread="t1"))
    await entered.wait()
    receipt = await app.forget(tenant="acme", thread="t1")
    assert receipt.unfinished_runs == 0
    with suppress(AgentGraphError):
        await asyncio.wait_for(asking, 5)
    assert await app.history(tenant="acme", thread="t1") == []
    assert traces(storage, "Zanzibar", SAID) == []


# Other stores


async def test_other_stores_forget_what_they_can_and_say_what_not(open_app: OpenApp) -> None:
    app, _ = await open_app(lambda messages, tools: "Very well.", store=InMemoryStore(), checkpointer=InMemorySaver())
    key = (await app.memories.add(SAID, tenant="acme", user="ann")).key
    await app.memories.update(key, "I bought none.", tenant="acme", user="ann")
    receipt = await app.forget(tenant="acme", user="ann", memory=key)
    assert await app.memories.list(tenant="acme", include_superseded=True) == []
    assert any("cannot be scrubbed" in remark for remark in receipt.remarks)
    assert any("cannot be searched" in remark for remark in receipt.remarks)
    await app.memories.add(SAID, tenant="acme", user="ann")
    await app.forget(tenant="acme")
    assert await app.memories.list(tenant="acme") == []


async def test_a_tenants_tools_and_keys_in_the_records_go_with_it(app: AgentGraph, storage: Path) -> None:
    schema = {"name": "xylander_tool", "description": "Call Xylander.", "parameters": {"type": "object"}}
    for tenant in ("acme", "globex"):
        await app.declared_tools.declare([schema], tenant=tenant)
    planned = await app.forget(tenant="acme", dry_run=True)
    assert ("records", "tool_schemas", 1) in [(each.place, each.kind, each.count) for each in planned.removed]
    assert await app.declared_tools.list(tenant="acme")
    await app.forget(tenant="acme")
    assert not await app.declared_tools.list(tenant="acme")
    assert await app.declared_tools.list(tenant="globex")
