"""A chat model that says what it was told to say, and writes down what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from agentgraph.models.load import OpenedModel, Progress
from agentgraph.settings import Settings

__all__ = ["PROFILES", "Answer", "ScriptedChatModel", "open_chat_model"]

Answer = str | AIMessage | Exception
"""One scripted step: text, a whole message (with tool calls, say), or an error to raise."""

PROFILES: Mapping[str, Mapping[str, Any]] = {"echo": {"tool_calling": True, "text_outputs": True}}


class ScriptedChatModel(BaseChatModel):
    """Answers from a script, in order; asks for more than the script holds fail.

    Attributes:
        script: What to answer, step by step. A function answers every call: it is given the messages and the bound
            tools' names.
        calls: What it was asked: `{"messages", "tools", "tool_choice", "parameters"}`, in order.
        word_by_word: Stream answers in words, as real models do, or whole.
    """

    script: list[Any] | Callable[[Sequence[BaseMessage], Sequence[str]], Any]
    calls: list[dict[str, Any]] = Field(default_factory=list)
    word_by_word: bool = True
    _next: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def unused(self) -> int:
        """How many steps of the script were never asked for; a test should end with none."""
        return 0 if callable(self.script) else len(self.script) - self._next

    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Note the tools; the script decides whether they are called."""
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._answer(messages, stop, kwargs)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from _pieces(self._answer(messages, stop, kwargs), word_by_word=self.word_by_word)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for piece in _pieces(self._answer(messages, stop, kwargs), word_by_word=self.word_by_word):
            yield piece

    def _answer(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        tools = kwargs.pop("tools", None) or []
        self.calls.append(
            {
                "messages": list(messages),
                "tools": tools,
                "tool_choice": kwargs.pop("tool_choice", None),
                "parameters": kwargs | ({"stop": stop} if stop else {}),
            }
        )
        if callable(self.script):
            step = self.script(messages, [tool["function"]["name"] for tool in tools])
        elif self._next < len(self.script):
            step = self.script[self._next]
            self._next += 1
        else:
            raise AssertionError(f"the script has {len(self.script)} answers and was asked for one more")
        if isinstance(step, Exception):
            raise step
        answer = AIMessage(step) if isinstance(step, str) else step
        if answer.usage_metadata is None:
            asked = sum(len(str(message.text).split()) for message in messages)
            said = len(str(answer.text).split())
            answer = answer.model_copy(
                update={
                    "usage_metadata": {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said},
                    "response_metadata": {"model_name": "scripted", **answer.response_metadata},
                }
            )
        return answer


async def open_chat_model(name: str, settings: Settings, progress: Progress | None = None) -> OpenedModel:  # noqa: ARG001
    """Open `scripted/echo`, which repeats what it was told: for trying a deployment without any model."""

    def echo(messages: Sequence[BaseMessage], tools: Sequence[str]) -> AIMessage:  # noqa: ARG001
        said = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
        text = f"You said: {said.text}" if said is not None else "You said nothing."
        return AIMessage(text, response_metadata={"model_name": f"scripted/{name}"})

    return OpenedModel(model=ScriptedChatModel(script=echo))


def _pieces(answer: AIMessage, *, word_by_word: bool) -> Iterator[ChatGenerationChunk]:
    """Cut an answer into chunks as a vendor would: words, then calls in halves, then usage on the last."""
    text = str(answer.text)
    words = text.split(" ") if word_by_word else [text]
    for i, word in enumerate(words):
        if piece := (f" {word}" if i else word):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    chunk = AIMessageChunk(content="", tool_calls=answer.tool_calls)
    for i, call in enumerate(chunk.tool_call_chunks):
        arguments = call["args"] or ""
        half = len(arguments) // 2
        first = tool_call_chunk(name=call["name"], args=arguments[:half], id=call["id"], index=i)
        second = tool_call_chunk(name=None, args=arguments[half:], id=None, index=i)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[first]))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[second]))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
            chunk_position="last",
        )
    )
