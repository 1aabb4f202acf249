"""The agent as a platform's graph: threads are the platform's, memory is ours."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from agentgraph import AgentGraph
from agentgraph.platform import AgentContext, agent_graph
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def model() -> ScriptedChatModel:
    return ScriptedChatModel(script=["Noted.", "Aisle."])


@pytest.fixture
def app(model: ScriptedChatModel, tmp_path: Path) -> Iterator[AgentGraph]:
    app = AgentGraph(chat_model=model, embeddings=HashEmbeddings(), storage_dir=tmp_path)
    yield app
    app.close()


async def test_a_platforms_threads_share_the_users_memory(app: AgentGraph, model: ScriptedChatModel) -> None:
    graph = agent_graph(app)
    graph.checkpointer = InMemorySaver()
    who = AgentContext(tenant="acme", user="ana")
    for thread, said in (("t1", "I prefer aisle seats."), ("t2", "Which seat should you book me?")):
        where = {"configurable": {"thread_id": thread}}
        state = await graph.ainvoke({"messages": [HumanMessage(said)]}, where, context=who)
    assert state["messages"][-1].text == "Aisle."
    assert "aisle" in model.calls[-1]["messages"][-1].text


async def test_tokens_are_streamed(app: AgentGraph) -> None:
    graph = agent_graph(app)
    stream = graph.astream({"messages": [HumanMessage("Hi there.")]}, context=AgentContext(), stream_mode="messages")
    assert "".join([chunk.text async for chunk, _ in stream]) == "Noted."


def test_every_graph_of_langgraph_json_can_be_loaded_and_has_no_checkpointer() -> None:
    for place in json.loads((ROOT / "langgraph.json").read_text())["graphs"].values():
        path, _, name = place.partition(":")
        spec = importlib.util.spec_from_file_location("ready_graph", ROOT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert getattr(module, name).checkpointer is None
