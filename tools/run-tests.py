#!/usr/bin/env python3
"""Builds what the suites need, runs them, and prints how long each took against its budget.

usage: tools/run-tests.py [--long] [--only NAME[,NAME...]] [--list] [-v]

A suite is one line of SUITES. Its command is either `meson:SUITE`, which runs that Meson suite of the
row's build directory, or a shell line run from the top of the tree, with BUILD set to the directory and
REQUIRE to "--require" in CI as root, where nothing may be skipped for want of rights, else to "".
Tests are counted from TAP lines ("ok 1 - ...", "not ok 2 - ..."), else from a last line of the form
"N passed, N failed", else from pytest's own ("3 passed, 1 skipped in 2.1s"), else the command counts as
one test. A suite fails when a test fails, when its command fails, or when it ran no test and gave no
reason. What was skipped is listed with its reason ("# SKIP why"; pytest -rs).

A budget is what a suite takes on two quiet cores. Going over it is shown and fails nothing: machines are
noisy, and speed is for the benchmarks. A suite that hangs is killed and fails after six times its budget,
but not before ten minutes.

The last line of the output is always "N passed, N failed".
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Build directories: name -> (compiler, meson options).
BUILDS = {
    "build": ("gcc", []),
    "build-test": ("gcc", ["-Dfaults=true"]),
    "build-clang": ("clang", ["-Dfaults=true"]),
    "build-asan": ("clang", ["-Dfaults=true", "-Dfuzz=true", "-Db_sanitize=address,undefined",
                             "-Db_lundef=false", "-Dc_args=-fno-sanitize-recover=all -Wno-frame-larger-than"]),
    "build-tsan": ("gcc", ["-Dfaults=true", "-Db_sanitize=thread", "-Dc_args=-Wno-frame-larger-than"]),
}

Suite = namedtuple("Suite", "name when build budget_s command")
QUICK, LONG = "quick", "long"

# One line a suite. A suite whose script is absent is an error: declare only what exists.
SUITES = [
    Suite("lint",       QUICK, "build-test", 300, "tools/lint.py"),
    Suite("tools",      QUICK, None,         30,  "tests/unit/tools/test_tools.py"),
    Suite("unit",       QUICK, "build-test", 60,  "meson:unit"),
    Suite("unit-clang", QUICK, "build-clang", 60, "meson:unit"),
    Suite("unit-tsan",  QUICK, "build-tsan", 180, "meson:unit"),
    Suite("unit-asan",  QUICK, "build-asan", 120, "meson:unit"),
    Suite("model",      QUICK, "build-test", 90,  "$BUILD/tests/model/kitten-model --seeds 1..2000 2>/dev/null"),
    Suite("model-fresh", LONG,  "build-test", 40, "$BUILD/tests/model/kitten-model --fresh 800 --once 2>/dev/null"),
    Suite("model-asan", QUICK, "build-asan", 90,  "$BUILD/tests/model/kitten-model --seeds 1..150 --once"),
    Suite("model-past", QUICK, "build-test", 30,
          "$BUILD/tests/model/kitten-model --regressions tests/model/regressions.txt 2>/dev/null"),
    Suite("sweep",      QUICK, "build-test", 60,  "$BUILD/tests/model/kitten-sweep 2>/dev/null"),
    Suite("planted",    QUICK, "build-test", 60,  "tests/model/planted.py"),
    Suite("http-sim",   QUICK, "build-test", 60,  "$BUILD/tests/sim/http_sim 1..1500"),
    Suite("model-long", LONG,  "build-test", 3600,
          "$BUILD/tests/model/kitten-model --fresh 100000 --once 2>/dev/null"),
    Suite("sweep-long", LONG,  "build-test", 1200, "$BUILD/tests/model/kitten-sweep --variants 100 2>/dev/null"),
    Suite("aarch64",    QUICK, "build-test", 30,  "meson:aarch64"),
    Suite("fuzz-corpus", QUICK, "build-asan", 30, "meson:fuzz-corpus"),
    Suite("system",     QUICK, "build-test", 90,  "/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider tests/system"),
    Suite("system-asan", LONG, "build-asan", 180,
          "/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider tests/system"),
    Suite("bench-tool", QUICK, "build-test", 60, "tests/system/bench_test.py"),
    Suite("smuggling",  QUICK, "build-asan", 60,  "tests/system/smuggling.py $BUILD"),
    Suite("disconnects", QUICK, "build-asan", 60, "tests/system/disconnects.py $BUILD"),
    Suite("idle-conns", QUICK, "build-test", 60,  "tests/system/idle_conns.py $BUILD"),
    Suite("demo",       QUICK, "build",      120, "tests/system/demo.py --count 3000 --trees icons --skip-offline"),
    Suite("kill-loop",  QUICK, "build",      300, "tests/system/kill_loop.py --kills 200"),
    Suite("kill-sabotage", QUICK, "build",   60,
          "for how in cut undead flip; do tests/system/kill_loop.py --kills 20 --sabotage $how || exit 1; done"),
    Suite("powercut",   QUICK, "build",      180,
          "tests/system/powercut.py --cuts 26 $REQUIRE"),
    Suite("powercut-bugs", QUICK, "build-test", 60,
          "for bug in skip_fsync delete_no_sync; do tests/system/powercut.py --kitten $BUILD/kitten --bug $bug "
          "--expect-failure --cuts 15 $REQUIRE || exit 1; done"),
]

SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "allocator_may_return_null=1:halt_on_error=1:second_deadlock_stack=1",
}
KILL_MIN_S, KILL_BUDGETS = 600, 6
OUTPUT_MAX = 100000  # of a failed suite, its end
TAP = re.compile(r"^[ ]*(ok|not ok)\b(?!.*# SKIP)", re.M)
SKIPPED = re.compile(r"^[ ]*(?:(?:ok|not ok)\b|1\.\.0).*?# SKIP.*$|^SKIPPED \[.*$", re.M)
TOTAL = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
PYTEST = re.compile(r"^(?:=+ )?((?:\d+ \w+, )*\d+ \w+) in [\d.]+s\b.*$", re.M)


def say(text):
    print(text, flush=True)


def build(name):
    """Configures and builds one directory; returns its log when that fails, else None."""
    compiler, options = BUILDS[name]
    path = os.path.join(TOP, name)
    env = dict(os.environ, CC=compiler)
    stamp = os.path.join(path, "kitten-options.json")
    steps = [["ninja", "-C", path, "--quiet"]]
    if not os.path.exists(stamp) or open(stamp, encoding="utf-8").read() != json.dumps(BUILDS[name]):
        wipe = ["--wipe"] if os.path.exists(os.path.join(path, "build.ninja")) else []
        steps.insert(0, ["meson", "setup", path, TOP] + wipe + options)
    for step in steps:
        done = subprocess.run(step, cwd=TOP, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            return done.stdout[max(done.stdout.find("FAILED:"), 0):]
        if step[0] == "meson":
            with open(stamp, "w", encoding="utf-8") as file:
                file.write(json.dumps(BUILDS[name]))
    return None


def count(output, status):
    """(passed, failed) of one command's output."""
    taps, totals, pytests = TAP.findall(output), TOTAL.findall(output), PYTEST.findall(output)
    if taps:
        passed = taps.count("ok")
        failed = len(taps) - passed
    elif totals:
        passed, failed = map(int, totals[-1])
    elif pytests:
        words = dict(reversed(part.split()) for part in pytests[-1].split(", "))
        passed = int(words.get("passed", 0))
        failed = sum(int(words.get(word, 0)) for word in ("failed", "error", "errors"))
    elif SKIPPED.search(output):
        passed, failed = 0, 0
    else:
        passed, failed = (1, 0) if status == 0 else (0, 1)
    if status != 0 and failed == 0:
        failed = 1
    return passed, failed


def kill_after_s(budget_s):
    return max(KILL_MIN_S, KILL_BUDGETS * budget_s)


def run_command(line, env, limit_s):
    """Runs a shell line in its own process group; returns (status, output)."""
    proc = subprocess.Popen(["bash", "-c", line], cwd=TOP, env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", start_new_session=True)
    try:
        output, _ = proc.communicate(timeout=limit_s)
        return proc.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, signal.SIGKILL)
        output, _ = proc.communicate()
        return 1, output + f"\nkilled: it hung, or took more than {limit_s} s\n"


def run_meson(suite, meson_suite, env):
    """Runs a Meson suite; returns (passed, failed, what failed, what was skipped)."""
    path = os.path.join(TOP, suite.build)
    log = os.path.join(path, "meson-logs", f"testlog-{suite.name}.json")
    if os.path.exists(log):
        os.unlink(log)
    status, output = run_command(f"meson test -C '{path}' --no-rebuild --suite {meson_suite} "
                                 f"--timeout-multiplier {KILL_BUDGETS} --logbase testlog-{suite.name}",
                                 env, kill_after_s(suite.budget_s))
    if not os.path.exists(log):
        return 0, 1, output, []
    passed = failed = 0
    failures, skipped = [], []
    with open(log, encoding="utf-8") as file:
        for row in map(json.loads, file):
            text = row.get("stdout", "")
            p, f = (0, 0) if row["result"] == "SKIP" else count(text, 0 if row["result"] == "OK" else 1)
            passed, failed = passed + p, failed + f
            reasons = SKIPPED.findall(text)
            if row["result"] == "SKIP" and not reasons:
                reasons = ["it gives no reason"]
            skipped += [f"{row['name']}: {reason.strip()}" for reason in reasons]
            if f:
                failures.append(f"--- {row['name']}: {row['result']}\n" + text[-6000:] + row.get("stderr", "")[-6000:])
    if status != 0 and failed == 0:
        failed = 1
        failures.append(output)
    return passed, failed, "\n".join(failures), skipped


def run_suite(suite, verbose):
    """Runs one suite; returns (passed, failed, skipped, seconds)."""
    env = dict(os.environ, BUILD=os.path.join(TOP, suite.build) if suite.build else "", **SANITIZER_ENV)
    env["REQUIRE"] = "--require" if os.environ.get("CI") and os.geteuid() == 0 else ""
    start = time.monotonic()
    if suite.command.startswith("meson:"):
        passed, failed, output, skipped = run_meson(suite, suite.command[len("meson:"):], env)
    else:
        status, output = run_command(suite.command, env, kill_after_s(suite.budget_s))
        passed, failed = count(output, status)
        skipped = [line.strip() for line in SKIPPED.findall(output)]
    seconds = time.monotonic() - start
    if passed + failed == 0 and not skipped:
        failed, output = 1, output + "\nno test ran\n"
    if failed or verbose:
        say(output.rstrip()[-OUTPUT_MAX:])
    for line in skipped:
        say("not run: " + line)
    return passed, failed, len(skipped), seconds


def choose(args):
    only = next((args[i + 1].split(",") for i, a in enumerate(args[:-1]) if a == "--only"), None)
    known = [s.name for s in SUITES]
    for name in only or []:
        if name not in known:
            sys.exit(f"run-tests: no suite is called '{name}'; there are: {' '.join(known)}")
    if only:
        return [s for s in SUITES if s.name in only]
    return [s for s in SUITES if s.when == QUICK or "--long" in args]


def main(args):
    suites = choose(args)
    if "--list" in args:
        for s in SUITES:
            say(f"{s.name:<14} {s.when:<6} {s.budget_s:>5} s  {s.build or '-':<11} {s.command}")
        return 0
    rows, broken = [], {}
    for name in dict.fromkeys(s.build for s in suites if s.build):
        start = time.monotonic()
        log = build(name)
        rows.append((f"({name})", "", "", time.monotonic() - start, "", "built" if log is None else "FAILED"))
        if log is not None:
            broken[name] = True
            say(f"--- {name} does not build\n{log[-8000:]}")
    total = [0, 0, 0]
    for s in suites:
        result = (0, 1, 0, 0.0)
        if s.build not in broken:
            say(f"--- {s.name}")
            result = run_suite(s, "-v" in args)
        passed, failed, skipped, seconds = result
        total = [a + b for a, b in zip(total, result)]
        late = f"; {seconds - s.budget_s:.0f} s over its budget" if seconds > s.budget_s else ""
        rows.append((s.name, passed + failed, skipped, seconds, s.budget_s,
                     ("FAILED" if failed else "ok" if passed else "NOT RUN") + late))
    say(f"\n{'suite':<16}{'tests':>7}{'skipped':>9}{'seconds':>9}{'budget':>8}")
    for name, tests, skipped, seconds, budget, state in rows:
        say(f"{name:<16}{tests:>7}{skipped or '':>9}{seconds:>9.1f}{budget:>8}  {state}")
    say(f"{'all':<16}{total[0] + total[1]:>7}{total[2] or '':>9}{sum(r[3] for r in rows):>9.1f}")
    say(f"{total[0]} passed, {total[1]} failed")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
