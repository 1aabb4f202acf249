"""The agent as a LangChain chat model: in chains, in other graphs, from any loop."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from agentgraph import AgentGraph, ChatAgentGraph
from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.testing import HashEmbeddings, ScriptedChatModel


@tool
def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture
def model() -> ScriptedChatModel:
    return ScriptedChatModel(script=[])


@pytest.fixture
def app(model: ScriptedChatModel, tmp_path: Path) -> Iterator[AgentGraph]:
    app = AgentGraph(chat_model=model, embeddings=HashEmbeddings(), storage_dir=tmp_path)
    yield app
    app.close()


def test_it_works_in_a_chain(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = ["Bonjour."]
    prompt = ChatPromptTemplate.from_messages([("system", "Translate to {language}."), ("human", "{text}")])
    chain = prompt | ChatAgentGraph(tenant="acme", app=app) | StrOutputParser()
    assert chain.invoke({"language": "French", "text": "Hello."}) == "Bonjour."
    assert "Translate to French." in model.calls[0]["messages"][0].text


def test_streams_and_batches(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = lambda messages, tools: f"one two {messages[-1].text[-1]}"
    llm = ChatAgentGraph(tenant="acme", app=app)
    assert [chunk.text for chunk in llm.stream("a") if chunk.text] == ["one", " two", " a"]
    assert [answer.text for answer in llm.batch(["a", "b", "c"])] == ["one two a", "one two b", "one two c"]


def test_what_is_said_before_a_tool_and_after_it_are_kept_apart(model: ScriptedChatModel, tmp_path: Path) -> None:
    model.script = [AIMessage("Let me see.", tool_calls=[{"id": "c1", "name": "book", "args": {"seat": "1A"}}]), "1A."]
    app = AgentGraph(chat_model=model, embeddings=HashEmbeddings(), storage_dir=tmp_path, tools=[book])
    try:
        assert "".join(chunk.text for chunk in ChatAgentGraph(app=app).stream("Which?")) == "Let me see.\n\n1A."
    finally:
        app.close()


def test_a_call_that_is_sent_again_streams_the_whole_answer(app: AgentGraph, model: ScriptedChatModel) -> None:
    call = {"id": "c1", "name": "book", "args": {"seat": "1A"}}
    model.script = [AIMessage("Booking.", tool_calls=[call])]
    llm = ChatAgentGraph(tenant="acme", thread="t1", app=app).bind_tools([book])
    for _ in range(3):
        pieces = list(llm.stream("Book 1A.", idempotency_key="k1"))
        whole = sum(pieces[1:], pieces[0])
        assert isinstance(whole, AIMessageChunk)
        assert (whole.text, [{k: each[k] for k in call} for each in whole.tool_calls]) == ("Booking.", [call])


def test_it_remembers_across_threads_and_not_across_tenants(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = ["ok"] * 3
    ChatAgentGraph(tenant="acme", thread="t1", app=app).invoke("I prefer aisle seats.")
    ChatAgentGraph(tenant="acme", thread="t2", app=app).invoke("Which seat should you book me?")
    assert "aisle" in model.calls[-1]["messages"][-1].text
    ChatAgentGraph(tenant="globex", thread="t2", app=app).invoke("Which seat should you book me?")
    assert "aisle" not in model.calls[-1]["messages"][-1].text


def test_bound_tools_come_back_to_the_caller(app: AgentGraph, model: ScriptedChatModel) -> None:
    call = {"name": "book", "args": {"seat": "aisle"}, "id": "c1", "type": "tool_call"}
    model.script = [AIMessage("", tool_calls=[call]), "Booked."]
    llm = ChatAgentGraph(tenant="acme", app=app).bind_tools([book], tool_choice="any")
    question = HumanMessage("Book me a seat.")
    answer = llm.invoke([question])
    assert answer.tool_calls == [call]
    assert model.calls[0]["tool_choice"] == "required"
    result = book.invoke(answer.tool_calls[0])
    assert isinstance(result, ToolMessage)
    assert llm.invoke([question, answer, result]).text == "Booked."


def test_a_call_with_unreadable_arguments_reaches_the_caller_as_such(app: AgentGraph, model: ScriptedChatModel) -> None:
    bad = {"name": "book", "args": "{seat:", "id": "c1", "error": None, "type": "invalid_tool_call"}
    model.script = [AIMessage("", invalid_tool_calls=[bad])]
    answer = ChatAgentGraph(tenant="acme", app=app).bind_tools([book]).invoke("Book me a seat.")
    assert answer.tool_calls == []
    assert [(call["id"], call["args"]) for call in answer.invalid_tool_calls] == [("c1", "{seat:")]


def test_structured_output_is_a_value(app: AgentGraph, model: ScriptedChatModel) -> None:
    class Seat(BaseModel):
        """A seat."""

        row: int
        letter: str

    call = {"name": "Seat", "args": {"row": 7, "letter": "C"}, "id": "c1", "type": "tool_call"}
    model.script = [AIMessage("", tool_calls=[call])]
    assert ChatAgentGraph(tenant="acme", app=app).with_structured_output(Seat).invoke("Which?") == Seat(
        row=7, letter="C"
    )


async def test_it_is_a_nodes_model_inside_another_graph(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = ["one two"]
    llm = ChatAgentGraph(tenant="acme", app=app)

    async def talk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    tokens = []
    async for chunk, _ in builder.compile().astream({"messages": [HumanMessage("Hi.")]}, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            tokens.append(chunk.text)
    assert "".join(tokens) == "one two"


def test_listeners_hear_each_token_once(app: AgentGraph, model: ScriptedChatModel) -> None:
    class Listener(BaseCallbackHandler):
        tokens: list[str]

        def __init__(self) -> None:
            self.tokens, self.starts = [], 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.starts += 1

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            self.tokens.append(token)

    model.script = ["one two"]
    listener = Listener()
    for _ in ChatAgentGraph(tenant="acme", app=app).stream("Hi.", config={"callbacks": [listener]}):
        pass
    assert [token for token in listener.tokens if token] == ["one", " two"]
    assert listener.starts == 1


def test_one_object_serves_several_loops_and_threads(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = lambda messages, tools: "ok"
    llm = ChatAgentGraph(tenant="acme", app=app)
    for _number in range(3):
        assert asyncio.run(llm.ainvoke("Hi.")).text == "ok"
    assert llm.invoke("Hi.").text == "ok"


def test_a_models_error_reaches_the_caller(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = [ModelInvalidRequestError("no"), ModelInvalidRequestError("no")]
    llm = ChatAgentGraph(tenant="acme", app=app)
    with pytest.raises(ModelInvalidRequestError):
        llm.invoke("Hi.")
    with pytest.raises(ModelInvalidRequestError):
        list(llm.stream("Hi."))


def test_sampling_parameters_reach_the_model(app: AgentGraph, model: ScriptedChatModel) -> None:
    model.script = ["ok"]
    ChatAgentGraph(tenant="acme", app=app, temperature=0.2, max_tokens=9, stop=["END"]).invoke("Hi.", top_p=0.5)
    assert model.calls[0]["parameters"] == {"temperature": 0.2, "max_tokens": 9, "stop": ["END"], "top_p": 0.5}


@pytest.mark.parametrize(
    "options", [{"tenant": "../x"}, {"tenant": "a", "thread": "a/b"}, {"tenant": "a", "user": ""}], ids=str
)
def test_a_bad_identity_is_refused_when_the_model_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        ChatAgentGraph(**options)


def test_an_app_and_a_server_are_too_much(app: AgentGraph) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        ChatAgentGraph(tenant="a", app=app, base_url="http://127.0.0.1:9/v1")


def test_a_tool_choice_that_names_no_tool_is_refused(app: AgentGraph) -> None:
    llm = ChatAgentGraph(tenant="acme", app=app)
    with pytest.raises(InvalidInputError, match="nothing_bound"):
        llm.bind_tools([book], tool_choice="nothing_bound")
    with pytest.raises(InvalidInputError, match="exactly one"):
        llm.bind_tools([], tool_choice=True)
