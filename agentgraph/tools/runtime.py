"""What the server fills in of a tool's arguments, which no model sees and whatever a model writes there is dropped.

LangChain's and LangGraph's own: `runtime: ToolRuntime`, `InjectedState`, `InjectedStore`, `InjectedToolCallId`; and the
`idempotency_key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args, get_origin

from langchain_core.tools import BaseTool, InjectedToolCallId
from langchain_core.tools.base import get_all_basemodel_annotations
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime

from agentgraph.tools.schema import KEY_ARGUMENT, takes_key

__all__ = ["FilledIn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledIn:
    """What one tool has filled in for it.

    Attributes:
        names: Every such argument, those nobody here has a value for too.
        runtime: Arguments that take the run.
        store: Arguments that take its store.
        state: Arguments that take its state: all of it (`None`) or the value of one key.
        takes_key: Whether it takes an idempotency key.
        takes_call_id: Whether it takes its call's id.
    """

    names: frozenset[str] = frozenset()
    runtime: tuple[str, ...] = ()
    store: tuple[str, ...] = ()
    state: tuple[tuple[str, str | None], ...] = ()
    takes_key: bool = False
    takes_call_id: bool = False

    @classmethod
    def of(cls, tool: BaseTool) -> FilledIn:
        """Read what `tool` takes. Costly: it builds models of the tool's arguments."""
        keyed = takes_key(tool)
        if isinstance(tool.args_schema, dict):
            return cls(names=frozenset({KEY_ARGUMENT}) if keyed else frozenset(), takes_key=keyed)
        schema = tool.get_input_schema()
        hidden = set(getattr(schema, "model_fields", {})) - set(tool.args)
        kinds = get_all_basemodel_annotations(schema)
        injected = partial(_injected, kinds)
        states = injected(InjectedState)
        return cls(
            names=frozenset({*hidden, *({KEY_ARGUMENT} if keyed else ())}),
            runtime=tuple({**dict.fromkeys(injected(ToolRuntime)), **dict.fromkeys({"runtime"} & hidden)}),
            store=tuple(injected(InjectedStore)),
            state=tuple((name, getattr(mark, "field", None)) for name, mark in states.items()),
            takes_key=keyed,
            takes_call_id=bool(injected(InjectedToolCallId)),
        )

    @property
    def asks_for_the_run(self) -> bool:
        """Whether it takes anything of the run it is called in."""
        return bool(self.runtime or self.store or self.state)

    def arguments(
        self, written: Mapping[str, Any], *, runtime: ToolRuntime[Any, Any] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Return a model's arguments with what the server fills in, in place of whatever the model wrote there."""
        filled = {name: value for name, value in written.items() if name not in self.names}
        if self.takes_key and key is not None:
            filled[KEY_ARGUMENT] = key
        if runtime is not None:
            filled |= dict.fromkeys(self.runtime, runtime)
            filled |= dict.fromkeys(self.store, runtime.store)
            filled |= {name: runtime.state if field is None else runtime.state.get(field) for name, field in self.state}
        return filled


def _injected(kinds: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return the arguments that are annotated as `kind`, each with the mark itself."""
    found: dict[str, Any] = {}
    for name, annotation in kinds.items():
        for mark in (annotation, get_origin(annotation), *get_args(annotation)):
            if mark is kind or isinstance(mark, kind) or (isinstance(mark, type) and issubclass(mark, kind)):
                found[name] = mark
    return found
