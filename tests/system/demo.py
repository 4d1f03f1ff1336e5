#!/usr/bin/env python3
"""The main job on real files: store them, read them back, delete half, survive kill -9 in the middle.

usage: tests/system/demo.py [--kitten PATH] [--count N] [--trees icons,linux] [--cache DIR] [--connections N]
                            [--skip-offline]

Fetches Debian's papirus-icon-theme and linux-source-6.1 (once, into --cache; nothing is installed), starts `kitten
mini` on a new directory, and for each tree: stores it as tar batches and again one by one, verifies every byte, kills
the server with SIGKILL in the middle of storing and in the middle of deleting half, restarts it, and verifies that
all that was acknowledged is there and all that was deleted is gone. Prints the rates. --count takes the first N files
of each tree. One TAP line per step.
"""
import argparse
import json
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

TREES = {"icons": ("papirus-icon-theme", "usr/share/icons"),
         "linux": ("linux-source-6.1", "usr/src/linux-source-6.1")}


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--kitten", default=os.path.join(TOP, "build", "kitten"))
    p.add_argument("--count", type=int, default=0)
    p.add_argument("--trees", default="icons,linux")
    p.add_argument("--cache", default=os.path.join(TOP, ".cache", "demo"))
    p.add_argument("--connections", type=int, default=64)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--skip-offline", action="store_true")
    return p.parse_args()


class Offline(Exception):
    pass


def say(text):
    print(f"# {text}", flush=True)


def download(package, directory):
    command = ["apt-get", "download", "-q", package]
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0 and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
    debs = [name for name in os.listdir(directory) if name.startswith(package + "_") and name.endswith(".deb")]
    if done.returncode != 0 or not debs:
        raise Offline(f"can't fetch the Debian package {package}: {' '.join(done.stdout.split())[-300:]}")
    return os.path.join(directory, debs[0])


def fetch(name, cache):
    """The directory of a tree, unpacked there once."""
    package, inside = TREES[name]
    final = os.path.join(cache, name)
    if os.path.isdir(final):
        return os.path.join(final, inside)
    say(f"fetching {package}")
    os.makedirs(cache, exist_ok=True)
    work = tempfile.mkdtemp(prefix=f"{name}-", dir=cache)
    deb = download(package, work)
    root = os.path.join(work, "root")
    subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    os.unlink(deb)
    packed = os.path.join(root, inside + ".tar.xz")
    if os.path.exists(packed):
        say(f"unpacking {package}")
        subprocess.run(["tar", "-xf", packed, "-C", os.path.dirname(packed)], check=True)
        os.unlink(packed)
    os.rename(root, final)
    os.rmdir(work)
    return os.path.join(final, inside)


class Demo:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.rng = random.Random(args.seed)
        self.server = lib.Server(args.kitten, os.path.join(work, "data"), os.path.join(work, "server.log"))
        self.steps = self.failed = 0
        self.rates = []

    def start(self):
        self.server.start()
        access, secret = self.server.auth().split(":")
        self.env = dict(os.environ, KITTEN_ACCESS_KEY=access, KITTEN_SECRET_KEY=secret)
        self.env.pop("KITTEN_BUG", None)
        self.bucket = self.server.bucket()

    def step(self, good, what):
        self.steps += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.steps} - {what}", flush=True)

    def command(self, *words):
        options = ["--endpoint", f"127.0.0.1:{self.server.port}", "--bucket", self.bucket, "--json",
                   "--server-pid", str(self.server.proc.pid)]
        return [self.args.kitten, "bench", *words, *options]

    def bench(self, *words):
        """Runs kitten bench; returns (exit code, its figures)."""
        done = subprocess.run(self.command(*words), env=self.env, stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}

    def bench_with_kill(self, expected_s, *words):
        """The same, with a kill -9 of the server and a restart on its way, which takes about `expected_s`."""
        proc = subprocess.Popen(self.command(*words), env=self.env, stdout=subprocess.PIPE, text=True)
        time.sleep(0.05 + expected_s * self.rng.uniform(0.2, 0.6))
        finished = proc.poll() is not None
        self.server.kill()
        seconds = self.server.start()
        out, _ = proc.communicate()
        say(f"killed {'too late' if finished else 'in the middle'}, answered again after {seconds:.2f} s")
        return json.loads(out) if out.strip() else {}

    def rate(self, what, figures):
        self.rates.append((what, figures.get("ops", 0), figures.get("ops_per_s", 0), figures.get("seconds", 0)))

    def manifest(self, name):
        return os.path.join(self.work, f"{name}.tsv")

    def verify(self, name, what):
        code, figures = self.bench("verify", "--manifest", self.manifest(name), "--concurrency", "16")
        self.step(code == 0 and figures.get("ops", 0) > 0,
                  f"{what}: {figures.get('ops', 0)} files verified, {figures.get('first_failure') or 'all good'}")
        self.rate(what, figures)

    def one_tree(self, name, root):
        files = ["--from", root] + (["--count", str(self.args.count)] if self.args.count else [])
        many = ["--concurrency", str(self.args.connections)]
        tar, single, cut = f"{name}-tar", f"{name}-single", f"{name}-killed"
        code, figures = self.bench("batch", *files, "--concurrency", "4", "--manifest", self.manifest(tar))
        self.step(code == 0, f"{name}: stored as tar batches, {figures.get('ops', 0)} files")
        self.rate(f"{name}: tar batches", figures)
        code, figures = self.bench("put", *files, *many, "--manifest", self.manifest(single))
        again = figures.get("by_op", {}).get("put", {}).get("retries", 0)
        self.step(code == 0, f"{name}: stored one by one, {figures.get('ops', 0)} files, {again} asked to come again")
        self.rate(f"{name}: one by one", figures)
        seconds = figures.get("seconds", 1)
        self.verify(tar, f"{name}: read back (tar)")
        self.verify(single, f"{name}: read back (one by one)")
        self.bench_with_kill(seconds, "put", *files, *many, "--manifest", self.manifest(cut))
        self.verify(cut, f"{name}: acknowledged before and after kill -9")
        self.bench_with_kill(seconds / 3, "delete", "--share", "0.5", *many, "--manifest", self.manifest(single))
        self.bench("delete", "--share", "0.5", *many, "--manifest", self.manifest(single))
        self.verify(single, f"{name}: half deleted, with kill -9 in the middle")
        self.verify(tar, f"{name}: the others untouched")

    def run(self):
        trees = [(name, fetch(name, self.args.cache)) for name in self.args.trees.split(",")]
        self.start()
        for name, root in trees:
            self.one_tree(name, root)
        code = self.server.stop()
        self.step(code == 0, f"SIGTERM ends the server cleanly (exit code {code})")
        self.server.start()
        for name, _ in trees:
            self.verify(f"{name}-single", f"{name}: after a clean restart")
        self.server.stop()
        print(f"1..{self.steps}\n#\n# {'step':<52}{'files':>9}{'per s':>10}{'seconds':>9}")
        for what, ops, per_s, seconds in self.rates:
            print(f"# {what:<52}{ops:>9}{per_s:>10.0f}{seconds:>9.1f}")
        return self.failed


def main():
    args = arguments()
    work = tempfile.mkdtemp(prefix="kitten-demo-")
    demo = Demo(args, work)
    try:
        failed = demo.run()
    except Offline as e:
        shutil.rmtree(work)
        print(f"1..0 # SKIP not run: {e}" if args.skip_offline else f"demo: {e}")
        return 0 if args.skip_offline else 1
    finally:
        if demo.server.proc and demo.server.proc.poll() is None:
            demo.server.kill()
    if failed:
        say(f"kept: {work}")
    else:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
