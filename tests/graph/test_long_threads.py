"""A thousand turns: the window stays bounded, and window and archive together hold every word, by every strategy."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.graph.build import build_graph
from agentgraph.graph.context import RunContext
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.stores.threads.archive import SCHEMA, archived, file_archived
from agentgraph.testing import ScriptedChatModel
from agentgraph.threads.history import whole_history
from agentgraph.threads.truncate import Strategy, tokens_in

SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)
LIMIT = 600


class ArchivingSaver(InMemorySaver):
    """Files what a checkpoint archives and keeps it out of the checkpoint, as the savers of threads do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(serde=SERDE)
        self.connection = connection
        connection.executescript(SCHEMA)

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        values = checkpoint["channel_values"]
        file_archived(self.connection, "t", values.get("archived", ()), SERDE)
        checkpoint = {**checkpoint, "channel_values": {k: v for k, v in values.items() if k != "archived"}}
        return await super().aput(config, checkpoint, metadata, new_versions)


class Conversation:
    """A thread in memory, with everything that was said on it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        strategy: Strategy,
        *,
        summariser_fails: bool = False,
        saver: InMemorySaver | None = None,
    ) -> None:
        def answer(messages: Sequence[BaseMessage], tools: Sequence[str]) -> Any:
            if "Summarise" not in str(messages[0].text):
                return f"answer {self.asked} " + "y" * 100
            return ModelInvalidRequestError("no") if summariser_fails else "They spoke."

        self.connection = connection
        self.model = ScriptedChatModel(script=answer, word_by_word=False)
        settings = Settings(live_window_tokens=LIMIT, truncation_strategy=strategy)
        self.graph = build_graph(settings).compile(checkpointer=saver or ArchivingSaver(connection))
        self.said: list[BaseMessage] = []
        self.asked = 0

    async def turn(self, config: Any = None) -> Any:
        context = RunContext(
            scope=Scope(tenant="acme", thread="t"),
            now=datetime(2026, 3, 2, tzinfo=UTC),
            zone="UTC",
            model=self.model,
            run_id=f"r{self.asked}",
            stream=False,
            include_memories=False,
            inline_writing=True,
        )
        self.asked += 1
        question = HumanMessage(f"question {self.asked} " + "x" * 100, id=f"q{self.asked}")
        config = config or {"configurable": {"thread_id": "t"}}
        await self.graph.ainvoke({"messages": [question], "turns": 0}, config, context=context, durability="exit")
        values = (await self.graph.aget_state({"configurable": {"thread_id": "t"}})).values
        self.said += [question, values["messages"][-1]]
        return values

    def history(self, values: Any) -> list[BaseMessage]:
        live = values["messages"]
        ids = {message.id for message in live}
        left = archived(self.connection, "t", values.get("archive_tail"), SERDE, stop_at=ids)
        return whole_history(live, left, values.get("archive_after"))


def in_bytes(messages: Sequence[BaseMessage]) -> list[Any]:
    return [SERDE.dumps_typed(message) for message in messages]


@pytest.mark.parametrize("strategy", ["summarize", "sliding", "drop_oldest", "drop_middle"])
async def test_a_thousand_turns_stay_bounded_and_lose_no_byte(strategy: Strategy) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        talk = Conversation(connection, strategy)
        for _ in range(1_000):
            values = await talk.turn()
            assert tokens_in(values["messages"]) <= LIMIT
            assert "archived" not in values
        assert len(talk.said) == 2_000
        assert in_bytes(talk.history(values)) == in_bytes(talk.said)
        assert max(tokens_in(call["messages"]) for call in talk.model.calls) < 2 * LIMIT


async def test_a_summariser_that_fails_loses_nothing_and_what_is_sent_stays_bounded() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        talk = Conversation(connection, "summarize", summariser_fails=True)
        for _ in range(100):
            values = await talk.turn()
        assert in_bytes(values["messages"]) == in_bytes(talk.said)
        answers = [call for call in talk.model.calls if "Summarise" not in str(call["messages"][0].text)]
        assert len(answers) == 100
        assert max(tokens_in(call["messages"]) for call in answers) <= 2 * LIMIT + 50  # the context block


async def test_what_left_in_one_turn_weighs_on_no_later_checkpoint() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        talk = Conversation(connection, "sliding", saver=InMemorySaver(serde=SERDE))
        carried = ["archived" in await talk.turn() for _ in range(60)]
        assert 2 < sum(carried) < 10


@pytest.mark.parametrize("strategy", ["summarize", "sliding", "drop_oldest", "drop_middle"])
async def test_a_fork_sees_the_archive_of_its_own_branch(strategy: Strategy) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        talk = Conversation(connection, strategy)
        for _ in range(30):
            values = await talk.turn()
        fork = (await talk.graph.aget_state({"configurable": {"thread_id": "t"}})).config
        common = list(talk.said)
        for _ in range(30):
            values = await talk.turn()
        left = list(talk.said)
        assert talk.history(values) == left
        talk.said = list(common)
        values = await talk.turn(fork)
        assert talk.history(values) == talk.said
        for _ in range(30):
            values = await talk.turn()
        assert talk.history(values) == talk.said
        assert talk.said[: len(common)] == common
        assert talk.said[len(common)] != left[len(common)]
