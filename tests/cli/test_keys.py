"""`agentgraph keys …`: shown once, listed without secrets, ended and replaced."""

import json
from pathlib import Path

import pytest

from agentgraph.cli import main


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tenants"


def test_a_key_is_shown_once(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--tenant", "acme", "--name", "web", "--expires", "30d"]) == 0
    made = capsys.readouterr().out.strip()
    assert made.startswith("ag_")
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "web" in listed
    assert made.split("_")[1] in listed
    assert made.split("_", 2)[2] not in listed
    assert main(["keys", "list", "--json"]) == 0
    assert made.split("_", 2)[2] not in capsys.readouterr().out


def test_a_key_is_rotated_and_revoked_by_id_or_whole(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "create", "--admin", "--json"])
    first = json.loads(capsys.readouterr().out)
    assert main(["keys", "rotate", first["key_id"], "--overlap", "0s", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert main(["keys", "revoke", second["key"]]) == 0
    capsys.readouterr()
    main(["keys", "list", "--json"])
    assert [key["status"] for key in json.loads(capsys.readouterr().out)["keys"]] == ["expired", "revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--admin", "--tenant", "acme"],
        ["--tenant", "acme", "--expires", "soon"],
        ["--tenant", "acme", "--requests-per-min", "0"],
    ],
)
def test_what_makes_no_sense_is_refused(storage: Path, arguments: list[str]) -> None:
    assert main(["keys", "create", *arguments]) == 2
    assert not storage.exists()


def test_a_key_there_is_none_of_is_told(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "revoke", "nosuchkey123"]) == 1
    assert "there is no key 'nosuchkey123'" in capsys.readouterr().err
