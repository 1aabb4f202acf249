"""Attempts to get out of the sandbox or to wear it down: what is tried, and what must become of it.

Every code defines `f(x)`. `PATH`, `PORT` and `SECRET` stand for a file to create, a port to reach and the name of a
variable of this process' environment. What is expected is the error's type and words, or the harmless value returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NO_ATTRIBUTE = r"AttributeError: .*has no attribute '__\w+__'|AttributeError: .*no attribute"
NO_NAME = r"NameError: name '\w+' is not defined"
NO_MODULE = r"ModuleNotFoundError: No module named"
NO_FILE = r"PermissionError: Permission denied|not supported in this environment"
UNSUPPORTED = r"NotImplementedError: .*(not yet support|not supported|cannot reassign)"
TIME = r"did not finish within"
MEMORY = r"needed more memory"
OUTPUT = r"(returned|printed) more than"


@dataclass(frozen=True)
class Escape:
    name: str
    code: str
    refusal: str = ""
    value: Any = None


ESCAPES = [
    # The way over classes
    Escape("class_walk", "def f(x):\n return ().__class__.__mro__[1].__subclasses__()", NO_ATTRIBUTE),
    Escape("class_of_str", "def f(x):\n return ''.__class__.__base__.__subclasses__()", NO_ATTRIBUTE),
    Escape("type_mro", "def f(x):\n return type(x).__mro__", NO_ATTRIBUTE),
    Escape("type_mro_call", "def f(x):\n return type(x).mro()", NO_ATTRIBUTE),
    Escape("type_bases", "def f(x):\n return type(x).__bases__", NO_ATTRIBUTE),
    Escape("type_subclasses", "def f(x):\n return type.__subclasses__(type)", NO_ATTRIBUTE),
    Escape("object_subclasses", "def f(x):\n return object.__subclasses__()", NO_ATTRIBUTE),
    Escape(
        "make_a_type", "def f(x):\n return type('A', (object,), {'__reduce__': f})", r"TypeError|NotImplementedError"
    ),
    Escape("metaclass", "class A(metaclass=type): pass\ndef f(x):\n return A()", UNSUPPORTED),
    Escape("inherit", "class A(dict): pass\ndef f(x):\n return A()", UNSUPPORTED),
    Escape("own_class_globals", "class A:\n def m(self): pass\ndef f(x):\n return A.m.__globals__", NO_ATTRIBUTE),
    # Functions, frames, code
    Escape("globals_of_function", "def f(x):\n return f.__globals__", NO_ATTRIBUTE),
    Escape("builtins_of_function", "def f(x):\n return f.__builtins__", NO_ATTRIBUTE),
    Escape("code_of_function", "def f(x):\n return f.__code__.co_code", NO_ATTRIBUTE),
    Escape("code_replaced", "def f(x):\n f.__code__ = (lambda x: 1).__code__", NO_ATTRIBUTE),
    Escape("closure", "def f(x):\n return (lambda: x).__closure__", NO_ATTRIBUTE),
    Escape("defaults_written", "def f(x, y=[1]):\n f.__defaults__ = ()", NO_ATTRIBUTE),
    Escape("self_of_builtin", "def f(x):\n return print.__self__", NO_ATTRIBUTE),
    Escape(
        "frame_of_error",
        "def f(x):\n try:\n  1/0\n except Exception as e:\n  return e.__traceback__.tb_frame",
        NO_ATTRIBUTE,
    ),
    Escape("sys_getframe", "import sys\ndef f(x):\n return sys._getframe(0)", NO_ATTRIBUTE),
    Escape("sys_modules", "import sys\ndef f(x):\n return sys.modules['os']", NO_ATTRIBUTE),
    Escape("generator_frame", "def f(x):\n g = (i for i in [1])\n return g.gi_frame.f_back", NO_ATTRIBUTE),
    Escape("generator", "def g():\n yield 1\ndef f(x):\n return g().gi_frame", UNSUPPORTED),
    Escape("coroutine_frame", "async def g(): pass\ndef f(x):\n return g().cr_frame", NO_ATTRIBUTE),
    # Names
    Escape("builtins_name", "def f(x):\n return __builtins__", NO_NAME),
    Escape("builtins_module", "import builtins\ndef f(x):\n return builtins.open", NO_MODULE),
    Escape("globals_call", "def f(x):\n return globals()", NO_NAME),
    Escape("locals_call", "def f(x):\n return locals()", value={"x": 1}),
    Escape("vars_call", "def f(x):\n return vars()", NO_NAME),
    Escape("loader", "def f(x):\n return __loader__", NO_NAME),
    Escape("dunder_import", "def f(x):\n return __import__('os').environ", NO_NAME),
    Escape("breakpoint", "def f(x):\n breakpoint()", NO_NAME),
    Escape("input", "def f(x):\n return input()", NO_NAME),
    Escape("exit", "def f(x):\n exit()", NO_NAME),
    Escape("compile", "def f(x):\n return compile('1', 'a', 'eval')", NO_NAME),
    Escape("eval_class", "def f(x):\n return eval('().__class__.__mro__')", NO_ATTRIBUTE),
    Escape("eval_open", "def f(x):\n return eval(\"open('PATH', 'w')\")", NO_FILE),
    Escape("exec_import", "def f(x):\n exec('import subprocess')", NO_MODULE),
    Escape("own_dunder_name", "__name__ = 'x'\ndef f(x): pass", UNSUPPORTED),
    # Attributes by another way
    Escape("getattr_class", "def f(x):\n return getattr('', '__cl' + 'ass__')", NO_ATTRIBUTE),
    Escape("getattr_chain", "import os\ndef f(x):\n return getattr(os, 'sys' + 'tem')('touch PATH')", NO_ATTRIBUTE),
    Escape("format_attribute", "def f(x):\n return '{0.__class__.__mro__}'.format(x)", NO_ATTRIBUTE),
    Escape("format_index", "def f(x):\n return '{0[0].__init__.__globals__}'.format([f])", NO_ATTRIBUTE),
    Escape("format_map", "def f(x):\n return '{x.__class__}'.format_map({'x': f})", NO_ATTRIBUTE),
    Escape("fstring", "def f(x):\n return f'{f.__globals__}'", NO_ATTRIBUTE),
    Escape("setattr_module", "import json\ndef f(x):\n setattr(json, 'dumps', print)", NO_ATTRIBUTE),
    Escape("setattr_builtin", "def f(x):\n setattr(str, 'lower', print)", r"AttributeError|TypeError"),
    Escape("unicode_name", "def f(x):\n return f.__ｇlobals__", NO_ATTRIBUTE),
    Escape(
        "unicode_import",
        "import ｏs\ndef f(x):\n return ｏs.environ['SECRET']",
        r"not supported|No module named|KeyError",
    ),
    # Imports
    *(
        Escape(f"import_{module}", f"def f(x):\n import {module}\n return {module}", NO_MODULE)
        for module in (
            "socket",
            "subprocess",
            "ctypes",
            "multiprocessing",
            "threading",
            "pickle",
            "importlib",
            "inspect",
            "gc",
            "builtins",
            "signal",
            "resource",
            "urllib",
            "http",
            "shutil",
            "tempfile",
            "io",
            "mmap",
            "code",
            "pty",
            "agentgraph",
            "pydantic_monty",
            "numpy",
        )
    ),
    Escape("import_star", "from os import *\ndef f(x):\n return environ", UNSUPPORTED),
    Escape("import_relative", "from . import a\ndef f(x): pass", r"ImportError: attempted relative import"),
    Escape("import_fork", "from os import fork\ndef f(x):\n return fork()", r"ImportError: cannot import name"),
    Escape("import_through_json", "import json\ndef f(x):\n return json.codecs", NO_ATTRIBUTE),
    # Files, environment, processes
    Escape("open_write", "def f(x):\n open('PATH', 'w').write('x')", NO_FILE),
    Escape("open_read", "def f(x):\n return open('/etc/passwd').read()", NO_FILE),
    Escape("open_proc", "def f(x):\n return open('/proc/self/environ').read()", NO_FILE),
    Escape("open_descriptor", "def f(x):\n return open(0).read()", r"TypeError|PermissionError|OSError"),
    Escape("path_write", "from pathlib import Path\ndef f(x):\n Path('PATH').write_text('x')", NO_FILE),
    Escape("path_walk", "from pathlib import Path\ndef f(x):\n return [str(p) for p in Path('/').iterdir()]", NO_FILE),
    Escape("path_up", "def f(x):\n return open('../../../../etc/passwd').read()", NO_FILE),
    Escape("listdir", "import os\ndef f(x):\n return os.listdir('/')", NO_FILE),
    Escape("mkdir", "import os\ndef f(x):\n os.mkdir('PATH')", NO_FILE),
    Escape("environ", "import os\ndef f(x):\n return os.environ['SECRET']", NO_FILE),
    Escape("getenv", "import os\ndef f(x):\n return os.getenv('SECRET')", NO_FILE),
    Escape("os_system", "import os\ndef f(x):\n os.system('touch PATH')", NO_ATTRIBUTE),
    Escape("os_fork", "import os\ndef f(x):\n return os.fork()", NO_ATTRIBUTE),
    Escape("os_kill", "import os\ndef f(x):\n os.kill(os.getppid(), 9)", NO_ATTRIBUTE),
    Escape("os_execv", "import os\ndef f(x):\n os.execv('/bin/touch', ['touch', 'PATH'])", NO_ATTRIBUTE),
    Escape("asyncio_process", "import asyncio\ndef f(x):\n return asyncio.create_subprocess_shell", NO_ATTRIBUTE),
    Escape(
        "asyncio_connect", "import asyncio\ndef f(x):\n return asyncio.open_connection('127.0.0.1', PORT)", NO_ATTRIBUTE
    ),
    # Time
    Escape("loop", "def f(x):\n while True: pass", TIME),
    Escape("loop_caught", "def f(x):\n while True:\n  try:\n   while True: pass\n  except BaseException: pass", TIME),
    Escape("loop_finally", "def f(x):\n try:\n  while True: pass\n finally:\n  while True: pass", TIME),
    Escape("loop_at_import", "while True: pass\ndef f(x): pass", TIME),
    Escape("loop_comprehension", "def f(x):\n return sum(1 for _ in range(10**12))", f"{TIME}|{MEMORY}"),
    Escape("loop_nested", "def f(x):\n return len([0 for a in range(10**5) for b in range(10**5) if a < 0])", TIME),
    Escape("loop_sort_key", "def g(a):\n while True: pass\ndef f(x):\n return sorted([2, 1], key=g)", TIME),
    Escape("loop_eq", "class A:\n def __eq__(self, o):\n  while True: pass\ndef f(x):\n return A() == A()", TIME),
    Escape("loop_default", "def g():\n while True: pass\ndef f(x, y=g()): pass", TIME),
    Escape("loop_decorator", "def d(g):\n while True: pass\n@d\ndef f(x): pass", TIME),
    Escape("loop_exec", "def f(x):\n exec('while True: pass')", TIME),
    Escape("sleep", "import time\ndef f(x):\n time.sleep(3600)", TIME),
    Escape("sleep_many", "import time\ndef f(x):\n while True: time.sleep(0.01)", TIME),
    Escape(
        "sleep_async", "import asyncio\nasync def g():\n await asyncio.sleep(3600)\ndef f(x):\n asyncio.run(g())", TIME
    ),
    Escape("regex_bomb", "import re\ndef f(x):\n return re.match('(a+)+$', 'a' * 40 + 'b')", value=None),
    Escape(
        "regex_bomb_backreference",
        "import re\ndef f(x):\n return re.match(r'(a*)*(a*)*(a*)*\\1b', 'a' * 5000)",
        "PatternError",
    ),
    Escape("int_to_str", "def f(x):\n return len(str(7 ** 3000000))", f"{TIME}|{MEMORY}|ValueError"),
    # Memory
    Escape("memory_list", "def f(x):\n return [0] * 10**10", MEMORY),
    Escape("memory_list_grown", "def f(x):\n a = []\n while True: a.append('x' * 100000)", MEMORY),
    Escape(
        "memory_caught",
        "def f(x):\n a = []\n while True:\n  try: a.append('x' * 10**6)\n  except BaseException: pass",
        MEMORY,
    ),
    Escape("memory_str", "def f(x):\n return 'x' * 10**10", MEMORY),
    Escape("memory_str_doubled", "def f(x):\n a = 'xx'\n while True: a += a", MEMORY),
    Escape("memory_bytes", "def f(x):\n return len(bytes(10**11))", MEMORY),
    Escape("memory_int", "def f(x):\n return 10**10**8", MEMORY),
    Escape("memory_shift", "def f(x):\n return 1 << 10**11", MEMORY),
    Escape("memory_dict", "def f(x):\n d = {}\n i = 0\n while True:\n  d[i] = str(i)\n  i += 1", f"{MEMORY}|{TIME}"),
    Escape("memory_range", "def f(x):\n return list(range(10**10))", f"{MEMORY}|{TIME}"),
    Escape(
        "memory_format", "def f(x):\n return len('{:>10000000000}'.format(1))", f"{MEMORY}|ValueError|OverflowError"
    ),
    Escape("memory_ljust", "def f(x):\n return len('a'.ljust(10**11))", MEMORY),
    Escape("memory_replace", "def f(x):\n a = 'a' * 10**5\n return len(a.replace('a', a))", MEMORY),
    Escape("memory_join", "def f(x):\n a = 'a' * 10**6\n return len(a.join([a] * 10**4))", MEMORY),
    Escape(
        "memory_product",
        "import itertools\ndef f(x):\n return list(itertools.product(range(1000), repeat=4))",
        f"{MEMORY}|{TIME}",
    ),
    # Depth
    Escape("recursion", "def f(x):\n return f(x)", "RecursionError"),
    Escape(
        "recursion_caught",
        "def f(x):\n try:\n  return f(x)\n except BaseException:\n  return f(x)",
        f"RecursionError|{TIME}",
    ),
    Escape(
        "deep_value", "def f(x):\n a = []\n for _ in range(10**5): a = [a]\n return a", r"RecursionError|ValueError"
    ),
    Escape(
        "deep_compare",
        "def f(x):\n a, b = [], []\n for _ in range(10**5): a, b = [a], [b]\n return a == b",
        "RecursionError",
    ),
    Escape(
        "deep_repr", "def f(x):\n a = []\n for _ in range(10**5): a = [a]\n return len(repr(a)) < 10**6", value=True
    ),
    Escape("deep_code", "def f(x):\n return " + "(" * 5000 + "1" + ")" * 5000, "SyntaxError: .*nested"),
    Escape("deep_operators", "def f(x):\n return " + "-" * 20000 + "1", "SyntaxError: .*nested"),
    Escape("deep_eval", "def f(x):\n return eval('(' * 10**5)", "SyntaxError"),
    Escape("deep_json", "import json\ndef f(x):\n return json.loads('[' * 10**5)", "JSONDecodeError"),
    # Output
    Escape("flood_value", "def f(x):\n return 'x' * 10**6", OUTPUT),
    Escape("flood_print", "def f(x):\n while True: print('x' * 1000)", OUTPUT),
    Escape(
        "flood_print_caught", "def f(x):\n while True:\n  try: print('x' * 1000)\n  except BaseException: pass", OUTPUT
    ),
    Escape("flood_stderr", "import sys\ndef f(x):\n while True: print('x' * 1000, file=sys.stderr)", OUTPUT),
    Escape("flood_error", "def f(x):\n raise ValueError('x' * 10**7)", "ValueError: x{2000} "),
    # Values that are no JSON
    Escape("value_cycle", "def f(x):\n a = []\n a.append(a)\n return a", "ValueError: Circular"),
    Escape("value_nan", "def f(x):\n return float('nan')", "ValueError: Out of range"),
    Escape("value_inf", "def f(x):\n return [1, float('-inf')]", "ValueError: Out of range"),
    Escape("value_set", "def f(x):\n return {1}", "TypeError: .*not JSON serializable"),
    Escape("value_bytes", "def f(x):\n return b'x'", "TypeError: .*not JSON serializable"),
    Escape("value_function", "def f(x):\n return f", "TypeError: .*not JSON serializable"),
    Escape("value_module", "import os\ndef f(x):\n return os", "TypeError: .*not JSON serializable"),
    Escape("value_coroutine", "async def f(x):\n return 1", "TypeError: .*not JSON serializable"),
    Escape("value_huge_int", "def f(x):\n return 10 ** 5000", "ValueError"),
    Escape(
        "value_object",
        "class A:\n def __init__(self): self.__dict__ = 1\ndef f(x):\n return A()",
        "TypeError|AttributeError",
    ),
    Escape(
        "reduce",
        "class A:\n def __reduce__(self): return (print, ('x',))\ndef f(x):\n return A()",
        "TypeError: .*not JSON serializable",
    ),
    # Ending the call oddly
    Escape("system_exit", "def f(x):\n raise SystemExit", "SystemExit"),
    Escape("keyboard_interrupt", "def f(x):\n raise KeyboardInterrupt", "KeyboardInterrupt"),
    Escape("lying_timeout", "def f(x):\n raise TimeoutError('feed time limit exceeded')", TIME),
    Escape("no_function", "f = 3", "TypeError: .*not callable"),
    Escape("shadowed_json", "class json:\n def dumps(self): pass\ndef f(x):\n return 1", value=1),
    Escape("break_the_call", "def f(x): pass\n_agentgraph_json = 1\n_agentgraph_arguments = '{}'", value=None),
]
