from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agentgraph.errors import (
    ConfigurationError,
    FunctionError,
    FunctionMemoryError,
    FunctionOutputTooLarge,
    FunctionTimeout,
    InvalidInputError,
    MissingExtraError,
    SandboxUnavailable,
)
from agentgraph.tools.sandbox import Sandbox, SandboxLimits
from tests.tools.sandbox.conftest import SECRET, Canary

QUICK = SandboxLimits(time_s=0.5, memory_bytes=32 * 1024 * 1024)
LOOP = "def f():\n    while True: pass"
NOTHING = "def f():\n    return 1"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def children() -> list[int]:
    """Processes this one started, dead ones that nobody waited for among them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, rest = (entry / "stat").read_text().rsplit(")", 1)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(rest.split()[1]) == os.getpid() and name.endswith(("(monty", "(worker", "(sh")):
                found.append(int(entry.name))
    return sorted(found)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - other processes tell us of nothing
            await asyncio.sleep(0.01)


async def test_a_function_gets_its_arguments_and_gives_back_value_and_prints():
    async with Sandbox(QUICK) as sandbox:
        code = "def greet(name, times=2):\n    print('hello', name)\n    return {'greeting': [name] * times}"
        result = await sandbox.run(code, function="greet", arguments={"name": "Ada"})
    assert result.value == {"greeting": ["Ada", "Ada"]}
    assert result.printed == "hello Ada\n"
    assert 0 < result.duration_ms < 500


async def test_it_opens_with_the_first_call_and_refuses_calls_once_closed():
    sandbox = Sandbox(QUICK)
    assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1
    await sandbox.aclose()
    await sandbox.aclose()
    with pytest.raises(SandboxUnavailable, match="closed"):
        await sandbox.run(NOTHING, function="f", arguments={})


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 2**80, 1.5, 1e308, "", "é\n\0", "x" * 10_000, [], [[1], {"a": None}], {"a": {"b": [1.0]}}],
)
async def test_json_values_go_through_unchanged(value: Any):
    async with Sandbox(QUICK) as sandbox:
        result = await sandbox.run("def f(x): return x", function="f", arguments={"x": value})
    assert result.value == value
    assert type(result.value) is type(value)


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1, 2}, b"x", object(), deep(10**6), "x" * (1024 * 1024), {("a",): 1}, lambda: 1],
    ids=["nan", "inf", "set", "bytes", "object", "a_million_deep", "one_megabyte", "tuple_key", "function"],
)
async def test_arguments_that_are_no_json_are_the_callers_fault(value: Any):
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(InvalidInputError) as caught:
            await sandbox.run("def f(x): return 1", function="f", arguments={"x": value})
        assert caught.value.param == "arguments"
        assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1


async def test_arguments_too_deep_for_the_interpreter_are_an_error_of_the_call():
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(FunctionError, match="recursion"):
            await sandbox.run("def f(x): return 1", function="f", arguments={"x": deep(500)})


@pytest.mark.parametrize("name", ["", "f()", "f\nopen", "__import__", "_agentgraph_json", "class", "a.b", "f;g"])
async def test_what_is_no_name_of_a_function_is_refused(name: str):
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(InvalidInputError, match="cannot be the name"):
            await sandbox.run(NOTHING, function=name, arguments={})


async def test_code_that_is_too_long_or_no_text_is_refused():
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(InvalidInputError, match="65,536 are allowed"):
            await sandbox.run(NOTHING + "\n#" + "x" * 65_536, function="f", arguments={})
        with pytest.raises(InvalidInputError, match="surrogate"):
            await sandbox.run("def f(): return '\ud800'", function="f", arguments={})


async def test_an_exception_says_what_and_where_in_the_users_code():
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(FunctionError) as caught:
            await sandbox.run(
                "def _g(x):\n    return 1 / x\ndef f(x):\n    return _g(x)", function="f", arguments={"x": 0}
            )
    error = caught.value
    assert (error.type, error.detail, error.line, error.column) == ("ZeroDivisionError", "division by zero", 2, 12)
    assert str(error) == "ZeroDivisionError: division by zero (line 2, column 12)"


async def test_a_fault_of_the_call_itself_has_no_place_in_the_users_code():
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(FunctionError) as caught:
            await sandbox.run("def f():\n    return 1", function="f", arguments={"unknown": 1})
        assert (caught.value.type, caught.value.line, caught.value.column) == ("TypeError", None, None)
        with pytest.raises(FunctionError) as caught:
            await sandbox.run("def f():\n    return {1}", function="f", arguments={})
        assert (caught.value.type, caught.value.line) == ("TypeError", None)


async def test_a_syntax_error_at_the_end_stays_in_the_users_code():
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(FunctionError) as caught:
            await sandbox.run("def f():\n    return (1,", function="f", arguments={})
    assert (caught.value.type, caught.value.line) == ("SyntaxError", 2)


async def test_a_call_may_have_less_than_the_sandbox_allows_and_never_more():
    async with Sandbox(QUICK) as sandbox:
        began = time.perf_counter()
        with pytest.raises(FunctionTimeout, match=r"0\.1 s"):
            await sandbox.run(LOOP, function="f", arguments={}, limits=SandboxLimits(time_s=0.1))
        assert time.perf_counter() - began < 0.5
        with pytest.raises(FunctionTimeout, match=r"0\.5 s"):
            await sandbox.run(LOOP, function="f", arguments={}, limits=SandboxLimits(time_s=60))
        with pytest.raises(FunctionMemoryError, match="33,554,432"):
            await sandbox.run(
                "def f(): return len('x' * 50_000_000)",
                function="f",
                arguments={},
                limits=SandboxLimits(memory_bytes=10**9),
            )


@pytest.mark.parametrize("field", ["time_s", "memory_bytes", "recursion", "value_bytes", "printed_bytes", "code_bytes"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_limit_must_limit(field: str, value: float):
    with pytest.raises(ConfigurationError, match=field):
        SandboxLimits(**{field: value})


async def test_recursion_is_limited():
    code = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    async with Sandbox(SandboxLimits(recursion=50)) as sandbox:
        assert (await sandbox.run(code, function="f", arguments={"n": 20})).value == 20
        with pytest.raises(FunctionError, match="RecursionError"):
            await sandbox.run(code, function="f", arguments={"n": 60})


async def test_output_up_to_the_limit_is_kept_and_past_it_refused():
    limits = SandboxLimits(value_bytes=100, printed_bytes=100)
    async with Sandbox(limits) as sandbox:
        code = "def f(n, m):\n    print('é' * n, end='')\n    return 'x' * m"
        result = await sandbox.run(code, function="f", arguments={"n": 50, "m": 98})
        assert (result.printed, result.value) == ("é" * 50, "x" * 98)
        with pytest.raises(FunctionOutputTooLarge, match="printed more than 100"):
            await sandbox.run(code, function="f", arguments={"n": 51, "m": 1})
        with pytest.raises(FunctionOutputTooLarge, match="returned more than 100"):
            await sandbox.run(code, function="f", arguments={"n": 1, "m": 99})


STATE = [
    ("a global", "seen = 1\ndef f(): return 1", "def f(): return seen", "NameError"),
    (
        "a patched module",
        "import json\ndef f():\n    json.leak = 1",
        "import json\ndef f(): return json.leak",
        "AttributeError",
    ),
    ("a builtin shadowed", "len = 3\ndef f(): return 1", "def f(): return len([1])", 1),
    ("a builtin given", "import math\nmath2 = math\ndef f(): return 1", "def f(): return math2.pi", "NameError"),
    (
        "a mutable default",
        "def f(x=[]):\n    x.append(1)\n    return x",
        "def f(x=[]):\n    x.append(1)\n    return x",
        [1],
    ),
    ("a class", "class A:\n    n = 1\ndef f():\n    A.n = 2", "def f(): return A.n", "NameError"),
    ("the last arguments", "def f(): return 1", "def f(): return _agentgraph_arguments == '{}'", True),
    ("a directory", "import os\nos.chdir('/tmp')\ndef f(): return 1", "import os\ndef f(): return os.getcwd()", "/"),
    (
        "a seed",
        "import random\nrandom.seed(1)\ndef f(): return 1",
        "import random\ndef f(): return random.random() == 0.13436424411240122",
        False,
    ),
]


@pytest.mark.parametrize(("leaves", "looks", "finds"), [each[1:] for each in STATE], ids=[each[0] for each in STATE])
async def test_no_state_survives_a_call_in_the_same_worker(leaves: str, looks: str, finds: Any):
    async with Sandbox(QUICK, most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        before = children()
        with contextlib.suppress(FunctionError):  # what cannot be done cannot be left behind either
            await sandbox.run(leaves, function="f", arguments={})
        try:
            found = (await sandbox.run(looks, function="f", arguments={})).value
        except FunctionError as error:
            found = error.type
        assert found == finds
        assert children() == before  # it was the same worker


async def test_this_process_keeps_its_builtins():
    before = dict(vars(builtins))
    async with Sandbox(QUICK) as sandbox:
        await sandbox.run("print = 1\nlen = 2\ndef f(): return 1", function="f", arguments={})
    assert vars(builtins) == before


@on_linux
async def test_a_worker_killed_during_a_call_is_a_clear_error_and_the_next_call_has_another():
    async with Sandbox(SandboxLimits(time_s=20), most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        (worker,) = children()
        call = asyncio.create_task(sandbox.run(LOOP, function="f", arguments={}))
        await asyncio.sleep(0.1)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(SandboxUnavailable, match="died during the call") as caught:
            await call
        assert caught.value.code == "sandbox_worker_died"
        assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1
        assert worker not in children()


@on_linux
async def test_a_worker_killed_between_calls_costs_no_call():
    async with Sandbox(QUICK, most_calls=1) as sandbox:
        for _ in range(5):
            await sandbox.run(NOTHING, function="f", arguments={})
            os.kill(children()[0], signal.SIGKILL)
            await asyncio.sleep(0.05)
        assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1


@on_linux
async def test_a_worker_that_does_not_answer_at_all_is_killed_from_outside():
    async with Sandbox(QUICK, most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        (worker,) = children()
        os.kill(worker, signal.SIGSTOP)
        began = time.perf_counter()
        with pytest.raises((FunctionTimeout, SandboxUnavailable)):
            await sandbox.run(NOTHING, function="f", arguments={})
        assert time.perf_counter() - began < 10
        await until(lambda: worker not in children())
        assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1


@on_linux
async def test_cancelling_a_call_kills_its_worker():
    async with Sandbox(SandboxLimits(time_s=20), most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        (worker,) = children()
        call = asyncio.create_task(sandbox.run(LOOP, function="f", arguments={}))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: worker not in children())
        assert (await sandbox.run(NOTHING, function="f", arguments={})).value == 1


@on_linux
@pytest.mark.parametrize(
    "code",
    [LOOP, "def f(): return [0] * 10**9", "def f():\n    while True: print('x' * 1000)"],
    ids=["time", "memory", "print"],
)
async def test_a_worker_whose_limits_were_broken_is_not_used_again(code: str):
    async with Sandbox(QUICK, most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        (worker,) = children()
        with pytest.raises((FunctionTimeout, FunctionMemoryError, FunctionOutputTooLarge)):
            await sandbox.run(code, function="f", arguments={})
        await sandbox.run(NOTHING, function="f", arguments={})
        assert worker not in children()


@on_linux
async def test_a_worker_is_replaced_after_its_calls():
    async with Sandbox(QUICK, most_calls=1, calls_per_worker=3) as sandbox:
        workers = set()
        for _ in range(9):
            await sandbox.run(NOTHING, function="f", arguments={})
            workers.update(children())
        assert len(workers) >= 3
        await until(lambda: len(children()) <= 1)


@on_linux
async def test_closing_leaves_no_process_and_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with Sandbox(SandboxLimits(time_s=20), most_calls=3) as sandbox:
        calls = [asyncio.create_task(sandbox.run(LOOP, function="f", arguments={})) for _ in range(4)]
        await until(lambda: len(children()) == 3)
        await asyncio.sleep(0.1)
        assert list(tmp_path.iterdir())
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ends] == [SandboxUnavailable] * 4
    assert all("closed" in str(each) for each in ends)
    await until(lambda: not children())
    assert not list(tmp_path.iterdir())


@on_linux
@pytest.mark.parametrize("after_ms", [0, 5, 15, 30, 45, 60, 80])
async def test_closing_while_workers_are_being_started_leaves_none_behind(after_ms: int):
    async with asyncio.timeout(5):
        async with Sandbox(SandboxLimits(time_s=20), most_calls=3) as sandbox:
            calls = [asyncio.create_task(sandbox.run(LOOP, function="f", arguments={})) for _ in range(4)]
            await asyncio.sleep(after_ms / 1000)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ends] == [SandboxUnavailable] * 4
    await until(lambda: not children())


@on_linux
async def test_no_more_workers_than_asked_for_and_every_call_gets_its_own_answer():
    async with Sandbox(QUICK, most_calls=2) as sandbox:
        most = 0

        async def call(number: int) -> int:
            nonlocal most
            result = await sandbox.run("def f(n): return n", function="f", arguments={"n": number})
            most = max(most, len(children()))
            return int(result.value)

        assert await asyncio.gather(*(call(number) for number in range(64))) == list(range(64))
        assert most <= 2


async def test_a_call_that_finds_no_worker_free_in_time_is_refused_and_may_be_repeated():
    async with Sandbox(SandboxLimits(time_s=20), most_calls=1, wait_s=0.1) as sandbox:
        busy = asyncio.create_task(sandbox.run(LOOP, function="f", arguments={}))
        await asyncio.sleep(0.1)
        with pytest.raises(SandboxUnavailable, match="busy") as caught:
            await sandbox.run(NOTHING, function="f", arguments={})
        assert caught.value.is_retryable
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy


async def test_waiting_for_a_worker_takes_nothing_from_the_time_of_the_call():
    async with Sandbox(QUICK, most_calls=1) as sandbox:
        code = "import time\ndef f():\n    time.sleep(0.3)\n    return 1"
        results = await asyncio.gather(*(sandbox.run(code, function="f", arguments={}) for _ in range(4)))
        assert [each.value for each in results] == [1] * 4


@on_linux
async def test_a_worker_inherits_nothing(canary: Canary, tmp_path: Path):
    kept = os.open(tmp_path / "ours", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(kept, True)
    try:
        async with Sandbox(QUICK, most_calls=1) as sandbox:
            await sandbox.run(NOTHING, function="f", arguments={})
            (worker,) = children()
            process = Path(f"/proc/{worker}")
            assert SECRET in os.environ.values()
            assert (process / "environ").read_bytes() == b""
            assert sorted(int(each.name) for each in (process / "fd").iterdir()) == [0, 1, 2]
            assert (process / "fd" / "2").readlink() == Path("/dev/null")
            directory = (process / "cwd").readlink()
            assert directory != Path.cwd()
            assert not list(directory.iterdir())
    finally:
        os.close(kept)


@on_linux
async def test_the_operating_system_limits_a_worker_as_well():
    import resource

    async with Sandbox(QUICK, most_calls=1) as sandbox:
        await sandbox.run(NOTHING, function="f", arguments={})
        (worker,) = children()
        limits = {
            name: resource.prlimit(worker, getattr(resource, f"RLIMIT_{name}")) for name in ("FSIZE", "CORE", "NPROC")
        }
        assert set(limits.values()) == {(0, 0)}
        assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (16, 16)
        assert resource.prlimit(worker, resource.RLIMIT_AS)[1] < 2 * 1024**3
        assert resource.prlimit(worker, resource.RLIMIT_CPU)[1] < 3600


async def test_without_the_extra_the_error_holds_the_pip_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(MissingExtraError, match=r"agentgraph\[sandbox\]"):
        await Sandbox(QUICK).run(NOTHING, function="f", arguments={})


async def test_an_interpreter_that_cannot_be_started_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MONTY_BIN", str(tmp_path / "nothing"))
    async with Sandbox(QUICK) as sandbox:
        with pytest.raises(SandboxUnavailable, match="did not start"):
            await sandbox.run(NOTHING, function="f", arguments={})
