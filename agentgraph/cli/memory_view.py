"""Show memories, receipts and plans on a terminal. What people wrote is shown as text only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentgraph.cli.render import MARKS, safe
from agentgraph.memory.forget_receipt import ForgetReceipt
from agentgraph.memory.stored import Memory
from agentgraph.memory.timeline import TimelineEntry

__all__ = ["memory_lines", "plan_table", "recall_view", "timeline_lines", "whole_memory"]

_TOLD: Final = {"namespace", "key", "kind", "text", "speaker", "source", "recorded_at", "event", "placed", "why"}
_IDS_SHOWN: Final = 5
_LONGEST_LINE: Final = 160


def memory_lines(memories: Sequence[Memory], zone: ZoneInfo) -> RenderableType:
    """Return memories, two lines each: what it says, and what is known of it."""
    if not memories:
        return Text("no memories", style="dim")
    return Group(*(_entry(memory.text, _facts(memory, zone)) for memory in memories))


def timeline_lines(line: Sequence[TimelineEntry], zone: ZoneInfo) -> RenderableType:
    """Return memories along time, each with the clock that placed it."""
    if not line:
        return Text("no memories", style="dim")
    lines: list[RenderableType] = []
    for entry in line:
        event = entry.memory.event
        if event is None:
            placed = f"{_day(entry.at, zone)}, when it was told"
        else:
            placed = f"{event['text'] or _day(entry.at, zone)}, what it is about"
        lines.append(_entry(entry.memory.text, [placed, _whose(entry.memory), entry.memory.key], style="cyan"))
    return Group(*lines)


def whole_memory(memory: Memory, zone: ZoneInfo) -> RenderableType:
    """Return one memory, all that is known of it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    event = memory.event
    fields: dict[str, str | None] = {
        "text": memory.text,
        "key": memory.key,
        "whose": _whose(memory),
        "kind": memory.kind,
        "speaker": memory.speaker,
        "recorded": _moment(memory.recorded_at, zone),
        "about": None if event is None else f"{event['text']} (“{event['mention']}”)",
        "from": ", ".join(f"{name} {part}" for name, part in memory.source.items() if part) or None,
        "valid until": _moment(memory.valid_until, zone),
        "superseded by": memory.superseded_by,
        "expires": _moment(memory.expires_at, zone),
    }
    for name, said in fields.items():
        if said:
            table.add_row(name, Text(safe(said)))
    return table


def recall_view(
    windows: Sequence[Mapping[str, Any]],
    kept: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, Any]],
    *,
    is_explained: bool = False,
) -> RenderableType:
    """Return what was recalled; with `is_explained`, every score and every candidate."""
    lines: list[RenderableType] = [
        Text(f"time    “{safe(window['mention'])}” is {window['text']}", style="bold") for window in windows
    ]
    if not windows and is_explained:
        lines.append(Text("time    none named", style="dim"))
    lines += [_candidate(memory, is_explained=is_explained) for memory in kept]
    if not kept:
        lines.append(Text("nothing recalled", style="dim"))
    if left_out:
        lines.append(Text(f"left out ({len(left_out)})", style="bold"))
        lines += [_candidate(memory, is_explained=is_explained, is_left_out=True) for memory in left_out]
    return Group(*lines)


def plan_table(receipt: ForgetReceipt) -> RenderableType:
    """Return what was forgotten, or would be."""
    lines: list[RenderableType] = []
    target = ", ".join(f"{name} {safe(part)}" for name, part in receipt.target.items())
    verb = "would forget" if receipt.is_dry_run else "forgot"
    lines.append(Text(f"{verb} {target}", style="bold"))
    if receipt.removed:
        table = Table("where", "what", "how many", "ids", box=None, pad_edge=False, header_style="dim")
        for removed in receipt.removed:
            ids = ", ".join(map(safe, removed.ids[:_IDS_SHOWN]))
            more = len(removed.ids) > _IDS_SHOWN or removed.count > len(removed.ids)
            table.add_row(removed.place, removed.kind, f"{removed.count:,}", Text(ids + (", …" if more else "")))
        lines.append(table)
    else:
        lines.append(Text("nothing of it is here", style="dim"))
    lines += [Text(f"· {remark}", style="yellow") for remark in _remarks(receipt)]
    return Group(*lines)


def _remarks(receipt: ForgetReceipt) -> Iterator[str]:
    if receipt.tombstones:
        yield f"{receipt.tombstones:,} tombstones keep it from being learnt again"
    if receipt.kept_threads:
        threads = ", ".join(map(safe, receipt.kept_threads))
        yield f"these conversations hold it still: {threads} (--include-threads forgets them too)"
    if receipt.unfinished_runs:
        yield f"{receipt.unfinished_runs} runs have not ended and may write what they had read: forget again later"
    yield from receipt.remarks


def _candidate(memory: Mapping[str, Any], *, is_explained: bool, is_left_out: bool = False) -> Text:
    mark, style = ("✗", "red") if is_left_out else MARKS.get(memory["placed"], ("●", "green"))
    line = Text(f"{mark} ", style=style).append(safe(memory["text"]), style="dim" if is_left_out else "default")
    if not is_explained:
        return line.append(f"  {memory['key']}", style="dim")
    event = memory["event"]
    told = f"told {memory['recorded_at'][:10]}" if memory["recorded_at"] else ""
    about = f"about {event['text']}" if event else "names no time"
    source = ", ".join(f"{name} {part}" for name, part in memory["source"].items() if part)
    scores = ", ".join(_scores(memory))
    for part in (f"{memory['placed']}: {memory['why']}", scores, " · ".join(filter(None, (about, told, source)))):
        line.append(f"\n    {safe(part)}", style="dim")
    return line.append(f"\n    {'/'.join(memory['namespace'])} {safe(memory['key'])}", style="dim")


def _scores(memory: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """Yield whatever else a receipt says: scores, of which recall may come to give more, and the parts of some."""
    for name, said in memory.items():
        if isinstance(said, Mapping) and name not in _TOLD:
            yield from _scores(said, f"{name} ")
        elif isinstance(said, float):
            yield f"{of}{name} {said:.3f}"
        elif name not in _TOLD and said not in (None, "", []):
            yield f"{of}{name} {said}"


def _entry(text: str, facts: Sequence[str], *, style: str = "") -> Text:
    first, *others = [safe(fact) for fact in facts]
    line = Text(_line(text)).append("\n  ").append(first, style=style or "dim")
    return line.append("".join(f" · {fact}" for fact in others), style="dim")


def _facts(memory: Memory, zone: ZoneInfo) -> list[str]:
    facts = [memory.key, _whose(memory), memory.kind]
    if memory.recorded_at is not None:
        facts.append(f"told {_day(memory.recorded_at, zone)}")
    if memory.event is not None:
        facts.append(f"about {memory.event['text']}")
    if memory.valid_until is not None:
        facts.append(f"superseded {_day(memory.valid_until, zone)}")
    if memory.expires_at is not None:
        facts.append(f"expires {_moment(memory.expires_at, zone)}")
    return facts


def _whose(memory: Memory) -> str:
    if memory.session is not None:
        return f"session {memory.session}"
    return "everybody" if memory.user is None else f"user {memory.user}"


def _line(text: str) -> str:
    line = " ".join(safe(text).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def _day(when: datetime | None, zone: ZoneInfo) -> str:
    return "" if when is None else f"{when.astimezone(zone):%Y-%m-%d}"


def _moment(when: datetime | None, zone: ZoneInfo) -> str | None:
    return None if when is None else f"{when.astimezone(zone):%Y-%m-%d %H:%M %Z}"
