"""Google's Gemini through its developer API (never Vertex, which LangChain's own name inference would pick)."""

from __future__ import annotations

from langchain_google_genai import ChatGoogleGenerativeAI

from agentgraph.errors import ConfigurationError
from agentgraph.models.load import OpenedModel, Progress
from agentgraph.settings import Settings

__all__ = ["open_chat_model"]


async def open_chat_model(name: str, settings: Settings, progress: Progress | None = None) -> OpenedModel:  # noqa: ARG001  nothing to fetch
    """Open the Gemini model `name`.

    Raises:
        ConfigurationError: No key is set.
    """
    if settings.google_api_key is None:
        raise ConfigurationError(f"the model 'google/{name}' needs a key: set GOOGLE_API_KEY", code="missing_api_key")
    model = ChatGoogleGenerativeAI(
        model=name,
        google_api_key=settings.google_api_key,
        timeout=settings.model_timeout_s,
        max_retries=1,  # one attempt: the graph's RetryPolicy is the one place that retries
        vertexai=False,
    )
    return OpenedModel(model=model)
