"""Every knob is read from one place, checked, and documented."""

from pathlib import Path

import pytest

from agentgraph.errors import ConfigurationError
from agentgraph.settings import Settings


def test_the_environment_is_read_with_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTGRAPH_MEM_TOP_K", "3")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    settings = Settings.load()
    assert settings.mem_top_k == 3
    assert settings.openai_base_url == "http://127.0.0.1:9"


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTGRAPH_MEM_TOP_K", "3")
    assert Settings.load(mem_top_k=4).mem_top_k == 4


def test_an_env_file_is_read_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AGENTGRAPH_MEM_TOP_K=5\n")
    monkeypatch.chdir(tmp_path)
    assert Settings.load().mem_top_k == 6
    assert Settings.load(env_file=tmp_path / ".env").mem_top_k == 5


def test_faults_name_every_field_and_quote_no_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(mem_top_k=0, port=99_999, openai_api_key=["sk-secret"], nonsense=1)
    text = caught.value.message
    assert all(name in text for name in ("mem_top_k", "port", "nonsense", "openai_api_key"))
    assert "sk-secret" not in text


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="IANA"):
        Settings.load(timezone="Mars/Olympus")


def test_keys_do_not_show_when_settings_are_printed() -> None:
    assert "sk-secret" not in repr(Settings.load(openai_api_key="sk-secret"))


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
