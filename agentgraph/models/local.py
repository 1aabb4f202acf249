"""Run a local GGUF model behind llama.cpp's own OpenAI-compatible server, and open it as a LangChain chat model.

The server is a child process (`llama_server.py`): its crash or its threads never harm the application. Where the
weights come from is `local_files.py`'s business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Self

from langchain_openai import ChatOpenAI
from openai import DefaultAioHttpClient, DefaultHttpxClient

from agentgraph.errors import ConfigurationError, MissingExtraError
from agentgraph.models.load import OpenedModel, Progress
from agentgraph.models.local_files import DEFAULT_LOCAL_MODEL, LOCAL_MODELS, fetch_model_file
from agentgraph.settings import Settings

__all__ = ["PROFILES", "LocalModelServer", "ServerOptions", "open_chat_model", "open_local_chat_model"]

PROFILES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        name: MappingProxyType(
            {
                "max_input_tokens": model.context_tokens,
                "max_output_tokens": model.context_tokens,
                "text_inputs": True,
                "text_outputs": True,
                "image_inputs": False,
                "audio_inputs": False,
                "video_inputs": False,
                "tool_calling": True,
                "tool_choice": True,
                "structured_output": True,
                "reasoning_output": False,
            }
        )
        for name, model in LOCAL_MODELS.items()
    }
)


async def open_chat_model(name: str, settings: Settings, progress: Progress | None = None) -> OpenedModel:
    """Open the local model `name` as the settings say.

    Raises:
        MissingExtraError: The `local` extra is not installed.
        NotFoundError: `settings.local_model_path` is no GGUF file.
        ConfigurationError: The weights cannot be had, or llama.cpp cannot run them.
    """
    return await open_local_chat_model(
        settings.local_model_path or name,
        name=name,
        progress=progress,
        context_tokens=settings.local_context_tokens,
        timeout_s=settings.model_timeout_s,
    )


async def open_local_chat_model(
    name_or_path: str | Path = DEFAULT_LOCAL_MODEL,
    *,
    name: str | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    context_tokens: int = 8192,
    slots: int = 2,
    threads: int | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    timeout_s: float = 120.0,
) -> OpenedModel:
    """Fetch the weights if need be, start the server, and return a chat model that talks to it.

    Models opened from one file with the same options share one server; it ends when the last of them is closed.

    Args:
        name_or_path: A name in `LOCAL_MODELS`, or the path of a GGUF file.
        name: What the model is called in answers; by default the name, or the file's without its suffix.
        cache_dir: Where fetched weights are kept.
        progress: Told how far a download has come, from a worker thread.
        context_tokens: Prompt and answer of one request together.
        slots: Requests computed at once; further ones wait. Each takes memory for a context of its own.
        threads: Of the computation; by default one for each core this process may use, at most 8.
        temperature: Of every request that names none.
        max_tokens: Longest answer of every request that names none; small models can go on for ever.
        timeout_s: Longest wait for the next bytes of an answer.

    Raises:
        MissingExtraError: The `local` extra is not installed.
        NotFoundError: Neither a known name nor a GGUF file.
        ConfigurationError: The weights cannot be had, or llama.cpp cannot run them.
    """
    if find_spec("xllamacpp") is None:
        raise MissingExtraError("local", needed_for=f"the local model {str(name_or_path)!r}")
    path = await fetch_model_file(name_or_path, cache_dir=cache_dir, progress=progress)
    known_as = name or (Path(name_or_path).stem if path == Path(name_or_path) else str(name_or_path))
    options = ServerOptions(
        model_path=path.resolve(),
        alias=known_as,
        context_tokens=context_tokens,
        slots=slots,
        threads=threads or min(8, _usable_cores()),
    )
    server = _share(options)
    try:
        await server.start()
    except BaseException:
        await _release(options)
        raise
    # Neither client reads the environment: a proxy set there cannot reach this machine's loopback.
    client = DefaultHttpxClient(timeout=timeout_s, trust_env=False)
    async_client = DefaultAioHttpClient(timeout=timeout_s, trust_env=False)
    model = ChatOpenAI(
        model=known_as,
        base_url=server.base_url,
        api_key=server.api_key,  # type: ignore[arg-type]  # a str is accepted and wrapped
        http_client=client,
        http_async_client=async_client,
        temperature=temperature,
        max_completion_tokens=max_tokens,
        timeout=timeout_s,
        max_retries=0,  # the graph's RetryPolicy is the one place that retries
        stream_usage=True,
        use_responses_api=False,
        profile={**PROFILES.get(known_as, _UNKNOWN_PROFILE), "max_input_tokens": context_tokens},  # type: ignore[arg-type]
    )

    async def close() -> None:
        client.close()
        await async_client.aclose()
        await _release(options)

    return OpenedModel(model=model, close=close)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How llama.cpp serves a model.

    Attributes:
        model_path: The GGUF file.
        alias: The model's name in requests and answers.
        context_tokens: Prompt and answer of one request together.
        slots: Requests computed at once.
        threads: Threads of the computation.
        temperature: Where a request names none. Small quantised models need a low one.
        max_tokens: Longest answer where a request names none.
        cache_mib: Memory for prompts computed before, beside the slots' own.
    """

    model_path: Path
    alias: str
    context_tokens: int = 8192
    slots: int = 2
    threads: int = 2
    temperature: float = 0.2
    max_tokens: int = 1024
    cache_mib: int = 512


class LocalModelServer:
    """llama.cpp's HTTP server as a child process on the loopback interface, behind a random key.

    The child ends with this process, also when that is killed. One that crashed is started again on the same port, so
    that whoever holds `base_url` goes on; one that crashes at once is left dead.

    Use it as an async context manager, or `start` and `aclose` it; it may be started on one event loop and closed on
    another.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._api_key = secrets.token_urlsafe(24)
        self._changing = threading.Lock()  # held while the child is started or stopped
        self._child: _Child | None = None
        self._port = 0
        self._wanted = False

    @property
    def base_url(self) -> str:
        """Where an OpenAI client finds it.

        Raises:
            RuntimeError: It was not started.
        """
        if not self._port:
            raise RuntimeError("the local model's server was not started")
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def api_key(self) -> str:
        """What a client must send as its bearer token."""
        return self._api_key

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        child = self._child
        return child.process.pid if child is not None and child.process.poll() is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Start the child and wait until it answers; nothing if it runs.

        Raises:
            ConfigurationError: llama.cpp cannot run the file; the message holds its reason.
        """
        await asyncio.to_thread(self._start)

    async def aclose(self) -> None:
        """End the child; requests that run are cut off."""
        await asyncio.to_thread(self._stop)

    def _start(self) -> None:
        with self._changing:
            if self._child is not None:
                return
            self._child = _Child.start(self._options, self._api_key, self._port)
            self._port = self._child.port
            self._wanted = True
        threading.Thread(target=self._keep_alive, args=(self._child,), name="agentgraph-llama", daemon=True).start()

    def _stop(self) -> None:
        self._wanted = False
        with self._changing:
            if self._child is not None:
                self._child.stop()
                self._child = None

    def _keep_alive(self, child: _Child) -> None:
        while True:
            code = child.process.wait()
            with self._changing:
                if not self._wanted or self._child is not child:
                    return
                _log.error("the local model's server ended with code %s: %s", code, child.last_words())
                child.stop()
                if time.monotonic() - child.started_at < _SHORT_LIFE_S:
                    return
                try:
                    child = self._child = _Child.start(self._options, self._api_key, self._port)
                except ConfigurationError as error:
                    _log.error("the local model's server cannot be started again: %s", error)
                    return


_log: Final = logging.getLogger(__name__)
_START_TIMEOUT_S: Final = 180.0  # a cold disk and a busy machine; warm it takes two seconds
_STOP_TIMEOUT_S: Final = 5.0
_SHORT_LIFE_S: Final = 10.0
_TOOLS_TEMPLATE: Final = Path(__file__).parent / "templates" / "qwen2.5-coder-tools.jinja"
_UNKNOWN_PROFILE: Final[Mapping[str, Any]] = MappingProxyType(
    {"text_inputs": True, "text_outputs": True, "tool_calling": True, "structured_output": True}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """The process that serves, and where."""

    process: subprocess.Popen[str]
    complaints: IO[bytes]
    port: int
    started_at: float

    @classmethod
    def start(cls, options: ServerOptions, api_key: str, port: int) -> _Child:
        """Start the process and wait until it serves; `port` 0 takes any that is free."""
        script = Path(__file__).with_name("llama_server.py")
        complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop; a pipe would have to be read
        process = subprocess.Popen(  # noqa: S603
            # As a script, so that nothing of ours is imported; -P keeps this folder's openai.py from hiding the SDK.
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the application, which closes the model when it is done
        )
        child = cls(process=process, complaints=complaints, port=port, started_at=time.monotonic())
        answer = child.ask(_wire_options(options, api_key, port))
        if "address" not in answer:
            reason = child.last_words() or answer.get("error") or f"exit code {process.poll()}"
            child.stop()
            raise ConfigurationError(
                f"llama.cpp cannot serve {str(options.model_path)!r}: {reason}. If the file is damaged, delete it and "
                "start again; if memory is short, lower AGENTGRAPH_LOCAL_CONTEXT_TOKENS.",
                code="local_model_failed",
            )
        served = int(answer["address"].rpartition(":")[2].rstrip("/"))
        return cls(process=process, complaints=complaints, port=served, started_at=time.monotonic())

    def ask(self, options: dict[str, Any]) -> dict[str, str]:
        """Hand the options over and return the child's answer; empty if it died or took too long."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        overdue = threading.Timer(_START_TIMEOUT_S, self.process.kill)
        overdue.start()
        try:
            self.process.stdin.write(json.dumps(options) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            overdue.cancel()
        answer: dict[str, str] = json.loads(line) if line else {}
        return answer

    def last_words(self) -> str:
        """Return the last of what it complained of."""
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-3:] if line.strip())[:600]

    def stop(self) -> None:
        """End the process and let go of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):  # the end of its input is its sign to end
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    _log.debug("the local model's server had ended before it was told to")
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.complaints.close()


def _wire_options(options: ServerOptions, api_key: str, port: int) -> dict[str, Any]:
    # The published template lets the coder models write calls that llama.cpp does not recognise.
    is_coder = "qwen2.5-coder" in options.model_path.name.lower()
    return {
        "model_path": str(options.model_path),
        "alias": options.alias,
        "port": port,
        "api_key": api_key,
        "slots": options.slots,
        "context_tokens": options.context_tokens,
        "threads": options.threads,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "cache_mib": options.cache_mib,
        "chat_template": _TOOLS_TEMPLATE.read_text(encoding="utf-8") if is_coder else None,
    }


@dataclass(slots=True, kw_only=True)
class _Shared:
    server: LocalModelServer
    pid: int = field(default_factory=os.getpid)
    users: int = 0


# Process-wide on purpose: a second copy of the weights in memory helps nobody, however many applications are open.
_shared: Final[dict[ServerOptions, _Shared]] = {}
_sharing: Final = threading.Lock()


def _share(options: ServerOptions) -> LocalModelServer:
    with _sharing:
        shared = _shared.get(options)
        if shared is None or shared.pid != os.getpid():  # a fork does not own its parent's child
            shared = _shared[options] = _Shared(server=LocalModelServer(options))
        shared.users += 1
        return shared.server


async def _release(options: ServerOptions) -> None:
    with _sharing:
        shared = _shared.get(options)
        if shared is None:
            return
        shared.users -= 1
        if shared.users:
            return
        del _shared[options]
    await shared.server.aclose()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
