"""Budgets: reserved before, paid after, and never found by more at once than there is room for."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage

from agentgraph import AgentGraph, Settings
from agentgraph.errors import BudgetExceededError, ConfigurationError, StoreUnavailableError
from agentgraph.events import Usage
from agentgraph.run import RunRequest
from agentgraph.server import turns, usage
from agentgraph.server.budgets import Budgets
from agentgraph.server.guard import Guard
from agentgraph.server.usage import UsageBook, UsageRow, UsedBy
from agentgraph.settings import Limits, ModelPrice
from agentgraph.stores.database.database import Database
from agentgraph.testing import FrozenClock, ScriptedChatModel
from tests.server.conftest import Serve, eventually
from tests.server.test_guard import asked, make_key
from tests.stores.database.conftest import server as server


@pytest.fixture
async def database(tmp_path: Path):
    opened = Database(None, tmp_path)
    yield opened
    opened.close()


def budgets(clock: FrozenClock, **prices: ModelPrice) -> Budgets:
    return Budgets(prices, lasts_s=60, clock=clock)


ACME = [("tenant:acme", Limits(budget_tokens=100))]


async def test_what_is_reserved_is_not_found_again_until_it_is_settled(database: Database, clock) -> None:
    book = budgets(clock)
    rooms = book.rooms(ACME)
    first = await book.reserve(database, rooms, tokens=60, microusd=0)
    with pytest.raises(BudgetExceededError, match="runs under way") as tight:
        await book.reserve(database, rooms, tokens=60, microusd=0)
    assert tight.value.is_retryable
    await book.settle(database, first, rooms, tokens=30, microusd=0)
    await book.settle(
        database, await book.reserve(database, rooms, tokens=60, microusd=0), rooms, tokens=70, microusd=0
    )
    with pytest.raises(BudgetExceededError, match="You exceeded your current quota, please check") as spent:
        await book.reserve(database, rooms, tokens=1, microusd=0)
    assert spent.value.code == "insufficient_quota"
    assert not spent.value.is_retryable


async def test_processes_share_a_budget(database: Database, tmp_path: Path, clock) -> None:
    other, book = Database(None, tmp_path), budgets(clock)
    rooms = book.rooms(ACME)
    tried = [book.reserve(each, rooms, tokens=10, microusd=0) for _ in range(32) for each in (database, other)]
    outcomes = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 10
    other.close()


async def test_what_a_dead_process_held_is_free_after_a_while(database: Database, clock) -> None:
    book = budgets(clock)
    rooms = book.rooms(ACME)
    await book.reserve(database, rooms, tokens=100, microusd=0)
    clock.advance(timedelta(seconds=61))
    await book.reserve(database, rooms, tokens=100, microusd=0)


@pytest.mark.parametrize(
    ("period", "at", "until"),
    [
        ("day", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), 60),
        ("month", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), 60),
        ("month", datetime(2026, 2, 1, tzinfo=UTC), 28 * 86_400),
        ("ever", datetime(2026, 2, 1, tzinfo=UTC), None),
    ],
)
async def test_a_budget_is_for_a_period(database: Database, period: Any, at: datetime, until: float | None) -> None:
    moving = FrozenClock(at)
    book = Budgets({}, lasts_s=60, clock=moving)
    accounts = [("key:a", Limits(budget_tokens=1, budget_period=period))]
    rooms = book.rooms(accounts)
    await book.settle(database, await book.reserve(database, rooms, tokens=1, microusd=0), rooms, tokens=1, microusd=0)
    with pytest.raises(BudgetExceededError) as caught:
        await book.reserve(database, rooms, tokens=1, microusd=0)
    assert caught.value.retry_after_s == until
    if until is not None:
        moving.advance(timedelta(seconds=until))
        await book.reserve(database, book.rooms(accounts), tokens=1, microusd=0)


async def test_a_budget_in_dollars_needs_prices(database: Database, clock) -> None:
    book = budgets(clock, dear=ModelPrice(input=10, output=30))
    rooms = book.rooms([("key:a", Limits(budget_usd=0.001))])
    used = Usage(input_tokens=10, output_tokens=20)
    cost = book.needed_cost("dear", used, rooms)
    assert cost == 700
    await book.settle(
        database, await book.reserve(database, rooms, tokens=30, microusd=cost), rooms, tokens=30, microusd=cost
    )
    await book.reserve(database, rooms, tokens=30, microusd=cost)
    with pytest.raises(BudgetExceededError):
        await book.reserve(database, rooms, tokens=30, microusd=cost)
    with pytest.raises(ConfigurationError, match="AGENTGRAPH_MODEL_PRICES"):
        book.needed_cost("free", used, rooms)


def answer(*_: Any) -> AIMessage:
    return AIMessage("Hi.", usage_metadata={"input_tokens": 20, "output_tokens": 10, "total_tokens": 30})


@pytest.mark.integration
@pytest.mark.parametrize("whose", ["tenant", "key"])
async def test_of_64_at_once_no_more_pass_than_there_is_room_for(serve: Serve, whose: str) -> None:
    limits = Limits(budget_tokens=13 * 30)
    served = serve(answer, enable_memory=False, tenant_limits={"acme": limits} if whose == "tenant" else {})
    key = await asyncio.to_thread(
        make_key, served, scope="tenant", tenant="acme", limits=None if whose == "tenant" else limits
    )
    for _ in range(3):  # so that it is known how much a run uses
        assert (await asyncio.to_thread(served.chat, headers=key)).status_code == 200
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=served.url, timeout=60, headers=key) as client:
        asking = [client.post("/v1/acme/chat/completions", json=body) for _ in range(64)]
        answers = await asyncio.gather(*asking)
    passed = [each for each in answers if each.status_code == 200]
    refused = [each for each in answers if each.status_code == 429]
    assert len(passed) + len(refused) == 64
    assert 1 <= len(passed) <= 10
    assert all(each.json()["error"]["type"] == "insufficient_quota" for each in refused)
    assert all(int(each.headers["retry-after"]) > 0 for each in refused)


@pytest.mark.integration
def test_a_request_that_is_repeated_is_paid_for_once(serve: Serve) -> None:
    told: list[int] = []
    served = serve(answer, enable_memory=False, usage_hook=lambda tenant, tokens, _: told.append(tokens))
    for _ in range(2):
        assert served.chat(headers={"idempotency-key": "k1"}).status_code == 200
    served.chat(headers={"idempotency-key": "k2"})
    eventually(lambda: len(told) == 2)
    assert told == [30, 30]


@pytest.mark.integration
def test_a_run_whose_client_left_is_paid_for(serve: Serve) -> None:
    told: list[int] = []
    served = serve(answer, enable_memory=False, usage_hook=lambda tenant, tokens, _: told.append(tokens))
    with served.http.stream(
        "POST", "/v1/acme/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    ) as response:
        next(response.iter_raw())
    eventually(lambda: told == [30])


@pytest.mark.integration
def test_limits_are_told_in_openais_words(serve: Serve) -> None:
    served = serve(answer, enable_memory=False, tenant_limits={"acme": Limits(requests_per_min=2)})
    assert [served.chat().status_code for _ in range(3)] == [200, 200, 429]
    refused = served.chat()
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "requests"
    assert "Please try again in" in refused.json()["error"]["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-should-retry"] == "true"
    assert served.chat("globex").status_code == 200


@pytest.mark.integration
def test_a_keys_requests_are_counted_before_anything_is_read(serve: Serve) -> None:
    served = serve(answer, enable_memory=False)
    key = make_key(served, scope="tenant", tenant="acme", limits=Limits(requests_per_min=1))
    assert served.chat(headers=key).status_code == 200
    assert served.http.post("/v1/acme/chat/completions", content=b"no json", headers=key).status_code == 429


async def test_a_budget_that_is_used_up_is_not_looked_up_for_every_refusal(database: Database, clock) -> None:
    book = budgets(clock)
    rooms = book.rooms(ACME)
    first = await book.reserve(database, rooms, tokens=100, microusd=0)
    await book.settle(database, first, rooms, tokens=100, microusd=0)
    asked = []
    write = database.write
    database.write = lambda job: asked.append(job) or write(job)  # type: ignore[method-assign]
    for _ in range(20):
        with pytest.raises(BudgetExceededError):
            await book.reserve(database, rooms, tokens=1, microusd=0)
    assert len(asked) == 1
    larger = book.rooms([("tenant:acme", Limits(budget_tokens=200))])
    await book.reserve(database, larger, tokens=1, microusd=0)


async def test_usage_is_summed_and_written_down(database: Database, tmp_path: Path, clock) -> None:
    book = UsageBook(database, clock=clock)
    used = UsageRow(runs=1, input_tokens=20, output_tokens=10, cost_microusd=7)

    def note(tenant: str) -> None:
        book.note(tenant=tenant, key_id="k", user=None, model="m", used=used)

    note("acme")
    assert not database.exists, "nothing else is kept, and nothing is made for it"
    assert list((await book.of("acme", since="2026-03-01", until="2026-03-31")).values()) == [used]
    await database.open()
    note("acme")
    note("globex")
    await book.aclose()
    elsewhere = Database(None, tmp_path)
    found = await UsageBook(elsewhere).of("acme", since="2026-03-02", until="2026-03-02")
    assert found == {UsedBy(tenant="acme", day="2026-03-02", key_id="k", user="", model="m"): used + used}
    assert await UsageBook(elsewhere).of("acme", since="2026-03-03", until="2026-03-31") == {}
    elsewhere.close()


async def test_a_run_that_is_given_up_while_it_reserves_holds_nothing(database: Database, clock) -> None:
    await database.open()
    book = budgets(clock)
    rooms = book.rooms(ACME)
    reserving = asyncio.ensure_future(book.reserve(database, rooms, tokens=100, microusd=0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reserving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reserving
    await book.reserve(database, rooms, tokens=100, microusd=0)


async def test_a_run_that_is_given_up_ends_whatever_the_database_says(database: Database, clock, monkeypatch) -> None:
    begun = asyncio.Event()

    async def fail(_: Any) -> None:
        begun.set()
        await asyncio.sleep(0.01)
        raise StoreUnavailableError("the database is gone")

    monkeypatch.setattr(database, "write", fail)
    book = budgets(clock)
    reserving = asyncio.ensure_future(book.reserve(database, book.rooms(ACME), tokens=100, microusd=0))
    await begun.wait()
    reserving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reserving


async def test_a_run_that_cannot_be_paid_for_is_told_and_counted(tmp_path: Path, monkeypatch, caplog) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("the database is gone")

    monkeypatch.setattr(Budgets, "settle", fail)
    told: list[int] = []
    settings = Settings.load(storage_dir=tmp_path, enable_memory=False, tenant_limits={"acme": {"budget_tokens": 100}})
    async with AgentGraph(
        settings, chat_model=ScriptedChatModel(script=answer), usage_hook=lambda _, tokens, __: told.append(tokens)
    ) as app:
        guard, request = Guard(app), asked()
        await guard.admit(request)
        assert (await turns.run(request, RunRequest.of("Hello", tenant="acme"))).text == "Hi."
        await guard.aclose()
        found = await UsageBook(await app.records()).of("acme", since="2000-01-01", until="2100-01-01")
    assert [used.output_tokens for used in found.values()] == [10]
    assert told == [30]
    assert "30 tokens of 'acme' are in no budget" in caplog.text


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
async def test_a_budget_is_looked_at_beside_others(server: str, tmp_path: Path, clock) -> None:
    """Two processes on PostgreSQL would wait for one another, each for what the other tidies up."""
    from agentgraph.server import usage_records

    database, book = Database(server, tmp_path), budgets(clock)
    for name in ("tenant:a", "tenant:b"):
        await book.reserve(database, book.rooms([(name, Limits(budget_tokens=100))]), tokens=1, microusd=0)
    later, is_held, is_seen = clock().timestamp() + 3600, threading.Event(), threading.Event()

    def look_at(account: str) -> None:
        period = book.rooms([(account, Limits(budget_tokens=100))])[0].period
        database.run(lambda connection: usage_records.taken(connection, account, period, now=later), is_writing=True)

    def hold(connection: Any) -> None:
        usage_records.taken(connection, "tenant:a", book.rooms(ACME)[0].period, now=later)
        is_held.set()
        is_seen.wait(10)

    holding = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(is_held.wait, 10)
    try:
        await asyncio.wait_for(asyncio.to_thread(look_at, "tenant:b"), 5)
    finally:
        is_seen.set()
        await holding
        database.close()


async def test_usage_noted_while_some_is_written_is_written_too(database: Database, clock, monkeypatch) -> None:
    monkeypatch.setattr(usage, "_WRITTEN_EVERY_S", 0.01)
    await database.open()
    book, write, is_written = UsageBook(database, clock=clock), database.write, asyncio.Event()

    async def write_and_note(job: Any) -> None:
        database.write = write_and_tell  # type: ignore[method-assign]
        note("globex")
        await write(job)

    async def write_and_tell(job: Any) -> None:
        await write(job)
        is_written.set()

    def note(tenant: str) -> None:
        book.note(tenant=tenant, key_id="k", user=None, model="m", used=UsageRow(runs=1))

    database.write = write_and_note  # type: ignore[method-assign,assignment]
    note("acme")
    await asyncio.wait_for(is_written.wait(), 5)
    assert await UsageBook(database).of("globex", since="2026-03-01", until="2026-03-31")
    await book.aclose()


async def test_usage_of_a_crowd_is_kept_in_a_database_rather_than_in_memory(
    database: Database, clock, monkeypatch
) -> None:
    monkeypatch.setattr(usage, "_MOST_REMEMBERED", 3)
    book = UsageBook(database, clock=clock)
    for user in ("ann", "bob", "cleo"):
        book.note(tenant="acme", key_id=None, user=user, model="m", used=UsageRow(runs=1))
    await book.write()
    assert not database.exists
    book.note(tenant="acme", key_id=None, user="dan", model="m", used=UsageRow(runs=1))
    await book.aclose()
    assert len(await UsageBook(database).of("acme", since="2026-03-01", until="2026-03-31")) == 4
