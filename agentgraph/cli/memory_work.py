"""What `agentgraph memory …` does: opens the application, asks it, and shows or writes the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, cast
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.console import Console
from rich.text import Text

from agentgraph.app import AgentGraph
from agentgraph.cli.asking import Asking
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.memory_view import memory_lines, plan_table, recall_view, timeline_lines, whole_memory
from agentgraph.cli.work_bar import WorkBar
from agentgraph.errors import ConfigurationError, InvalidInputError, NotFoundError
from agentgraph.memory.stored import Memory
from agentgraph.memory.transfer import ImportReport
from agentgraph.temporal import resolve

__all__ = ["Desk"]

_FAULTS_SHOWN: Final = 20


class Desk(Asking):
    """One command's place: whose memories, where they are kept, and how the answer is given.

    Raises:
        ConfigurationError: The settings themselves cannot be read.
    """

    def __init__(
        self,
        invocation: Invocation,
        *,
        tenant: str,
        user: str | None = None,
        session: str | None = None,
        storage: Path | None = None,
        as_json: bool = False,
        model: str | None = None,
    ) -> None:
        super().__init__(invocation.settings(storage_dir=storage, embedding_model=model), as_json=as_json)
        self._scope: dict[str, Any] = {"tenant": tenant, "user": user, "session": session}

    def list(self, *, kind: str | None, limit: int, offset: int, include_superseded: bool) -> None:
        """List memories."""
        if kind not in {None, "episode", "fact", "note"}:
            raise InvalidInputError(f"kind {kind!r} is none of episode, fact, note", param="kind")
        found = self._ask(
            lambda app: app.memories.list(
                **self._scope,
                kind=cast("Any", kind),
                limit=limit,
                offset=offset,
                include_superseded=include_superseded,
            )
        )
        self._show({"memories": [each.as_record() for each in found]}, lambda: memory_lines(found, self._zone))

    def search(self, query: str, **options: Any) -> None:
        """Recall what a run would."""
        found = self._recalled(query, options)
        self._show(
            {"query": query, "windows": found.windows, "memories": found.kept},
            lambda: recall_view(found.windows, found.kept, []),
        )

    def explain(self, question: str, **options: Any) -> None:
        """Recall, and give every receipt."""
        found = self._recalled(question, options)
        self._show(
            {"query": question, "windows": found.windows, "kept": found.kept, "left_out": found.left_out},
            lambda: recall_view(found.windows, found.kept, found.left_out, is_explained=True),
        )

    def get(self, key: str) -> None:
        """Show one memory."""
        self._one(self._ask(lambda app: app.memories.get(key, **self._scope)))

    def add(self, text: str, *, said_at: datetime | None, timezone: str | None, **options: Any) -> None:
        """Add a memory as if it had been said."""
        options |= {"said_at": self._aware(said_at, timezone), "timezone": timezone}
        self._one(self._ask(lambda app: app.memories.add(text, **self._scope, **options)))

    def put(self, key: str, text: str, *, said_at: datetime | None, timezone: str | None, **options: Any) -> None:
        """Set a note."""
        options |= {"said_at": self._aware(said_at, timezone), "timezone": timezone}
        if self._scope["session"] is not None:
            raise InvalidInputError("notes belong to a tenant or a user, not to a session", param="session")
        whose = {name: part for name, part in self._scope.items() if name != "session"}
        self._one(self._ask(lambda app: app.memories.put(key, text, **whose, **options)))

    def update(self, key: str, text: str, *, said_at: datetime | None, timezone: str | None) -> None:
        """Correct a memory."""
        when = self._aware(said_at, timezone)
        self._one(self._ask(lambda app: app.memories.update(key, text, **self._scope, said_at=when, timezone=timezone)))

    def expire(self, key: str, *, ttl_minutes: float | None, at: datetime | None) -> None:
        """Give a memory an end."""
        end = self._aware(at, None)
        self._one(self._ask(lambda app: app.memories.expire(key, **self._scope, ttl_minutes=ttl_minutes, at=end)))

    def delete(self, key: str) -> None:
        """Delete a memory."""
        self._ask(lambda app: app.memories.delete(key, **self._scope))
        self._show({"deleted": key}, lambda: Text(f"deleted {key}"))

    def timeline(
        self,
        *,
        when: str | None,
        start: datetime | None,
        end: datetime | None,
        timezone: str | None,
        limit: int,
    ) -> None:
        """List memories along time."""
        bounds: dict[str, Any] = {"start": self._aware(start, timezone), "end": self._aware(end, timezone)}
        if when is not None:
            windows = resolve(when, now=datetime.now(UTC), zone=timezone or self._settings.timezone)
            if not windows:
                raise InvalidInputError(f"--when {when!r} names no time such as 'last month'", param="when")
            bounds = {"start": windows[0].start, "end": windows[0].end}
        line = self._ask(lambda app: app.memories.timeline(**self._scope, **bounds, limit=limit))
        zone = ZoneInfo(timezone) if timezone else self._zone
        record = [{"at": each.at.isoformat(), "clock": each.clock, "memory": each.memory.as_record()} for each in line]
        self._show({"timeline": record}, lambda: timeline_lines(line, zone))

    def history(self, key: str) -> None:
        """Show what a memory superseded."""
        found = self._ask(lambda app: app.memories.history(key, **self._scope))
        self._show({"history": [each.as_record() for each in found]}, lambda: memory_lines(found, self._zone))

    def export(self, output: Path | None) -> None:
        """Write memories as JSON Lines, to stdout or a file."""

        async def write(app: AgentGraph, to: IO[bytes]) -> int:
            count = 0
            with WorkBar("exporting", unit="memories") as bar:
                async for row in app.memories.export(**self._scope):
                    to.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                    count += 1
                    bar.update(count)
            return count

        if output is None:
            self._ask(lambda app: write(app, sys.stdout.buffer))
            sys.stdout.buffer.flush()
            return
        with output.open("wb") as file:
            count = self._ask(lambda app: write(app, file))
        self._show({"exported": count, "file": str(output)}, lambda: Text(f"wrote {count:,} memories to {output}"))

    def import_file(self, file: Path, *, timezone: str | None, name: str | None, is_strict: bool) -> bool:
        """Import `file` and say whether every line could be read."""
        is_stdin = str(file) == "-"
        if not is_stdin and not file.is_file():
            raise NotFoundError(f"there is no file {str(file)!r}", code="no_file")
        total = None if is_stdin else file.stat().st_size
        with WorkBar("importing", unit="rows", total=total) as bar, _opened(file) as lines:
            read = _Counted(lines)
            report = self._ask(
                lambda app: app.memories.import_rows(
                    read,
                    **self._scope,
                    timezone=timezone,
                    name=name or ("stdin" if is_stdin else file.name),
                    is_strict=is_strict,
                    progress=lambda so_far: bar.update(so_far.rows, done=read.size_bytes),
                )
            )
        self._show(asdict(report), lambda: Text(_told(report)))
        if not self._as_json:
            _complain_of(report)
        return report.failed == 0

    def forget(
        self,
        key: str | None,
        *,
        thread: str | None,
        source: str | None,
        include_threads: bool,
        is_dry_run: bool,
        is_sure: bool,
    ) -> None:
        """Say what would be forgotten, ask, and forget it."""

        async def forget(app: AgentGraph) -> None:
            async def ask(*, dry_run: bool) -> Any:
                return await app.forget(
                    **self._scope,
                    memory=key,
                    thread=thread,
                    source=source,
                    include_threads=include_threads,
                    dry_run=dry_run,
                )

            if is_dry_run or not is_sure:
                plan = await ask(dry_run=True)
                self._show(plan.as_record(), lambda: plan_table(plan))
                if is_dry_run:
                    return
                typer.confirm("Forget this for good?", abort=True)
            receipt = await ask(dry_run=False)
            self._show(receipt.as_record(), lambda: plan_table(receipt))

        self._ask(forget)

    def reembed(self, *, is_everybody: bool) -> None:
        """Embed memories anew."""
        tenant = None if is_everybody else self._scope["tenant"]
        with WorkBar("embedding", unit="memories") as bar:
            done = self._ask(
                lambda app: app.memories.reembed(
                    tenant=tenant,
                    progress=lambda whose, count, total: bar.update(count, done=count, total=total, of=whose),
                )
            )
        lines = "\n".join(f"{whose}: {count:,} memories embedded" for whose, count in done.items())
        self._show({"embedded": done}, lambda: Text(lines or "no tenant has memories"))

    def _recalled(self, query: str, options: Mapping[str, Any]) -> Any:
        zone = options["timezone"]
        moments = {name: self._aware(options[name], zone) for name in ("now", "as_of")}
        return self._ask(lambda app: app.memories.search(query, **self._scope, **{**options, **moments}))

    def _one(self, memory: Memory) -> None:
        self._show(memory.as_record(), lambda: whole_memory(memory, self._zone))

    def _aware(self, when: datetime | None, timezone: str | None) -> datetime | None:
        """Read a moment without a zone on the wall clock of the zone asked for."""
        if when is None or when.tzinfo is not None:
            return when
        try:
            return when.replace(tzinfo=ZoneInfo(timezone) if timezone else self._zone)
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"unknown time zone {timezone!r}", code="unknown_zone") from error


class _Counted:
    """Lines of a file, and how many bytes of it have been read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.size_bytes += len(line)
            yield line


def _opened(file: Path) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")


def _told(report: ImportReport) -> str:
    counts = {
        "added": report.added,
        "changed": report.replaced,
        "known already": report.unchanged,
        "forgotten earlier, left out": report.forgotten,
        "not readable": report.failed,
    }
    parts = [f"{count:,} {what}" for what, count in counts.items() if count or what == "added"]
    return f"{report.rows:,} rows: {', '.join(parts)}"


def _complain_of(report: ImportReport) -> None:
    console = Console(stderr=True)
    for fault in report.faults[:_FAULTS_SHOWN]:
        console.print(Text(f"line {fault.line}: {fault.message}", style="red"), soft_wrap=True)
    if report.failed > _FAULTS_SHOWN:
        console.print(Text(f"and {report.failed - _FAULTS_SHOWN:,} more", style="red"))
