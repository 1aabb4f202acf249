"""`agentgraph db`: see and change the schema version of the records database."""

import io
import json
import sqlite3

import pytest

from agentgraph.cli import main
from agentgraph.stores.database.migrate import VERSIONS


@pytest.fixture(autouse=True)
def _in_an_empty_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_current_makes_nothing(capsys, tmp_path):
    assert main(["db", "current"]) == 0
    assert "none yet" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_up_and_down_and_up_again(capsys):
    assert main(["db", "upgrade"]) == 0
    assert f"records.db: empty → {VERSIONS[-1]}" in capsys.readouterr().out
    assert main(["db", "upgrade", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["from"] == VERSIONS[-1]
    assert main(["db", "downgrade", "-1", "--yes"]) == 0
    below = VERSIONS[-2] if len(VERSIONS) > 1 else "empty"
    assert f"{VERSIONS[-1]} → {below}" in capsys.readouterr().out
    assert main(["db", "downgrade", "base", "--yes"]) == 0
    assert main(["db", "upgrade", "--storage", "tenants", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["to"] == VERSIONS[-1]
    assert main(["db", "current", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_newest"] is True


def test_a_downgrade_asks_first(capsys, monkeypatch):
    assert main(["db", "upgrade"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["db", "downgrade", "base"]) == 130
    assert main(["db", "downgrade", "base", "--json"]) == 2
    capsys.readouterr()
    assert main(["db", "current", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == VERSIONS[-1]


def test_a_downgrade_to_nowhere_and_a_wrong_url_are_one_line(capsys):
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "downgrade", "0000", "--yes"]) == 1
    assert "cannot downgrade to '0000'" in capsys.readouterr().err
    assert main(["db", "current", "--url", "mysql://ann:hunter2@host/x"]) == 1
    error = capsys.readouterr().err
    assert "begins with 'mysql'" in error
    assert "hunter2" not in error


def test_a_newer_database_is_refused(capsys, tmp_path):
    assert main(["db", "upgrade", "--url", f"sqlite:///{tmp_path}/file.db"]) == 0
    with sqlite3.connect(tmp_path / "file.db") as connection:
        connection.execute("UPDATE agentgraph_schema_version SET version_num = '9000'")
    connection.close()
    assert main(["db", "upgrade", "--url", f"sqlite:///{tmp_path}/file.db"]) == 1
    assert "is of version 9000" in capsys.readouterr().err
    assert main(["db", "downgrade", "-1", "--yes", "--url", f"sqlite:///{tmp_path}/file.db"]) == 1
    assert "is of version 9000" in capsys.readouterr().err


def test_a_password_is_never_shown(capsys):
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL is installed")
    assert main(["db", "current", "--url", "postgresql://ann:hunter2@127.0.0.1:1/x"]) == 1
    output = capsys.readouterr()
    assert "cannot be reached" in output.err
    assert "hunter2" not in output.err + output.out
