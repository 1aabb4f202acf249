"""A model's name means one thing, and a name nobody knows is an error that helps."""

from typing import Any

import pytest

from agentgraph.errors import ConfigurationError, MissingExtraError, NotFoundError
from agentgraph.models import load
from agentgraph.models.catalogue import PROVIDERS, known_models, parse_model
from agentgraph.models.load import ModelPool, default_model_name
from agentgraph.settings import Settings


def parsed(spec: str, **options: Any) -> str:
    return str(parse_model(spec, Settings.load(**options)))


@pytest.mark.parametrize(
    ("spec", "means"),
    [
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai:gpt-4o-mini", "openai/gpt-4o-mini"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("OpenAI/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-2024-07-18"),
        ("gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gemini/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google_genai:gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("local/qwen2.5-coder-1.5b-instruct", "local/qwen2.5-coder-1.5b-instruct"),
        ("scripted/echo", "scripted/echo"),
    ],
)
def test_every_spelling_of_a_model_is_understood(spec: str, means: str) -> None:
    assert parsed(spec) == means


@pytest.mark.parametrize(
    ("spec", "nearest"),
    [
        ("openai/gpt-4o-minni", "openai/gpt-4o-mini"),
        ("gpt-4o-minni", "openai/gpt-4o-mini"),
        ("google/gemini-2.5-flahs", "google/gemini-2.5-flash"),
        ("local/qwen2.5-coder-1.5b", "local/qwen2.5-coder-1.5b-instruct"),
        ("openai/text-embedding-3-small", "openai/"),
    ],
)
def test_an_unknown_model_is_an_error_that_names_the_nearest(spec: str, nearest: str) -> None:
    with pytest.raises(NotFoundError, match=nearest) as caught:
        parsed(spec)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("spec", ["mistral-large-latest", "nobody/gpt-4o", "", "/", "openai/", "llama3"])
def test_a_name_of_no_vendor_never_falls_back_to_another(spec: str) -> None:
    with pytest.raises(NotFoundError):
        parsed(spec)


def test_an_endpoint_of_ones_own_may_have_any_models() -> None:
    assert parsed("openai/my-model", openai_base_url="http://127.0.0.1:9/v1") == "openai/my-model"
    with pytest.raises(NotFoundError):
        parsed("google/my-model", openai_base_url="http://127.0.0.1:9/v1")


def test_the_check_can_be_switched_off() -> None:
    assert parsed("openai/gpt-next", allow_unknown_models=True) == "openai/gpt-next"


def test_every_vendors_default_is_known() -> None:
    for provider in PROVIDERS:
        assert provider.default_model in known_models(provider)


def test_the_default_is_the_first_vendor_with_a_key_and_else_the_local_model() -> None:
    assert default_model_name(Settings.load(default_model="scripted/echo", openai_api_key="k")) == "scripted/echo"
    assert default_model_name(Settings.load(openai_api_key="k", google_api_key="k")) == "openai/gpt-4o-mini"
    assert default_model_name(Settings.load(google_api_key="k")) == "google/gemini-2.5-flash"
    assert default_model_name(Settings.load()) == "local/qwen2.5-coder-1.5b-instruct"


def test_without_key_and_without_local_model_one_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        default_model_name(Settings.load())
    assert caught.value.code == "no_chat_model"
    for way in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "OPENAI_BASE_URL", "agentgraph[local]"):
        assert way in caught.value.message


async def test_a_vendor_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(load, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"agentgraph\[google\]"):
        await ModelPool(Settings.load(google_api_key="k")).get("google/gemini-2.5-flash")


@pytest.mark.parametrize("spec", ["openai/gpt-4o-mini", "google/gemini-2.5-flash"])
async def test_a_vendor_without_its_key_says_which(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="_API_KEY"):
        await ModelPool(Settings.load()).get(spec)


async def test_spellings_of_one_model_share_it() -> None:
    pool = ModelPool(Settings.load())
    assert await pool.get("scripted/echo") is await pool.get("scripted:echo")
    await pool.aclose()


def test_sampling_parameters_are_spelt_as_the_vendor_does() -> None:
    pool = ModelPool(Settings.load())
    asked = {"max_tokens": 9, "temperature": 0.5, "user": "ana"}
    assert pool.translated("google/gemini-2.5-flash", asked) == {"max_output_tokens": 9, "temperature": 0.5}
    assert pool.translated("openai/gpt-4o-mini", asked) == asked
