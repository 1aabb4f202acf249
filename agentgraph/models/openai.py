"""OpenAI, and every endpoint that speaks its chat-completions format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from openai import APIError, AsyncOpenAI, AsyncStream, DefaultAioHttpClient
from pydantic import model_validator

from agentgraph.errors import ConfigurationError
from agentgraph.models.load import OpenedModel, Progress
from agentgraph.settings import Settings

__all__ = ["DirectChatOpenAI", "PlainCompletions", "open_chat_model"]

_NOT_IN_THE_BODY: Final = {"extra_headers": "headers", "extra_query": "params", "timeout": "timeout"}


class DirectChatOpenAI(ChatOpenAI):
    """Hands messages to the SDK as they are to be sent, and takes answers as they come (`PlainCompletions`).

    The SDK walks everything it is given by its type hints, which for messages changes nothing and costs 0.16 ms each:
    most of a request on a long thread. What stands in `extra_body` it sends unread.
    """

    @model_validator(mode="after")
    def _take_answers_as_they_come(self) -> Self:
        self.async_client = PlainCompletions(self.root_async_client)
        return self

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

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if (messages := payload.get("messages")) is not None:
            payload |= {"messages": [], "extra_body": {**(payload.get("extra_body") or {}), "messages": messages}}
        return payload


class PlainCompletions:
    """The SDK's chat completions, answered with the JSON as it came: what `ChatOpenAI` makes of it anyhow.

    The SDK builds a model of each piece of an answer, which LangChain turns back at once: two thirds of what a streamed
    answer costs. Connections, errors and the stream itself stay the SDK's.

    Args:
        client: The SDK's.
    """

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> _Parsing:
        """The same for callers that parse the answer themselves."""
        return _Parsing(self)

    async def create(self, **payload: Any) -> Any:
        """Return the answer, or with `stream` its pieces, each as `json.loads` would."""
        body = {name: value for name, value in payload.items() if name not in _NOT_IN_THE_BODY}
        body |= body.pop("extra_body", None) or {}
        options: Any = {
            option: payload[name] for name, option in _NOT_IN_THE_BODY.items() if payload.get(name) is not None
        }
        answer = await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            options=options,
            stream=bool(payload.get("stream")),
            stream_cls=AsyncStream[object],
        )
        if isinstance(answer, dict):
            answer.setdefault("system_fingerprint", None)  # told as "" where it is not there
        return answer


class _Failing(NamedTuple):
    error: APIError

    @property
    def with_raw_response(self) -> _Failing:
        return self

    async def create(self, **_: Any) -> Any:
        raise self.error


class _Parsing(NamedTuple):
    completions: PlainCompletions

    async def create(self, **payload: Any) -> _Parsed:
        return _Parsed(await self.completions.create(**payload))


class _Parsed(NamedTuple):
    answer: Any
    headers: Mapping[str, str] = {}

    def parse(self) -> Any:
        return self.answer


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
    # The SDK's aiohttp transport: its httpx pool collapses at 64 slow calls in flight.
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
    return OpenedModel(model=model, close=client.aclose)
