"""Which vendors there are and which model a name means: data, and one function that reads a name.

Adding a vendor is a row in `PROVIDERS`, a file that opens its models and an extra in pyproject.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from agentgraph.errors import NotFoundError
from agentgraph.settings import Settings

__all__ = ["PROVIDERS", "ModelName", "Provider", "known_models", "parse_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A vendor of chat models.

    Attributes:
        name: The word before the slash, with `aliases`.
        opener: `module:function` that opens a model; imported when a model of this vendor is first asked for.
        extra: The pyproject extra that installs what the opener imports.
        key_setting: The `Settings` field whose presence says that the vendor can be used; `None` needs none.
        default_model: Used where no model is named and this vendor is the first that can be used.
        profiles: `module:attribute` of the model profiles, a mapping from names to capabilities.
        prefixes: Bare model names that begin like this are this vendor's.
        parameters: The vendor's spelling of OpenAI's sampling parameters, where it differs; `""` has no equivalent.
        needs_guidance: Whether its models are so small that they must be told, next to each question, how to use what
            is recalled. (Not in the profiles: LangChain's are a closed set of keys.)
        open_endpoint_setting: The `Settings` field that points at somebody else's server with models of its own.
    """

    name: str
    opener: str
    extra: str | None
    default_model: str
    profiles: str
    key_setting: str | None = None
    aliases: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    needs_guidance: bool = False
    open_endpoint_setting: str | None = None


PROVIDERS: Final = (
    Provider(
        name="openai",
        opener="agentgraph.models.openai:open_chat_model",
        extra=None,
        key_setting="openai_api_key",
        default_model="gpt-4o-mini",
        profiles="langchain_openai.data._profiles:_PROFILES",
        prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4"),
        open_endpoint_setting="openai_base_url",
    ),
    Provider(
        name="google",
        aliases=("gemini", "google_genai"),
        opener="agentgraph.models.google:open_chat_model",
        extra="google",
        key_setting="google_api_key",
        default_model="gemini-2.5-flash",
        profiles="langchain_google_genai.data._profiles:_PROFILES",
        prefixes=("gemini-", "gemma-"),
        parameters=MappingProxyType(
            {"max_tokens": "max_output_tokens", "parallel_tool_calls": "", "user": "", "logit_bias": ""}
        ),
    ),
    Provider(
        name="local",
        opener="agentgraph.models.local:open_chat_model",
        extra="local",
        default_model="qwen2.5-coder-1.5b-instruct",
        profiles="agentgraph.models.local:PROFILES",
        prefixes=("qwen2.5-coder-",),
        needs_guidance=True,
    ),
    Provider(
        name="scripted",
        opener="agentgraph.testing.scripted:open_chat_model",
        extra=None,
        default_model="echo",
        profiles="agentgraph.testing.scripted:PROFILES",
    ),
)
_BY_NAME: Final = {name: provider for provider in PROVIDERS for name in (provider.name, *provider.aliases)}
_DATED: Final = re.compile(r"-\d{4}-?\d{2}-?\d{2}$|-\d{3}$|-latest$")
_SPELT: Final = re.compile(r"([A-Za-z_]+)[/:](.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model that the catalogue knows how to open."""

    provider: Provider
    name: str

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"


def parse_model(spec: str, settings: Settings) -> ModelName:
    """Read `provider/model`, `provider:model` or a bare model name.

    Names are checked against the vendor's model profiles, except on an endpoint of the user's own
    (`openai_base_url`), whose models nobody can know, or with `allow_unknown_models`.

    Raises:
        NotFoundError: No such vendor or model; the message names the nearest.
    """
    if match := _SPELT.fullmatch(spec):
        word, name = match.groups()
        provider = _BY_NAME.get(word.lower())
        if provider is None:
            raise NotFoundError(
                f"unknown model provider {word!r} in {spec!r}; known: {', '.join(p.name for p in PROVIDERS)}",
                code="model_not_found",
            )
    else:
        provider, name = _owner(spec), spec
    if settings.allow_unknown_models or _has_open_endpoint(provider, settings):
        return ModelName(provider=provider, name=name)
    known = known_models(provider)
    if name not in known and _DATED.sub("", name) not in known:
        raise _unknown(spec, (f"{provider.name}/{each}" for each in known), f"{provider.name}/{name}")
    return ModelName(provider=provider, name=name)


def known_models(provider: Provider) -> Mapping[str, Mapping[str, Any]]:
    """Return the vendor's chat models and their profiles; empty where its package is not installed."""
    try:
        profiles = _load(provider.profiles)
    except ImportError:
        return {provider.default_model: {}}
    # Image and speech models share the vendors' tables, and so do embedding models, which those say write text.
    return {
        name: profile
        for name, profile in profiles.items()
        if profile.get("text_outputs", True) and "embedding" not in name
    }


def _owner(name: str) -> Provider:
    for provider in PROVIDERS:
        if name.startswith(provider.prefixes or ("\0",)):
            return provider
    raise _unknown(name, (f"{provider.name}/{each}" for provider in PROVIDERS for each in known_models(provider)), name)


def _unknown(spec: str, known: Iterable[str], wanted: str) -> NotFoundError:
    names = list(known)
    # A bare name is compared with bare names: the vendor's part would drown the likeness.
    bare = {each.partition("/")[2]: each for each in names}
    near = [bare[each] for each in difflib.get_close_matches(wanted.partition("/")[2] or wanted, bare, n=3, cutoff=0.4)]
    hint = f"Did you mean {', '.join(near)}?" if near else f"Known are, among others: {', '.join(names[:5])}."
    return NotFoundError(
        f"unknown model {spec!r}. {hint} (AGENTGRAPH_ALLOW_UNKNOWN_MODELS=true skips this check.)",
        code="model_not_found",
    )


def _has_open_endpoint(provider: Provider, settings: Settings) -> bool:
    return provider.open_endpoint_setting is not None and bool(getattr(settings, provider.open_endpoint_setting))


def _load(path: str) -> Mapping[str, Mapping[str, Any]]:
    module, _, attribute = path.partition(":")
    profiles: Mapping[str, Mapping[str, Any]] = getattr(import_module(module), attribute)
    return profiles
