#!/usr/bin/env python3
"""House rules, formatting and clang-tidy; prints TAP.

usage: BUILD=build-test tools/lint.py     (BUILD holds compile_commands.json)

clang-tidy is slow, so its verdict on a file is kept in .cache/lint under a hash of everything that it
depends on: the file, the project headers it includes, .clang-tidy and its compiler flags.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(TOP, ".cache", "lint")
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)


def run(command):
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "src", "tests"], cwd=TOP, check=True,
                            stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [p for p in listed if p.endswith((".c", ".h")) and os.path.exists(os.path.join(TOP, p))]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def with_includes(path, seen):
    """The file and, transitively, the project headers it includes."""
    if path in seen or not os.path.exists(path):
        return
    seen[path] = read(path)
    for name in INCLUDE.findall(seen[path]):
        name = name.decode()
        for folder in (os.path.join(TOP, "src"), TOP, os.path.dirname(path)):
            with_includes(os.path.normpath(os.path.join(folder, name)), seen)


def clang_tidy(build, command, file):
    path = os.path.normpath(os.path.join(build, file))
    seen = {}
    with_includes(path, seen)
    digest = hashlib.sha256(command.encode() + read(os.path.join(TOP, ".clang-tidy")))
    for name in sorted(seen):
        digest.update(hashlib.sha256(seen[name]).digest())
    mark = os.path.join(CACHE, digest.hexdigest())
    if os.path.exists(mark):
        return ""
    status, output = run(["clang-tidy", "--quiet", "-p", build, "--extra-arg=-Wno-unknown-warning-option",
                          "--extra-arg=-ftrivial-auto-var-init=uninitialized", path])
    if status == 0:
        os.makedirs(CACHE, exist_ok=True)
        with open(mark, "w", encoding="utf-8"):
            pass
        return ""
    return output


def tap(number, name, output):
    for line in output.splitlines():
        print("# " + line)
    print(f"{'not ok' if output else 'ok'} {number} - {name}", flush=True)
    return bool(output)


def main():
    status, output = run(["python3", "tools/tidy.py"])
    if status == 0 and output:
        print("# " + output.rstrip())
    bad = tap(1, "tidy", output if status else "")
    status, output = run(["clang-format", "--dry-run", "-Werror"] + sources())
    bad |= tap(2, "clang-format", output if status else "")

    build = os.path.join(TOP, os.environ.get("BUILD") or "build-test")
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        rows = {r["file"]: r["command"] for r in json.load(file)}
    src = sorted(f for f in rows if f.endswith(".c") and
                 os.path.normpath(os.path.join(build, f)).startswith(os.path.join(TOP, "src") + os.sep))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        found = [o for o in pool.map(lambda f: clang_tidy(build, rows[f], f), src) if o]
    bad |= tap(3, f"clang-tidy of {len(src)} files", "\n".join(found))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
