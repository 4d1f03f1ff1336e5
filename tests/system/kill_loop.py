#!/usr/bin/env python3
"""Kills the server at random instants, under load, again and again; nothing promised may be lost.

usage: tests/system/kill_loop.py [--kitten PATH] [--kills N] [--seed S] [--workers N] [--dir DIR] [--log-dir DIR]
                                 [--sabotage cut|undead|flip]

The server is `kitten mini` on a new directory. Workers store, batch, read and delete (tests/lib/oracle.py) and log to
another file system. Each round waits a random time, kills with SIGKILL, sometimes removes index files, sometimes kills
again while the server starts, then restarts it and verifies the newest and a sample of all acknowledged objects. At the
end everything is verified, and the offline check must find the directory sound.

--sabotage shows that the harness notices: between a kill and the restart it damages the stopped server's files, and the
run passes when the oracle counts what that did: `cut` takes the end of a volume (lost), `undead` the end of the log of
deletes (resurrected), `flip` changes bytes of a volume (never wrong bytes: an explicit error).
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


# Small volumes and a short undelete window: rollover, sealing and compaction happen between the kills.
SMALL = ["--volume-limit", "24MiB", "--max-blob", "1MiB", "--undelete-window", "1s", "--compact-garbage", "10"]


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--kitten", default=os.path.join(TOP, "build", "kitten"))
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--limit", type=float, default=600, help="seconds after which no new round begins")
    p.add_argument("--dir")
    p.add_argument("--log-dir")
    p.add_argument("--sabotage", choices=["cut", "undead", "flip"])
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


def newest(server, pattern):
    return max(glob.glob(os.path.join(server.directory, pattern)), key=os.path.getmtime)


def sabotage(server, how, rng):
    """Damages what must be durable by now."""
    if how == "flip":
        path = newest(server, "*.vol")
        with open(path, "r+b") as f:
            for _ in range(20):
                at = rng.randrange(16384, os.path.getsize(path))
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 0x10]))
        return
    path, most, keep = (newest(server, "*.vol"), 200000, 16384) if how == "cut" else (
        newest(server, "dead.log"), 3200, 4096)
    with open(path, "rb") as f:
        end = len(f.read().rstrip(b"\0"))  # space is kept behind the last record
    os.truncate(path, max((end - most) & ~31, keep))


def one_round(server, oracle, rng, how=None):
    long_enough_to_compact = rng.random() < 0.07
    time.sleep(rng.uniform(1.1, 2.5) if long_enough_to_compact else
               rng.choice([rng.uniform(0, 0.05), rng.uniform(0.05, 0.5), rng.uniform(0.3, 1.0)]))
    server.kill()
    if rng.random() < 0.15:
        for path in glob.glob(os.path.join(server.directory, "*.idx")):
            os.unlink(path)
    if how:
        oracle.read_logs()
        sabotage(server, how, rng)
    kills = 1 + restart(server, rng)
    oracle.read_logs()
    oracle.check_sample(rng, newest=400 if how else 40, others=40)
    return kills


def finish(server, load, oracle, rng):
    load.stop()
    oracle.read_logs()
    oracle.check_all()
    oracle.check_strangers(rng, 300)
    code = server.stop()
    problems = [] if code == 0 else [f"SIGTERM was answered by exit code {code}"]
    if subprocess.run([server.kitten, "help", "fsck"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        return problems
    done = subprocess.run([server.kitten, "fsck", server.directory], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        problems.append(f"fsck ended with {done.returncode}: {done.stdout[-500:]}")
    return problems


def run(args, data, logs):
    rng = random.Random(args.seed)
    server = lib.Server(args.kitten, os.path.join(data, "d"), os.path.join(logs, "server.log"), options=SMALL)
    load = oracle = None
    kills, begin = 0, time.monotonic()
    problems = []
    try:
        server.start()
        load = lib.Load(args.workers, logs, server, args.seed)
        oracle = lib.Oracle(load.paths, server)
        while kills < args.kills and time.monotonic() - begin < args.limit:
            kills += one_round(server, oracle, rng, args.sabotage)
            if args.sabotage and oracle.failures():
                break
        if not args.sabotage:
            if kills < args.kills:
                problems.append(f"only {kills} kills in {args.limit:.0f} s")
            problems += finish(server, load, oracle, rng)
    except lib.ServerDied as e:
        oracle.fail("unavailable", str(e))
    except RuntimeError as e:
        problems.append(str(e))
    finally:
        lib.shut_down(server, load)
    print(f"# seed {args.seed}, {kills} kills in {time.monotonic() - begin:.0f} s; "
          f"{oracle.summary() if oracle else 'never ran'}")
    with open(server.log_path, encoding="utf-8", errors="replace") as f:
        print(f"# {sum('volume compacted' in line for line in f)} volumes compacted on the way")
    reports = oracle.reports if oracle else []
    for text in (reports[:3] if args.sabotage else reports) + problems:
        print(f"# {text}")
    return oracle, problems


def main():
    args = arguments()
    data = tempfile.mkdtemp(prefix="kitten-kill-", dir=args.dir)
    logs = tempfile.mkdtemp(prefix="kitten-kill-log-", dir=args.log_dir or ("/dev/shm" if os.path.isdir("/dev/shm")
                                                                           else None))
    oracle, problems = run(args, data, logs)
    if args.sabotage:
        want = {"cut": "lost", "undead": "resurrected", "flip": "unavailable"}[args.sabotage]
        good = oracle is not None and oracle.bad[want] > 0 and oracle.bad["corrupt"] == 0
        what = f"sabotage '{args.sabotage}' is noticed as {want}"
    else:
        good = oracle is not None and not oracle.failures() and not problems
        what = f"nothing promised is lost by {args.kills} kills"
    print(f"1..1\n{'ok' if good else 'not ok'} 1 - {what}")
    if good:
        shutil.rmtree(logs)
        shutil.rmtree(data)
    else:
        print(f"# kept: {data} {logs}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
