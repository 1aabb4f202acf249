"""OpenAI, and every endpoint that speaks its chat-completions format."""

from __future__ import annotations

from typing import Any, NamedTuple

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import APIError, BaseModel, DefaultAioHttpClient

from agentgraph.errors import ConfigurationError
from agentgraph.models.completions import Completions, open_session
from agentgraph.models.load import OpenedModel, Progress
from agentgraph.settings import Settings

__all__ = ["DirectChatOpenAI", "open_chat_model"]


class DirectChatOpenAI(ChatOpenAI):
    """Hands messages to whoever sends them as they are to be sent, and reads answers on the loop.

    The SDK, where it does send them, walks everything it is given by its type hints, which for messages changes nothing
    and costs 0.16 ms each: most of a request on a long thread. What stands in `extra_body` it sends unread.
    """

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Read a plain answer here, which takes microseconds; LangChain has a thread do it, and waits for that."""
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        if "messages" not in payload or "response_format" in payload or self.include_response_headers:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        try:
            answer = await self.async_client.create(**payload)
        except APIError as error:
            # LangChain knows what it calls each error: it is met where LangChain looks for it.
            failing = self.model_copy(update={"async_client": _Failing(error)})
            return await super(DirectChatOpenAI, failing)._agenerate(messages, stop, run_manager, **kwargs)
        return self._create_chat_result(answer)

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        """Mend what LangChain would drop: calls without an index, as Gemini and others send them, and refusals."""
        for choice in chunk.get("choices") or (chunk.get("chunk") or {}).get("choices") or ():
            delta = choice.get("delta") or {}
            for call in delta.get("tool_calls") or ():
                call.setdefault("index", None)
            if refusal := delta.get("refusal"):
                delta["content"] = (delta.get("content") or "") + refusal
        return super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)

    def _create_chat_result(
        self, response: dict[str, Any] | BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        """Say a refusal as what it is, words: LangChain tells of an answer without any."""
        result = super()._create_chat_result(response, generation_info)
        message = result.generations[0].message
        if not message.content:
            told = response if isinstance(response, dict) else response.model_dump(include={"choices"}, warnings=False)
            message.content = told["choices"][0]["message"].get("refusal") or ""
        return result

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if (messages := payload.get("messages")) is not None:
            payload |= {"messages": [], "extra_body": {**(payload.get("extra_body") or {}), "messages": messages}}
        return payload


class _Failing(NamedTuple):
    error: APIError

    @property
    def with_raw_response(self) -> _Failing:
        return self

    async def create(self, **_: Any) -> Any:
        raise self.error


async def open_chat_model(name: str, settings: Settings, progress: Progress | None = None) -> OpenedModel:  # noqa: ARG001  nothing to fetch
    """Open the model `name` at `settings.openai_base_url`, or at OpenAI.

    Raises:
        ConfigurationError: OpenAI itself needs a key. An endpoint of one's own may need none.
    """
    if settings.openai_api_key is None and settings.openai_base_url is None:
        raise ConfigurationError(
            f"the model 'openai/{name}' needs a key: set OPENAI_API_KEY (or OPENAI_BASE_URL for a server of your own)",
            code="missing_api_key",
        )
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    # For what `Completions` does not: the SDK's aiohttp transport, whose own pool collapses at 64 slow calls in flight.
    client = DefaultAioHttpClient(timeout=settings.model_timeout_s)
    model = DirectChatOpenAI(
        model=name,
        api_key=key,  # type: ignore[arg-type]  # a str is accepted and wrapped
        base_url=settings.openai_base_url,
        http_async_client=client,
        timeout=settings.model_timeout_s,
        max_retries=0,  # the graph's RetryPolicy is the one place that retries
        stream_usage=True,  # off by default on a base_url of one's own
        stream_chunk_timeout=None,  # a task for each chunk; the client's own timeout bounds every read
    )
    session = open_session()
    model.async_client = Completions(model.root_async_client, session, timeout_s=settings.model_timeout_s)

    async def close() -> None:
        await session.close()
        await client.aclose()

    return OpenedModel(model=model, close=close)
