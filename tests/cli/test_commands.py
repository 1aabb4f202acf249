"""The other commands, their errors and their help."""

import json
import subprocess
import sys

import pytest

from agentgraph.cli import main


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY", "AGENTGRAPH_DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)


def chatted(*lines, options=()):
    """Pipe `lines` into a chat of their own process and return what it wrote."""
    command = [sys.executable, "-m", "agentgraph", "chat", "--model", "scripted/echo", *options]
    done = subprocess.run(
        command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_chat_answers_piped_lines_and_lists_memories():
    output = chatted("I like tea without sugar.", "/memories", "/help", "/quit", "never said")
    assert "agent   You said:" in output
    assert "● I like tea without sugar.  told" in output
    assert "/new " in output
    assert "never said" not in output


def test_chat_forgets_the_thread_but_not_the_memory_with_new():
    output = chatted("My cat is called Plato.", "/new", "What is my cat called?")
    assert "thread chat-" in output
    assert "1 memory" in output


def test_chat_tells_of_unknown_commands_and_goes_on():
    assert "no command /jump" in chatted("/jump", "Hello there, friend.")


def test_help_names_every_command_and_imports_nothing_heavy():
    code = "import sys; from agentgraph.cli import main; main(['--help']); print('langchain_core' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    commands = ("demo", "chat", "serve", "doctor", "graph", "memory", "threads", "db")
    assert all(command in done.stdout for command in commands)
    assert done.stdout.strip().endswith("False")


def test_doctor_fails_where_nothing_can_answer(capsys, monkeypatch):
    monkeypatch.setattr("agentgraph.models.load.find_spec", lambda name: None)
    monkeypatch.setattr("agentgraph.cli.doctor.find_spec", lambda name: None)
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["usable"] is False
    (model,) = [finding for finding in report["findings"] if finding["name"] == "default model"]
    assert model["status"] == "bad"
    assert "OPENAI_API_KEY" in model["detail"]


def test_doctor_is_content_with_an_endpoint_and_hides_keys(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "default model openai/gpt-4o-mini" in " ".join(output.split())
    assert "sk-secret" not in output


def test_doctor_says_that_storage_cannot_be_written(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTGRAPH_STORAGE_DIR", str(tmp_path / "file" / "below"))
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [finding["name"] for finding in report["findings"] if finding["status"] == "bad"] == ["storage"]


def test_graph_is_drawn_as_mermaid(capsys):
    assert main(["graph", "--mermaid"]) == 0
    drawing = capsys.readouterr().out
    assert "retrieve_memory --> filter_by_time" in drawing
    assert "execute_tools" in drawing


def test_graph_is_painted_without_a_network(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="a picture needs the extra: pip install 'agentgraph[draw]'")
    assert main(["graph", "--png", str(tmp_path / "graph.png")]) == 0
    with image.open(tmp_path / "graph.png") as picture:
        assert picture.width > 300
        assert picture.height > picture.width
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 10


def test_the_env_file_is_read_and_the_environment_wins(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.env").write_text("OPENAI_API_KEY=sk-x\nAGENTGRAPH_DEFAULT_MODEL=openai/gpt-4o\nUNRELATED=1\n")
    assert main(["--env-file", str(tmp_path / "mine.env"), "doctor", "--json"]) == 0
    assert '"detail":"openai/gpt-4o"' in capsys.readouterr().out
    monkeypatch.setenv("AGENTGRAPH_DEFAULT_MODEL", "openai/gpt-4o-mini")
    assert main(["--env-file", str(tmp_path / "mine.env"), "doctor", "--json"]) == 0
    assert '"detail":"openai/gpt-4o-mini"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["chat", "--tenant", "a/b"], 1, "tenant 'a/b' is not allowed"),
        (["chat", "--timezone", "Mars/Base"], 1, "unknown time zone 'Mars/Base'"),
        (["chat", "--model", "openai/gpt-4oo"], 1, "unknown model 'openai/gpt-4oo'"),
        (["--env-file", "absent.env", "doctor"], 1, "absent.env"),
        (["graph", "--png", "absent/graph.png"], 1, "cannot write"),
        (["graph", "--mermaid", "--png", "x.png"], 2, "choose one"),
        (["serve", "--host", "0.0.0.0", "--model", "scripted/echo", "--port", "0"], 1, "--insecure"),
        (["jump"], 2, "jump"),
    ],
)
def test_what_goes_wrong_is_said_without_a_traceback(capsys, arguments, code, said):
    if "--png" in arguments and code == 1:
        pytest.importorskip("PIL")
    if "serve" in arguments:
        pytest.importorskip("fastapi")
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
