#!/usr/bin/env python3
"""The checkers are checked: tidy.py finds each kind of offence, run-tests.py counts right. Prints TAP."""
import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

CONTRACT = "/* thing: what it is, in enough words to be a contract: model, invariants, threads, errors. */\n"
GOOD = {
    "tools/layers.txt": "0 base\n1 codec\n3 rt\n",
    "tools/tidy-exceptions.txt": "# none\n",
    "src/base/thing.h": CONTRACT + "#ifndef KT_BASE_THING_H\n#define KT_BASE_THING_H\n\nint thing(int a);\n\n#endif\n",
    "src/base/thing.c": '/* thing */\n#include "base/thing.h"\n\nint thing(int a)\n{\n    return a;\n}\n',
    "src/base/meson.build": "static_library('base', 'thing.c')\n",
    "src/codec/word.c": '/* word */\n#include "base/thing.h"\n\nint word(void)\n{\n    return thing(1);\n}\n',
    "src/codec/meson.build": "static_library('codec', 'word.c')\n",
    "src/rt/file.c": "/* file: may call the system */\nint file(int fd)\n{\n    return close(fd);\n}\n",
    "src/rt/meson.build": "static_library('rt', 'file.c')\n",
    "src/base/err_list.h": '/* codes */\nERR(IO, 500)\n',
    "tests/unit/base/test_thing.c": "/* test */\nint main(void)\n{\n    return KT_ERR_IO;\n}\n",
    "tests/unit/base/meson.build": "foreach t : ['thing']\n",
}
USES_IO = "\nint fails(void)\n{\n    return -KT_ERR_IO;\n}\n"
GOOD["src/base/thing.c"] += USES_IO


def function(body, signature="int f(void)"):
    return f"/* x */\n{signature}\n{{\n{body}}}\n" + USES_IO


# rule -> files that differ from GOOD
OFFENCES = {
    "layers": {"src/base/thing.c": '#include "rt/file.h"\n' + USES_IO},
    "line-length": {"src/base/thing.c": "/* " + "x" * 100 + " */\n" + USES_IO},
    "tab": {"src/base/thing.c": function("\treturn 0;\n")},
    "blanks": {"src/base/thing.c": function("    return 0; \n")},
    "todo": {"src/base/thing.c": function("    return 0; /* TO" + "DO later */\n")},
    "machine-path": {"src/base/thing.c": function('    return open_it("/home/' + 'me/x");\n')},
    "file-length": {"src/base/thing.h": GOOD["src/base/thing.h"].replace("int thing(int a);\n", "int x;\n" * 200)},
    "function-length": {"src/base/thing.c": function("    g();\n" * 70)},
    "parameters": {"src/base/thing.c": function("    return 0;\n", "int f(int a, int b, int c, int d, int (*e)(int x, int y), "
                                                "int g,\n      int h)")},
    "nesting": {"src/base/thing.c": function("if (a) {\n" * 5 + "}\n".join([" "] * 5) + "}\n")},
    "banned": {"src/base/thing.c": function("    strcpy(a, b);\n")},
    "os-call": {"src/base/thing.c": function("    return fsync(fd);\n")},
    "contract": {"src/base/thing.h": GOOD["src/base/thing.h"].replace(CONTRACT, "/* short */\n")},
    "guard": {"src/base/thing.h": GOOD["src/base/thing.h"].replace("KT_BASE_THING_H", "THING_H")},
    "unused": {"src/base/thing.c": function("    return 0;\n").replace(USES_IO, "")},
    "untested": {"tests/unit/base/test_thing.c": "/* t */\n"},
    "dead-file": {"src/base/meson.build": "static_library('base')\n"},
}
# what must not be found
INNOCENT = {
    "a member called like a system call": function("    return b->close(1) + v.read(2);\n"),
    "a banned word in a comment or a text": function('    /* strcpy(a, b) */\n    return g("sprintf(x)");\n'),
    "a declaration that takes a function": function("    return 0;\n", "int f(int (*open)(int), int b)"),
    "exactly 70 lines": function("    g();\n" * 68),
}


def tidy(changes):
    """Findings of tidy.py on GOOD with the changes."""
    with tempfile.TemporaryDirectory() as top:
        for path, text in {**GOOD, **changes}.items():
            os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(top, path), "w", encoding="utf-8") as file:
                file.write(text)
        shutil.copy(os.path.join(TOP, "tools", "tidy.py"), os.path.join(top, "tools"))
        subprocess.run(["git", "init", "-q", top], check=True)
        done = subprocess.run([sys.executable, "tools/tidy.py"], cwd=top, stdout=subprocess.PIPE, text=True)
        return done.returncode, [line.split(": ")[1] for line in done.stdout.splitlines() if line.count(": ") >= 2], done.stdout


def run_tests_module():
    spec = importlib.util.spec_from_file_location("run_tests", os.path.join(TOP, "tools", "run-tests.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_suite(runner, command, budget_s, kill_s=60):
    """(passed, failed, skipped, what was printed) of a suite with this command."""
    runner.KILL_MIN_S, runner.KILL_BUDGETS = kill_s, 0
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = runner.run_suite(runner.Suite("x", runner.QUICK, None, budget_s, command), False)
    return (*result[:3], printed.getvalue())


def checks():
    yield "a good tree has no findings", lambda: tidy({})[:2] == (0, [])
    for rule, changes in OFFENCES.items():
        yield f"{rule} is found, and nothing else", lambda r=rule, c=changes: tidy(c)[0] == 1 and set(tidy(c)[1]) == {r}
    for what, text in INNOCENT.items():
        yield f"{what} is no offence", lambda t=text: tidy({"src/base/thing.c": t})[:2] == (0, [])
    excused = {"src/base/thing.c": OFFENCES["os-call"]["src/base/thing.c"],
               "tools/tidy-exceptions.txt": "os-call src/base/thing.c:fsync  # why\n"}
    yield "an exception excuses its offence", lambda: tidy(excused)[0] == 0
    yield "an exception that nothing needs is told", lambda: "needed no more" in tidy(
        {"tools/tidy-exceptions.txt": "os-call src/base/thing.c:fsync  # why\n"})[2]
    runner = run_tests_module()
    count = runner.count
    yield "TAP lines are counted", lambda: count("1..3\nok 1 - a\nnot ok 2 - b\n# not ok - x\nok 3 - c # SKIP why\n", 1) == (1, 1)
    yield "a closing line is counted", lambda: count("noise\n7 passed, 2 failed\n", 1) == (7, 2)
    yield "a crash after good tests is a failure", lambda: count("ok 1 - a\n", -11) == (1, 1)
    yield "pytest's closing line is counted", lambda: count("..s\n3 passed, 1 failed, 2 errors, 1 skipped in 2.13s\n", 1) == (3, 3)
    yield "pytest's long closing line is counted", lambda: count("== 12 passed in 75.20s (0:01:15) ==\n", 0) == (12, 0)
    yield "a skipped command is no passed test", lambda: count("1..0 # SKIP not run: why\n", 0) == (0, 0)
    yield "a silent success is one test", lambda: count("", 0) == (1, 0)
    yield "a silent failure is one failure", lambda: count("", 3) == (0, 1)
    yield "a budget overrun fails nothing", lambda: run_suite(runner, "sleep 0.2", 0.1)[:3] == (1, 0, 0)
    yield "a hung suite is killed and fails", lambda: run_suite(runner, "sleep 60 & wait", 0.1, kill_s=0.3)[:3] == (0, 1, 0)
    yield "a suite that ran no test fails", lambda: run_suite(runner, "echo 0 passed, 0 failed", 9)[:3] == (0, 1, 0)
    yield "a suite that says why it did not run is skipped", lambda: run_suite(
        runner, "echo '1..0 # SKIP not run: why'", 9)[:3] == (0, 0, 1)
    yield "a reason is printed", lambda: "not run: ok 1 - a # SKIP why" in run_suite(
        runner, "echo ok 1 - a '# SKIP' why", 9)[3]


def main():
    failed = 0
    for number, (name, check) in enumerate(checks(), 1):
        good = check()
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
