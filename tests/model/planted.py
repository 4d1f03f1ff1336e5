#!/usr/bin/env python3
"""Each planted bug must be caught by the model or the sweeps within a bounded number of cases.

usage: BUILD=build-test tests/model/planted.py [BUG...]

Runs kitten-model and kitten-sweep with KITTEN_BUG=name (a build with -Dfaults=true) until one of them reports a
failure, and without a bug to see that the very same cases pass. Prints one line a bug; exits 1 when one escapes."""
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build-test"))
MODEL = [os.path.join(BUILD, "tests/model/kitten-model"), "--once", "--stop-after", "1"]
SWEEP = [os.path.join(BUILD, "tests/model/kitten-sweep"), "--stop-after", "1"]

# What looks for it, in order: a sweep of one scenario, or the model with a bound on seeds.
HUNTS = {
    "skip_fsync": [SWEEP + ["--only", "put"], MODEL + ["--seeds", "1..300"]],
    "skip_dirfsync": [SWEEP + ["--only", "create"], MODEL + ["--seeds", "1..300"]],
    "ack_before_sync": [SWEEP + ["--only", "put"], MODEL + ["--seeds", "1..300"]],
    "retry_fsync": [SWEEP + ["--only", "put"], MODEL + ["--seeds", "1..300"]],
    "delete_no_sync": [SWEEP + ["--only", "delete"], MODEL + ["--seeds", "1..300"]],
    "crc_data_only": [MODEL + ["--seeds", "1..1000"]],
    "short_read_eof": [MODEL + ["--seeds", "1..300"]],
    "trust_page_cache": [MODEL + ["--seeds", "1..4000"]],
}


def hunt(command, bug):
    """(failed cases seen, first failure's text, cases run)."""
    env = dict(os.environ, KITTEN_BUG=bug)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          timeout=600)
    failures = re.findall(r"^FAILED (.*)$", done.stdout, re.M)
    totals = re.findall(r"^(\d+) passed, (\d+) failed$", done.stdout, re.M)
    runs = sum(map(int, totals[-1])) if totals else 0
    return failures, runs


def main(bugs):
    passed = failed = 0
    for bug in bugs or HUNTS:
        start = time.monotonic()
        runs, caught = 0, None
        for command in HUNTS[bug]:
            failures, n = hunt(command, bug)
            runs += n
            if failures:
                caught = failures[0]
                break
        seconds = time.monotonic() - start
        if caught:
            passed += 1
            print(f"ok - {bug}: caught after {runs} cases, {seconds:.1f} s: {caught[:150]}", flush=True)
        else:
            failed += 1
            print(f"not ok - {bug}: escaped {runs} cases, {seconds:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
