"""The right few tools are ranked first, by words alone or with meaning."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgraph.models.embeddings import HashEmbeddings
from agentgraph.tools.selection import RankedTool, ToolDocument, ToolIndex, ToolIndexes, VectorCache, fingerprint
from agentgraph.tools.selection.vectors import text_key

TOOLS = [
    ToolDocument("get_time", "Get the current local time in a city or time zone."),
    ToolDocument("calculator", "Calculate an arithmetic expression."),
    ToolDocument("sendEmail", "Send an email message to a recipient."),
    ToolDocument("flights.search", "Find connections on a date.", {"origin_airport": "Three letters"}),
]


@pytest.mark.parametrize("has_meaning", [False, True])
@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("What time is it in Tokyo?", "get_time"),
        ("calculate 3 * 4", "calculator"),
        ("please email Bob", "sendEmail"),
        ("any flights from this airport?", "flights.search"),
    ],
)
async def test_the_right_tool_comes_first(question: str, best: str, has_meaning: bool) -> None:
    index = ToolIndex(TOOLS, embeddings=HashEmbeddings() if has_meaning else None)
    assert await index.ready() == has_meaning
    first, *_ = await index.rank([question], limit=3)
    assert (first.name, first.dense is not None) == (best, has_meaning)
    assert 0 < first.score <= 1


class Counting(HashEmbeddings):
    """Counts the tools it embeds; fails or dawdles when told to."""

    def __init__(self) -> None:
        super().__init__(64)
        self.embedded = 0
        self.fails = False
        self.go = asyncio.Event()
        self.go.set()

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        await self.go.wait()
        self.embedded += len(texts)
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        if self.fails:
            raise ConnectionError("no route")
        return self.embed_query(text)


async def test_words_rank_until_the_tools_have_been_embedded() -> None:
    embeddings = Counting()
    embeddings.go.clear()
    index = ToolIndex(TOOLS, embeddings=embeddings)
    (first, *_) = await index.rank(["please email Bob"], limit=3)
    assert (first.name, first.dense) == ("sendEmail", None)
    embeddings.go.set()
    assert await index.ready()
    (first, *_) = await index.rank(["please email Bob"], limit=3)
    assert (first.name, first.dense is None) == ("sendEmail", False)
    await index.aclose()


async def test_a_failing_embedder_leaves_words_and_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgraph.tools.selection.dense._PAUSE_S", 0.0)
    embeddings = Counting()
    index = ToolIndex(TOOLS, embeddings=embeddings)
    assert await index.ready()
    embeddings.fails = True
    for _ in range(3):
        (first, *_) = await index.rank(["please email Bob"], limit=3)
        assert (first.name, first.dense) == ("sendEmail", None)
    assert [record.message for record in caplog.records] == [
        "tools are ranked by their words alone, the embedder failed: ConnectionError: no route"
    ]


@pytest.mark.parametrize("answer", [[], [[1.0]], [[float("nan")] * 8] * 4, [[1.0], [1.0, 2.0], [1.0], [1.0]]])
async def test_vectors_that_are_none_leave_words(answer: list[list[float]]) -> None:
    class Odd(Counting):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            return answer

    index = ToolIndex(TOOLS, embeddings=Odd())
    assert not await index.ready()
    assert (await index.rank(["please email Bob"], limit=1))[0].name == "sendEmail"


async def test_a_request_of_another_length_than_the_tools_leaves_words() -> None:
    class Changed(Counting):
        async def aembed_query(self, text: str) -> list[float]:
            return [1.0, 0.0]

    index = ToolIndex(TOOLS, embeddings=Changed())
    assert await index.ready()
    assert (await index.rank(["please email Bob"], limit=1))[0].dense is None


async def test_a_request_does_not_wait_for_an_embedder_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Counting):
        async def aembed_query(self, text: str) -> list[float]:
            return await asyncio.Future()

    monkeypatch.setattr("agentgraph.tools.selection.dense._QUERY_BUDGET_S", 0.02)
    index = ToolIndex(TOOLS, embeddings=Hanging())
    assert await index.ready()
    (first, *_) = await asyncio.wait_for(index.rank(["please email Bob"], limit=1), 5)
    assert (first.name, first.dense) == ("sendEmail", None)


async def test_a_restart_embeds_nothing_anew(tmp_path: Path) -> None:
    before, after = Counting(), Counting()
    assert await ToolIndex(TOOLS, embeddings=before, cache=VectorCache(tmp_path)).ready()
    again = ToolIndex([*TOOLS, ToolDocument("brew", "Brew tea.")], embeddings=after, cache=VectorCache(tmp_path))
    assert await again.ready()
    assert (before.embedded, after.embedded) == (4, 1)
    assert (await again.rank(["some tea"], limit=1))[0].name == "brew"


@pytest.mark.parametrize("damaged", [b"", b"short", b"\xff" * 128])
async def test_a_damaged_vector_is_made_again(tmp_path: Path, damaged: bytes) -> None:
    before, after, cache = Counting(), Counting(), VectorCache(tmp_path)
    assert await ToolIndex(TOOLS, embeddings=before, cache=cache).ready()
    cache.write(after.model_id, {text_key(TOOLS[0].text): damaged})
    index = ToolIndex(TOOLS, embeddings=after, cache=cache)
    assert await index.ready()
    assert after.embedded == 1
    assert (await index.rank(["the local time"], limit=1))[0].name == "get_time"


async def test_equal_sets_share_an_index_and_the_longest_unused_goes() -> None:
    indexes = ToolIndexes(max_indexes=2, max_tools=100)
    one = indexes.of(TOOLS)
    assert indexes.of([ToolDocument(t.name, t.description, dict(t.arguments)) for t in TOOLS]) is one
    assert indexes.of(TOOLS[:1]) is not one
    assert indexes.of(TOOLS) is one
    indexes.of(TOOLS[:2])
    assert indexes.of(TOOLS) is one
    assert len(indexes) == 2
    many = [ToolDocument(f"tool_{number}", "") for number in range(101)]
    assert indexes.of(many) is indexes.of(many)
    assert len(indexes) == 1
    await indexes.aclose()


async def test_the_newest_turn_weighs_most_and_an_empty_one_leaves_the_older() -> None:
    index = ToolIndex(TOOLS)
    both = await index.rank(["any flights from this airport?", "please email Bob"], limit=5)
    assert [tool.name for tool in both][:2] == ["sendEmail", "flights.search"]
    (alone, *_) = await index.rank(["any flights from this airport?"], limit=5)
    assert both[1].score == pytest.approx(0.6 * alone.score)
    meant = await index.rank(["any flights from this airport?", "yes, go on"], limit=5)
    assert meant[0].name == "flights.search"
    assert await index.rank(["", " \n"], limit=5) == []


async def test_each_wish_of_a_request_is_heard() -> None:
    wishes = "Please calculate the arithmetic expression that I pasted before. Then tell it by email to Bob."
    assert {tool.name for tool in await ToolIndex(TOOLS).rank([wishes], limit=2)} == {"calculator", "sendEmail"}


async def test_scripts_without_spaces_and_slips_of_the_pen_are_read() -> None:
    tools = [ToolDocument("a", "检查用户可用性"), ToolDocument("b", "查询城市天气预报"), ToolDocument("forecast", "")]
    index = ToolIndex(tools)
    assert (await index.rank(["明天的天气怎么样"], limit=1))[0].name == "b"
    assert (await index.rank(["tomorrow's forcast"], limit=1))[0].name == "forecast"


NASTY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", " ", "\0", "\ud800", "weather\udfff", "a" * 1_000_000, "get_weather", "🌦️", "a\nb. c?"]),
)
NASTY_TOOL = st.builds(ToolDocument, NASTY, NASTY, st.dictionaries(NASTY, NASTY, max_size=2))


@settings(deadline=None, max_examples=60)
@given(documents=st.lists(NASTY_TOOL, max_size=6), turns=st.lists(NASTY, max_size=4), limit=st.integers(0, 8))
def test_nothing_breaks_a_ranking_and_it_is_the_same_each_time(
    documents: list[ToolDocument], turns: list[str], limit: int
) -> None:
    async def ranked() -> list[RankedTool]:
        index = ToolIndex(documents, embeddings=HashEmbeddings(32))
        await index.ready()
        return await index.rank(turns, limit=limit)

    once = asyncio.run(ranked())
    assert once == asyncio.run(ranked())
    assert len(once) <= limit
    assert len({tool.position for tool in once}) == len(once)
    assert all(0 < tool.score <= 1 and 0 <= tool.lexical <= 1 for tool in once)
    order = [(-tool.score, tool.position) for tool in once]
    assert order == sorted(order)
    assert fingerprint(documents) == fingerprint(list(documents))


def test_of_very_long_texts_the_beginning_is_read() -> None:
    document = ToolDocument("x" * 1_000_000, "d" * 1_000_000, {f"a{number}": "t" * 1_000_000 for number in range(100)})
    assert len(document.text) < 50_000


async def test_identical_tools_rank_alike_in_their_order() -> None:
    twins = [ToolDocument("same", "Brew tea.") for _ in range(5)]
    ranked = await ToolIndex([ToolDocument("other", "Nothing."), *twins]).rank(["tea"], limit=3)
    assert [tool.position for tool in ranked] == [1, 2, 3]
    assert len({tool.score for tool in ranked}) == 1


async def test_an_unrelated_tool_does_not_come_between() -> None:
    before = await ToolIndex(TOOLS).rank(["please email Bob"], limit=1)
    after = await ToolIndex([*TOOLS, ToolDocument("zzz", "")]).rank(["please email Bob"], limit=1)
    assert before[0].name == after[0].name


async def test_ten_thousand_tools_are_read_off_the_loop() -> None:
    tools = [ToolDocument(f"tool_{number}", f"Handles case {number} of things.") for number in range(10_000)]
    index = ToolIndex(tools)
    reading = asyncio.create_task(index.rank(["case 4711"], limit=3))
    longest = 0.0
    while not reading.done():
        begun = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - begun)
    assert (await reading)[0].name == "tool_4711"
    assert longest < 0.5  # the interpreter changes threads every 5 ms; reading in place takes longer than all of this


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ToolDocument("ab", ""), ToolDocument("a", "b")),
        (ToolDocument("a", "", {"b": "c"}), ToolDocument("a", "", {"bc": ""})),
        (ToolDocument("a", "1"), ToolDocument("a", "2")),
    ],
)
def test_other_tools_have_another_fingerprint(one: ToolDocument, other: ToolDocument) -> None:
    assert fingerprint([one]) != fingerprint([other])
    assert fingerprint([one, other]) != fingerprint([other, one])
