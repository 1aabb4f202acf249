"""OpenAI, and every endpoint that speaks its chat-completions format."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_openai import ChatOpenAI
from openai import DefaultAioHttpClient

from agentgraph.errors import ConfigurationError
from agentgraph.models.load import OpenedModel, Progress
from agentgraph.settings import Settings

__all__ = ["DirectChatOpenAI", "open_chat_model"]


class DirectChatOpenAI(ChatOpenAI):
    """Hands messages to the SDK as they are to be sent.

    The SDK walks everything it is given by its type hints, which for messages changes nothing and costs 0.16 ms each:
    most of a request on a long thread. What stands in `extra_body` it sends unread.
    """

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if (messages := payload.get("messages")) is not None:
            payload |= {"messages": [], "extra_body": {**(payload.get("extra_body") or {}), "messages": messages}}
        return payload


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
    )
    return OpenedModel(model=model, close=client.aclose)
