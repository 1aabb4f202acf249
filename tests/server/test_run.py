"""`serve`: where it may listen, and how it ends."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agentgraph import Settings
from agentgraph.errors import ConfigurationError
from agentgraph.server.run import listen, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_keys_only_this_machine_is_served(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        serve(Settings.load(host=host, default_model="scripted/echo", storage_dir=tmp_path))
    assert caught.value.code == "insecure_host"


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is in use"):
            serve(Settings.load(port=port, default_model="scripted/echo", storage_dir=tmp_path))


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on 192"):
        serve(
            Settings.load(host="192.0.2.1", port=0, default_model="scripted/echo", storage_dir=tmp_path), insecure=True
        )


def test_no_model_is_an_error_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgraph.models.load.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        serve(Settings.load(port=0, storage_dir=tmp_path))


@pytest.mark.integration
def test_it_says_where_it_is_and_ends_on_an_interrupt(tmp_path: Path) -> None:
    script = (
        "from agentgraph import Settings; from agentgraph.server.run import serve; "
        "settings = Settings.load(port=0, default_model='scripted/echo', enable_memory=False, "
        f"storage_dir={str(tmp_path)!r}); serve(settings, on_ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().decode().strip()
            body = {"messages": [{"role": "user", "content": "Hi"}]}
            answer = httpx.post(f"{url}/v1/acme/chat/completions", json=body, headers={"x-thread-id": "t1"}, timeout=30)
            assert answer.status_code == 200
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in complaints


def test_ipv6_loopback_is_this_machine(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with listen("::1", 0) as listener:
        assert listener.getsockname()[0] == "::1"
