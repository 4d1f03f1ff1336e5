#!/usr/bin/env python3
"""Kills the server at random instants, under load, again and again; nothing promised may be lost.

usage: tests/system/kill_loop.py [--kitten PATH] [--kills N] [--seed S] [--workers N] [--dir DIR] [--log-dir DIR]
                                 [--bug NAME --expect-failure]

The server is `kitten mini` on a new directory. Workers store, batch, read and delete (tests/lib/oracle.py) and log to
another file system. Each round waits a random time, kills with SIGKILL, sometimes removes index files, sometimes kills
again while the server starts, then restarts it and verifies the newest and a sample of all acknowledged objects. At the
end everything is verified, and the offline check must find the directory sound. With --expect-failure the run passes
when it finds damage: that is how the harness is shown to work, on a build with a planted bug (KITTEN_BUG=NAME).
"""
import argparse
import glob
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import oracle as lib  # noqa: E402


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--kitten", default=os.path.join(TOP, "build", "kitten"))
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--limit", type=float, default=600, help="seconds after which no new round begins")
    p.add_argument("--dir")
    p.add_argument("--log-dir")
    p.add_argument("--bug")
    p.add_argument("--expect-failure", action="store_true")
    return p.parse_args()


def restart(server, rng):
    """Starts again, now and then killing the start itself. Returns kills made on the way."""
    kills = 0
    while rng.random() < 0.12 and kills < 3:
        server.spawn()
        time.sleep(rng.uniform(0, 0.12))
        server.kill()
        kills += 1
    server.start()
    return kills


def one_round(server, oracle, rng):
    time.sleep(rng.choice([rng.uniform(0, 0.05), rng.uniform(0.05, 0.5), rng.uniform(0.3, 1.0)]))
    server.kill()
    if rng.random() < 0.15:
        for path in glob.glob(os.path.join(server.directory, "*.idx")):
            os.unlink(path)
    kills = 1 + restart(server, rng)
    oracle.read_logs()
    oracle.check_sample(rng, newest=40, others=40)
    return kills


def finish(server, load, oracle, rng):
    load.stop()
    oracle.read_logs()
    oracle.check_all()
    oracle.check_strangers(rng, 300)
    code = server.stop()
    problems = [] if code == 0 else [f"SIGTERM was answered by exit code {code}"]
    done = subprocess.run([server.kitten, "fsck", server.directory], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        problems.append(f"fsck ended with {done.returncode}: {done.stdout[-500:]}")
    return problems


def run(args, data, logs):
    rng = random.Random(args.seed)
    server = lib.Server(args.kitten, os.path.join(data, "d"), os.path.join(logs, "server.log"), args.bug)
    server.start()
    load = lib.Load(args.workers, logs, server, args.seed)
    oracle = lib.Oracle(load.paths, server)
    kills, begin = 0, time.monotonic()
    problems = []
    try:
        while kills < args.kills and time.monotonic() - begin < args.limit:
            kills += one_round(server, oracle, rng)
            if args.expect_failure and oracle.failures():
                break
        if kills < args.kills and not args.expect_failure:
            problems.append(f"only {kills} kills in {args.limit:.0f} s")
        problems += finish(server, load, oracle, rng)
    except RuntimeError as e:
        problems.append(str(e))
    finally:
        load.stop_event.set()
        if server.proc.poll() is None:
            server.kill()
        load.stop()
    print(f"# seed {args.seed}, {kills} kills in {time.monotonic() - begin:.0f} s; {oracle.summary()}")
    for text in oracle.reports + problems:
        print(f"# {text}")
    return oracle.failures(), problems


def main():
    args = arguments()
    data = tempfile.mkdtemp(prefix="kitten-kill-", dir=args.dir)
    logs = tempfile.mkdtemp(prefix="kitten-kill-log-", dir=args.log_dir or ("/dev/shm" if os.path.isdir("/dev/shm")
                                                                           else None))
    failures, problems = run(args, data, logs)
    good = failures > 0 if args.expect_failure else failures == 0 and not problems
    what = f"planted bug {args.bug} is noticed" if args.expect_failure else "nothing promised is lost by kill -9"
    print(f"1..1\n{'ok' if good else 'not ok'} 1 - {what}")
    if good or args.expect_failure:
        shutil.rmtree(logs)
        shutil.rmtree(data)
    else:
        print(f"# kept: {data} {logs}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
