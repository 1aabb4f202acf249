"""A disk that is full, fails or may not be written to: what was acknowledged is there, what was refused is not.

The faults are the system's own, in a child process: a limit on file sizes, permissions of an ordinary user, and system
calls that fail because a small library is loaded before the C library.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentgraph.errors import StoreError
from agentgraph.scope import tenant_directory
from agentgraph.stores.faiss import FaissStore
from agentgraph.testing import HashEmbeddings
from tests.crash.seeds import scaled, seed

ROWS = 3

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

static volatile int syncs, writes;
void fail_syncs(int times) { syncs = times; }
void fail_writes(int times) { writes = times; }

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
static int fails(volatile int *left) { if (!*left) return 0; if (*left > 0) --*left; return 1; }

int fsync(int fd) { REAL(fsync); if (fails(&syncs)) { errno = EIO; return -1; } return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); if (fails(&syncs)) { errno = EIO; return -1; } return real(fd); }

/* A full disk takes a part of what it is given first. */
#define WRITE(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t size, offset_type at) { \
        REAL(name); \
        if (!fails(&writes)) return real(fd, data, size, at); \
        if (size > 1024) return real(fd, data, size / 2, at); \
        errno = ENOSPC; return -1; }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)
"""

# Reads lines of JSON: {"fault": [name, argument]}, {"write": [numbers]}, {"end": "close" | "crash"}.
CHILD = f"""
import ctypes, json, os, resource, sqlite3, sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from agentgraph.stores.sqlite import SqliteFile

def put(number):
    def job(connection):
        for part in range({ROWS}):
            connection.execute("INSERT INTO t VALUES (?, ?, ?)", (number, part, str(number) * 400))
    return job

def say(**what):
    print(json.dumps(what), flush=True)

pool = ThreadPoolExecutor(2)
schema = "CREATE TABLE IF NOT EXISTS t (n INTEGER, part INTEGER, text TEXT, PRIMARY KEY (n, part))"
file = None
for line in sys.stdin:
    [(command, argument)] = json.loads(line).items()
    if command == "fault":
        name, value = argument
        if name == "size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (value, resource.RLIM_INFINITY))
        else:
            getattr(ctypes.CDLL(None), name)(value)
        say(done=name)
    elif command == "ordinary":
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        say(done=command)
    elif command == "open":
        try:
            file = SqliteFile(Path(argument), schema=schema, pool=pool)
            say(error=None)
        except Exception as error:
            say(error=[type(error).__name__, str(error)])
    elif command == "write":
        futures = {{number: file.submit(put(number)) for number in argument}}
        wait(futures.values(), timeout=30)
        say(
            pending=[n for n, future in futures.items() if not future.done()],
            acknowledged=[n for n, future in futures.items() if future.done() and not future.exception()],
            refused=[
                [n, type(future.exception()).__name__, str(future.exception())]
                for n, future in futures.items() if future.done() and future.exception()
            ],
        )
    elif argument == "crash":
        os._exit(9)
    else:
        file.close()
        pool.shutdown()
        say(done="closed")
"""


class Child:
    """A process that writes and that the disk fails under."""

    def __init__(self, path: Path, library: Path | None = None, *, ordinary: bool = False) -> None:
        preload = {} if library is None else {"LD_PRELOAD": str(library)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **preload},
        )
        self.acknowledged: set[int] = set()
        self.refused: dict[int, tuple[str, str]] = {}
        self._next = 0
        if ordinary:
            self.say("ordinary", None)
        self.opening = self.say("open", str(path))["error"]

    def say(self, command: str, argument: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps({command: argument}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or "{}")

    def fault(self, name: str, argument: int) -> None:
        self.say("fault", [name, argument])

    def write(self, count: int) -> dict[int, tuple[str, str]]:
        """Write `count` numbers at once and return what was refused."""
        numbers = list(range(self._next, self._next + count))
        self._next += count
        said = self.say("write", numbers)
        assert said["pending"] == []
        self.acknowledged.update(said["acknowledged"])
        refused = {n: (kind, message) for n, kind, message in said["refused"]}
        self.refused |= refused
        return refused

    def end(self, how: str) -> None:
        said = self.say("end", how)
        assert how == "crash" or said == {"done": "closed"}
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


def found(path: Path) -> set[int]:
    """Return the numbers in the file; each is whole and the file sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT n, count(*), min(text), max(text) FROM t GROUP BY n").fetchall()
    for number, parts, *texts in rows:
        assert parts == ROWS
        assert texts == [str(number) * 400] * 2
    return {number for number, *_ in rows}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """System calls that fail on demand, compiled here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("faults of system calls need Linux and a C compiler")
    directory = tmp_path_factory.mktemp("library")
    (directory / "faults.c").write_text(LIBRARY)
    built = directory / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, directory / "faults.c", "-ldl"], check=True)
    return built


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory an ordinary user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


FAULTS = {
    "disk full": ("fail_writes", "StoreUnavailableError", "the disk is full"),
    "failing fsync": ("fail_syncs", "StoreError", "cannot be read or written"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("ending", ["close", "crash"])
def test_a_write_is_acknowledged_or_refused_and_the_same_file_recovers(
    tmp_path: Path, library: Path, fault: str, ending: str
) -> None:
    name, kind, message = FAULTS[fault]
    draw = random.Random(f"{seed()} {fault} {ending}")
    child = Child(tmp_path / "x.db", library)
    for _ in range(scaled(8)):
        assert child.write(draw.randint(1, 20)) == {}
        child.fault(name, -1)
        for _ in range(draw.randint(1, 3)):
            count = draw.randint(1, 20)
            refused = child.write(count)
            assert len(refused) == count
            assert all(was == kind and message in said for was, said in refused.values())
        child.fault(name, 0)
    assert child.write(5) == {}
    child.end(ending)
    assert found(tmp_path / "x.db") == child.acknowledged


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_comes_and_goes_at_any_moment_loses_nothing_acknowledged(
    tmp_path: Path, library: Path, fault: str
) -> None:
    draw = random.Random(f"{seed()} {fault}")
    child = Child(tmp_path / "x.db", library)
    for _ in range(scaled(60)):
        child.fault(FAULTS[fault][0], draw.choice([0, 1, 1, 2, 3, 5]))
        child.write(draw.randint(1, 40))
    child.fault(FAULTS[fault][0], 0)
    assert child.write(1) == {}
    assert child.refused
    child.end("crash")
    assert found(tmp_path / "x.db") == child.acknowledged


def test_a_refused_write_does_not_come_back_after_a_crash(tmp_path: Path, library: Path) -> None:
    child = Child(tmp_path / "x.db", library)
    child.write(3)
    child.fault("fail_syncs", 1)
    assert len(child.write(1)) == 1
    child.end("crash")  # all of the refused write had reached the journal
    assert found(tmp_path / "x.db") == child.acknowledged == {0, 1, 2}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crash_while_the_disk_fails_keeps_what_was_acknowledged(tmp_path: Path, library: Path, fault: str) -> None:
    child = Child(tmp_path / "x.db", library)
    child.write(30)
    child.fault(FAULTS[fault][0], -1)
    child.write(30)
    child.end("crash")
    there = found(tmp_path / "x.db")
    # A commit whose `fsync` failed may count after all, whole: nobody could erase it from a disk that fails.
    assert child.acknowledged <= there <= child.acknowledged | child.refused.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_closing_ends_while_the_disk_fails(tmp_path: Path, library: Path, fault: str) -> None:
    child = Child(tmp_path / "x.db", library)
    child.write(30)
    child.fault(FAULTS[fault][0], -1)
    child.write(3)
    child.end("close")
    assert child.acknowledged <= found(tmp_path / "x.db")


def test_a_file_at_its_size_limit_refuses_until_the_limit_is_lifted(tmp_path: Path) -> None:
    child = Child(tmp_path / "x.db")
    child.write(3)
    child.fault("size", 200_000)
    refused: dict[int, tuple[str, str]] = {}
    while not refused:
        refused = child.write(20)
    assert {kind for kind, _ in refused.values()} <= {"StoreError", "StoreUnavailableError"}
    child.fault("size", -1)
    assert child.write(20) == {}
    child.end("crash")
    assert found(tmp_path / "x.db") == child.acknowledged


def test_opening_on_a_full_disk_says_so_and_works_when_there_is_room(tmp_path: Path, library: Path) -> None:
    child = Child(tmp_path / "other.db", library)
    child.fault("fail_writes", -1)
    kind, message = child.say("open", str(tmp_path / "x.db"))["error"]
    assert kind == "StoreUnavailableError"
    assert "the disk is full" in message
    child.fault("fail_writes", 0)
    assert child.say("open", str(tmp_path / "x.db"))["error"] is None
    child.write(3)
    child.end("close")
    assert found(tmp_path / "x.db") == {0, 1, 2}
    again = Child(tmp_path / "other.db", library)
    again.fault("fail_writes", -1)
    kind, message = again.say("open", str(tmp_path / "x.db"))["error"]  # what it shares with others finds no room
    assert kind == "StoreUnavailableError"
    assert "the disk is full" in message
    again.end("crash")


def test_a_read_only_file_refuses_writes_and_says_why(open_to_all: Path) -> None:
    path = open_to_all / "x.db"
    first = Child(path)
    first.write(3)
    first.end("close")
    path.chmod(0o444)
    second = Child(path, ordinary=True)
    assert second.opening is None
    assert {kind for kind, _ in second.write(2).values()} == {"StoreError"}
    assert all("is read-only" in message for _, message in second.refused.values())
    second.end("close")
    assert found(path) == {0, 1, 2}


def test_a_read_only_directory_refuses_to_open_and_says_why(open_to_all: Path) -> None:
    (open_to_all / "d").mkdir()
    first = Child(open_to_all / "d" / "x.db")
    first.write(3)
    first.end("close")
    (open_to_all / "d").chmod(0o555)
    for name in ("d/x.db", "d/new.db", "d/new/x.db"):
        second = Child(open_to_all / name, ordinary=True)
        kind, message = second.opening
        assert kind == "StoreError"
        assert "may write" in message or "is read-only" in message
        second.end("crash")
    (open_to_all / "d").chmod(0o755)
    assert found(open_to_all / "d" / "x.db") == {0, 1, 2}


@pytest.mark.parametrize("damage", ["no database", "cut in half", "a torn page"])
async def test_one_tenants_damaged_file_is_no_other_tenants_concern(tmp_path: Path, damage: str) -> None:
    async def open_store() -> FaissStore:
        return FaissStore(tmp_path, embeddings=HashEmbeddings(), sync="normal")

    async with await open_store() as store:
        for tenant in ("acme", "other"):
            for n in range(100):
                await store.aput((tenant, "memory"), str(n), {"text": f"memory number {n} " + "of many words " * 20})
    path = tenant_directory(tmp_path, "acme") / "memory.db"
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "no database": b"not a database at all" * 1_000,
            "cut in half": whole[:middle],
            "a torn page": whole[:4096] + bytes(random.Random(seed()).randbytes(middle)) + whole[4096 + middle :],
        }[damage]
    )
    async with await open_store() as store:
        with pytest.raises(StoreError, match=r"memory\.db.* is damaged: put a backup in its place") as raised:
            await store.asearch(("acme", "memory"), query="memory number 7")
        assert raised.value.code == "store_damaged"
        with pytest.raises(StoreError):
            await store.aput(("acme", "memory"), "new", {"text": "no"})
        assert len(await store.asearch(("other", "memory"), limit=200)) == 100
        await store.aput(("other", "memory"), "new", {"text": "yes"})
        assert "other" in await store.tenants()
    path.write_bytes(whole)
    async with await open_store() as store:
        assert len(await store.asearch(("acme", "memory"), limit=200)) == 100
