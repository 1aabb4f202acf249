"""Show conversations, their branches and their runs on a terminal. What people wrote is shown as text only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from agentgraph.cli.render import LABEL_WIDTH, call_text, safe, shortened
from agentgraph.cli.turn_tree import Place
from agentgraph.runs.runs import RunInfo
from agentgraph.runs.thread_run import CANCELLED
from agentgraph.runs.threads import Branch, ThreadInfo

__all__ = ["branch_lines", "conversation", "message_record", "runs_table", "said_last", "threads_table", "tree_of"]

_LONGEST_TURN: Final = 60
_STATUS: Final = {"finished": "green", "failed": "red", "waiting": "yellow", "running": "cyan", "queued": "cyan"}


def threads_table(threads: Sequence[ThreadInfo], tenant: str, zone: ZoneInfo) -> RenderableType:
    """Return threads, one a line; a session by the name other commands take it by."""
    if not threads:
        return Text("no threads", style="dim")
    table = _table("thread", "turns", "user", "began", "last used")
    for each in threads:
        name = f"{tenant}:{each.thread}" if each.is_session else each.thread
        table.add_row(
            name, f"{each.turns:,}", each.user or "", _moment(each.created_at, zone), _moment(each.used_at, zone)
        )
    return table


def conversation(messages: Sequence[BaseMessage], interrupts: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a conversation as a chat shows it, and what it waits for."""
    table = Table.grid()
    table.add_column(width=LABEL_WIDTH)
    table.add_column(overflow="fold")
    for message in messages:
        _add(table, message)
    for interrupt in interrupts:
        for asked in _calls(interrupt["value"]):
            table.add_row(Text("waits", style="yellow"), Text(f"for an answer about {asked}", style="yellow"))
    return table if table.row_count else Text("nothing was said yet", style="dim")


def message_record(message: BaseMessage) -> dict[str, Any]:
    """Return a message as a JSON object."""
    record: dict[str, Any] = {"id": message.id, "role": _role(message), "text": str(message.text)}
    match message:
        case AIMessage():
            record["tool_calls"] = [
                {"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in message.tool_calls
            ]
            record["is_cancelled"] = _is_cancelled(message)
        case ToolMessage():
            record |= {"name": message.name, "tool_call_id": message.tool_call_id, "status": message.status}
        case _:
            pass
    return record


def said_last(messages: Sequence[BaseMessage]) -> str:
    """Return the question a turn began with, shortened."""
    asked = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    return "" if asked is None else shortened(str(asked.text) or "; ".join(_other_parts(asked)), _LONGEST_TURN)


def tree_of(places: Sequence[Place], name: str, zone: ZoneInfo, *, is_cut: bool) -> RenderableType:
    """Return who follows whom: a line that leads on goes straight down, what left it is indented below."""
    followers: dict[str | None, list[Place]] = {}
    for place in places:
        followers.setdefault(place.follows, []).append(place)
    current = _line_to_head(places)
    tree = Tree(Text(safe(name), style="bold"), guide_style="dim")
    waiting = [(tree, first) for first in reversed(followers.get(None, []))]
    while waiting:
        line, place = waiting.pop()
        node = line.add(_turn(place, zone))
        after = followers.get(place.info.checkpoint_id, [])
        straight = next((each for each in after if each.info.checkpoint_id in current), after[0] if after else None)
        if straight is not None:
            waiting.append((line, straight))
        waiting += [(node, each) for each in reversed(after) if each is not straight]
    if not places:
        tree.add(Text("no checkpoints", style="dim"))
    return Group(tree, Text("what came before was not read: --limit", style="dim")) if is_cut else tree


def branch_lines(branches: Sequence[tuple[Branch, str]], zone: ZoneInfo) -> RenderableType:
    """Return where lines end, two lines each: the last question, and where that is."""
    if not branches:
        return Text("no branches: no run has ended here yet", style="dim")
    return Group(
        *(_entry(text, end.is_current, [end.checkpoint_id, _moment(end.ended_at, zone)]) for end, text in branches)
    )


def runs_table(runs: Sequence[RunInfo], *, nothing: str) -> RenderableType:
    """Return runs, one a line, with why one failed."""
    if not runs:
        return Text(nothing, style="dim")
    table = _table("#", "run", "status", "attempts", "took")
    for column in (0, 2, 3, 4):
        table.columns[column].no_wrap = True
    for run in runs:
        status = Text(run.status, style=_STATUS.get(run.status, "dim"))
        table.add_row(str(run.position), Text(run.run_id, overflow="fold"), status, str(run.attempts), _took(run))
        if run.error is not None:
            why = f"{run.error.get('code', '')}: {run.error.get('message', '')}"
            table.add_row("", Text(" ".join(safe(why).split()), style="red"))
    return table


def _add(table: Table, message: BaseMessage) -> None:
    text = safe(str(message.text)).strip()
    parts = "".join(f" [{part}]" for part in _other_parts(message))
    match message:
        case HumanMessage():
            table.add_row(Text("you", style="bold green"), Text(f"{text}{parts}".strip()))
        case AIMessage():
            said = Text(f"{text}{parts}".strip())
            if _is_cancelled(message):
                said.append(" (cancelled)", style="yellow")
            if said:
                table.add_row(Text("agent", style="bold cyan"), said)
            for call in message.tool_calls:
                table.add_row(
                    Text("calls", style="magenta"), Text(call_text(call["name"], call["args"]), style="magenta")
                )
        case ToolMessage():
            is_good = message.status == "success"
            table.add_row("", Text(f"{'→' if is_good else '✗'} {shortened(text)}", style="" if is_good else "red"))
        case _:
            table.add_row(Text(message.type, style="dim"), Text(f"{text}{parts}".strip(), style="dim"))


def _line_to_head(places: Sequence[Place]) -> set[str]:
    by_id = {place.info.checkpoint_id: place for place in places}
    at = next((place for place in places if place.info.is_head), None)
    line: set[str] = set()
    while at is not None:
        line.add(at.info.checkpoint_id)
        at = by_id.get(at.follows or "")
    return line


def _turn(place: Place, zone: ZoneInfo) -> Text:
    info = place.info
    state = ""
    if info.interrupts:
        state = "waits for an answer"
    elif info.next:
        state = f"before {', '.join(name.strip('_') for name in info.next)}"
    elif info.run_id is None:
        state = "set by hand"
    text = said_last(info.messages) or "(nothing said)"
    return _entry(text, info.is_head, [info.checkpoint_id, _moment(info.created_at, zone)], state=state)


def _entry(text: str, is_head: bool, facts: Sequence[str], *, state: str = "") -> Text:
    line = Text("● " if is_head else "○ ", style="green" if is_head else "dim")
    line.append(safe(text), style="default")
    if is_head:
        line.append("  head", style="bold green")
    if state:
        line.append(f"  {state}", style="yellow")
    return line.append(f"\n  {' · '.join(filter(None, facts))}", style="dim")


def _calls(question: Any) -> list[str]:
    record = question.model_dump() if hasattr(question, "model_dump") else question
    if not isinstance(record, Mapping) or "calls" not in record:
        return [shortened(str(record))]
    return [call_text(call["name"], call["arguments"]) for call in record["calls"]]


def _other_parts(message: BaseMessage) -> list[str]:
    """Name what is not text in a message, such as a picture."""
    parts = message.content if isinstance(message.content, list) else []
    kinds = [str(part.get("type")) for part in parts if isinstance(part, dict)]
    return [safe(kind) for kind in kinds if kind not in {"text", "tool_use", "tool_call", "reasoning", "thinking"}]


def _is_cancelled(message: BaseMessage) -> bool:
    return message.response_metadata.get("finish_reason") == CANCELLED


def _role(message: BaseMessage) -> str:
    return {"human": "user", "ai": "assistant"}.get(message.type, message.type)


def _took(run: RunInfo) -> str:
    if run.ended_at is None:
        return ""
    took = datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.accepted_at)
    return f"{took.total_seconds():,.1f} s"


def _moment(when: str | None, zone: ZoneInfo) -> str:
    return "" if when is None else f"{datetime.fromisoformat(when).astimezone(zone):%Y-%m-%d %H:%M}"


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, pad_edge=False, header_style="dim")
