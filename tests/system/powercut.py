#!/usr/bin/env python3
"""Cuts the power of a mounted file system under load, again and again; nothing promised may be lost.

usage: tests/system/powercut.py [--kitten PATH] [--cuts N] [--seed S] [--fs ext4,xfs] [--require]
                                [--bug NAME --expect-failure]

For each file system: an image on a loop device is made and mounted, `kitten mini` serves a directory on it, workers
load it and log elsewhere (tests/lib/oracle.py). At a cut the server is frozen (nothing leaves a machine without power);
every fourth time it goes on running on the dead disk instead, where writes fail. The cut is the shutdown ioctl (`_IOR('X', 125, u32)`, flag 2: not even
the log is flushed), after which the file system takes no more writes; then the server is killed, the file system
unmounted, mounted again (its own recovery runs), the server started and the acknowledged objects verified. What was
never synced is lost by this just as by a power failure. --cuts is per file system.

Needs root, losetup, mkfs and mount; where they are missing it says so ("SKIP"), which --require turns into a failure.
"""
import argparse
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import oracle as lib  # noqa: E402

IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): linux/fs.h of ext4, xfs and f2fs
GOING_FLAGS_NOLOGFLUSH = 2
IMAGE_BYTES = 3 << 30


# Small volumes: files are born, sealed and indexed between the cuts.
SMALL = ["--volume-limit", "4MiB", "--max-blob", "1MiB", "--undelete-window", "1s", "--compact-garbage", "10"]


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--kitten", default=os.path.join(TOP, "build", "kitten"))
    p.add_argument("--cuts", type=int, default=26)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--fs", default="ext4,xfs")
    p.add_argument("--live", type=float, default=0.25, help="share of cuts under a running server")
    p.add_argument("--require", action="store_true")
    p.add_argument("--bug")
    p.add_argument("--expect-failure", action="store_true")
    return p.parse_args()


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout.strip()


class Disk:
    """An image file, its loop device, its mount."""

    def __init__(self, directory, fs):
        self.image, self.mount_point = os.path.join(directory, "image"), os.path.join(directory, "mnt")
        self.fs, self.loop, self.mounted = fs, None, False
        os.mkdir(self.mount_point)
        with open(self.image, "wb") as f:
            f.truncate(IMAGE_BYTES)
        self.loop = run("losetup", "--find", "--show", self.image)
        run(f"mkfs.{fs}", "-q", self.loop)
        self.mount()

    def mount(self):
        run("mount", "-t", self.fs, self.loop, self.mount_point)
        self.mounted = True

    def cut(self):
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, IOC_SHUTDOWN, struct.pack("I", GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(fd)

    def unmount(self):
        for _ in range(50):
            try:
                run("umount", self.mount_point)
                self.mounted = False
                return
            except RuntimeError:
                time.sleep(0.1)
        run("umount", self.mount_point)

    def close(self):
        if self.mounted:
            self.unmount()
        if self.loop:
            run("losetup", "-d", self.loop)


def why_not(fs):
    """The reason why it can't be run here, or None."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("losetup", f"mkfs.{fs}", "mount", "umount"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    directory = tempfile.mkdtemp(prefix="kitten-probe-")
    disk = None
    try:
        disk = Disk(directory, fs)
        disk.cut()
        return None
    except (RuntimeError, OSError) as e:
        return str(e)
    finally:
        if disk:
            disk.close()
        shutil.rmtree(directory, ignore_errors=True)


def one_cut(disk, server, oracle, rng, live_share):
    time.sleep(rng.choice([rng.uniform(0.02, 0.2), rng.uniform(0.2, 1.2)]))
    live = rng.random() < live_share
    if not live:
        server.freeze()
    begin = time.monotonic()
    disk.cut()
    if live:
        time.sleep(rng.uniform(0, 0.3))
    server.kill()
    if live:
        oracle.dying.append((begin, time.monotonic()))
    disk.unmount()
    disk.mount()
    server.start()
    oracle.read_logs()
    oracle.check_sample(rng, newest=150, others=100)


def run_fs(args, fs, directory, logs):
    """(failures, problems) of all cuts on one kind of file system."""
    rng = random.Random(f"{args.seed}/{fs}")
    disk = Disk(directory, fs)
    server = lib.Server(args.kitten, os.path.join(disk.mount_point, "d"), os.path.join(logs, "server.log"), args.bug,
                        options=SMALL)
    load = oracle = None
    problems, cuts, begin = [], 0, time.monotonic()
    try:
        server.start()
        load = lib.Load(args.workers, logs, server, args.seed)
        oracle = lib.Oracle(load.paths, server)
        while cuts < args.cuts and not (args.expect_failure and oracle.failures()):
            one_cut(disk, server, oracle, rng, args.live)
            cuts += 1
        load.stop()
        oracle.read_logs()
        oracle.check_all()
        oracle.check_strangers(rng, 100)
    except lib.ServerDied as e:
        oracle.fail("unavailable", str(e))
    except (RuntimeError, OSError) as e:
        problems.append(str(e))
    finally:
        lib.shut_down(server, load)
        disk.close()
    print(f"# {fs}: seed {args.seed}, {cuts} cuts in {time.monotonic() - begin:.0f} s; "
          f"{oracle.summary() if oracle else 'never ran'}", flush=True)
    for text in (oracle.reports if oracle else []) + problems:
        print(f"# {text}")
    return (oracle.failures() if oracle else 0), problems


def test_fs(args, number, fs):
    what = f"{fs}: planted bug {args.bug} is noticed" if args.expect_failure else f"{fs}: power cuts lose nothing"
    why = why_not(fs)
    if why:
        print(f"{'not ok' if args.require else 'ok'} {number} - {what} # SKIP not run: {why}" if not args.require
              else f"not ok {number} - {what}: not run: {why}")
        return not args.require
    directory = tempfile.mkdtemp(prefix=f"kitten-cut-{fs}-")
    logs = tempfile.mkdtemp(prefix="kitten-cut-log-")
    failures, problems = run_fs(args, fs, directory, logs)
    good = failures > 0 if args.expect_failure else failures == 0 and not problems
    print(f"{'ok' if good else 'not ok'} {number} - {what}", flush=True)
    shutil.rmtree(directory)
    if good or args.expect_failure:
        shutil.rmtree(logs)
    else:
        print(f"# kept: {logs}")
    return good


def main():
    args = arguments()
    kinds = args.fs.split(",")
    print(f"1..{len(kinds)}")
    good = [test_fs(args, i + 1, fs) for i, fs in enumerate(kinds)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
