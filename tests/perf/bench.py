#!/usr/bin/env python3
"""Measures the figures that kitten promises, each as a ratio to a limit measured in the same run.

usage: tests/perf/bench.py [--row NAME[,NAME...]] [--rounds N] [--seconds S] [--kitten PATH] [--json FILE] [--docs]

Contestants of a row take turns (A B C, C B A, ...), at least five rounds; a ratio is the median of the rounds' ratios,
so that what slows the machine for a while slows all. The server runs on one CPU, the load generator on another.
CPU figures are operations per CPU second of all server processes. --docs writes the table of docs/benchmarks.md; the
JSON file keeps every single measurement. Rows: see ROWS at the end, or --list.
"""
import argparse
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import oracle as lib  # noqa: E402

SERVER_CPU, CLIENT_CPU = "0", str((os.cpu_count() or 1) - 1)


def say(text):
    print(text, file=sys.stderr, flush=True)


def pinned(cpu, *command):
    return ["taskset", "-c", cpu, *command]


class Context:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.rounds, self.seconds = args.rounds, args.seconds
        self.running = []

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def stop_all(self):
        for stop in reversed(self.running):
            stop()
        self.running = []


# ---- servers ----

class Kitten:
    """A pinned `kitten mini`, and kitten bench against it."""

    def __init__(self, ctx, name, kitten=None, bug=None, cpu=SERVER_CPU, extra=()):
        self.ctx = ctx
        self.kitten = kitten or ctx.args.kitten
        self.extra = list(extra)
        self.server = lib.Server(self.kitten, ctx.path(name), ctx.path(f"{name}.log"), bug)
        self.cpu = cpu
        ctx.running.append(self.close)

    def start(self):
        s = self.server
        with open(s.log_path, "ab") as log:
            s.proc = subprocess.Popen(
                pinned(self.cpu, self.kitten, "mini", s.directory, "--listen", f"127.0.0.1:{s.port}", *self.extra),
                env=s.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        seconds = s.wait_ready(120)
        access, secret = s.auth().split(":")
        self.env = dict(os.environ, KITTEN_ACCESS_KEY=access, KITTEN_SECRET_KEY=secret)
        self.bucket = s.bucket()
        return seconds

    def close(self):
        if self.server.proc and self.server.proc.poll() is None:
            self.server.kill()

    def bench(self, *words):
        return bench(self.ctx, self.env, f"127.0.0.1:{self.server.port}", [self.server.proc.pid],
                     "--bucket", self.bucket, *words)

    def manifest(self, name):
        return self.ctx.path(f"{name}.tsv")

    def fill(self, name, count, size):
        """Stores `count` objects as batches and keeps their manifest."""
        self.bench("batch", "--count", str(count), "--size", size, "--concurrency", "4", "--batch-files", "500",
                   "--manifest", self.manifest(name))

    def get(self, name, conns=32, keys="uniform", verify="0"):
        return self.bench("get", "--manifest", self.manifest(name), "--concurrency", str(conns), "--keys", keys,
                          "--verify", verify, *timed(self.ctx))

    def volumes(self):
        return sorted(glob.glob(os.path.join(self.server.directory, "**", "*.vol"), recursive=True))


def timed(ctx):
    return ["--duration", f"{ctx.seconds}s", "--warmup", "300ms"]


def bench(ctx, env, endpoint, pids, *words):
    command = pinned(CLIENT_CPU, ctx.args.kitten, "bench", *words, "--endpoint", endpoint, "--json", "--quiet",
                     "--server-pid", ",".join(map(str, pids)))
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode} {done.stderr[-300:]} {done.stdout[-600:]}")
    return json.loads(done.stdout)


def floor(ctx, size):
    """The raw loop; returns a function that measures it once."""
    proc = subprocess.Popen(pinned(SERVER_CPU, ctx.args.kitten, "bench", "floor", "--size", str(size)),
                            stdout=subprocess.PIPE, text=True)
    ctx.running.append(lambda: (proc.kill(), proc.wait()))
    port = int(proc.stdout.readline().split()[-1])
    return lambda: raw_get(ctx, port, [proc.pid], size, 10000)


def raw_get(ctx, port, pids, size, objects):
    return bench(ctx, os.environ, f"127.0.0.1:{port}", pids, "get", "--target", "raw", "--prefix", "/", "--existing",
                 "--objects", str(objects), "--size", str(size), "--verify", "0", "--concurrency", "32", *timed(ctx))


def nginx(ctx, name, size, objects, sendfile):
    """nginx over a directory of files, with its open_file_cache over all of them."""
    root = ctx.path(f"files-{size}")
    if not os.path.isdir(root):
        os.makedirs(root)
        os.chmod(ctx.work, 0o755)
        for i in range(objects):
            with open(os.path.join(root, f"{i:016x}"), "wb") as f:
                f.write(os.urandom(size))
    port, base = lib.free_port(), ctx.path(name)
    os.makedirs(base)
    conf = os.path.join(base, "nginx.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f"""worker_processes 1; daemon off; pid {base}/pid; error_log {base}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile {sendfile}; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600;
open_file_cache max=20000 inactive=1h; open_file_cache_valid 1h; default_type application/octet-stream;
client_body_temp_path {base}/b; proxy_temp_path {base}/p; fastcgi_temp_path {base}/f; uwsgi_temp_path {base}/u;
scgi_temp_path {base}/s; server {{ listen 127.0.0.1:{port}; root {root}; }} }}
""")
    proc = subprocess.Popen(pinned(SERVER_CPU, "nginx", "-c", conf, "-p", base), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    ctx.running.append(lambda: (proc.terminate(), proc.wait()))
    time.sleep(0.5)
    children = subprocess.run(["ps", "--ppid", str(proc.pid), "-o", "pid="], stdout=subprocess.PIPE, text=True,
                              check=True).stdout.split()
    pids = [proc.pid] + [int(c) for c in children]
    return lambda: raw_get(ctx, port, pids, size, objects)


# ---- measuring ----

def take_turns(ctx, contestants, warm=True):
    """{name: [figures per round]}; the order is reversed every other round."""
    out = {name: [] for name, _ in contestants}
    for _, measure in contestants if warm else ():
        measure()
    for i in range(ctx.rounds):
        for name, measure in contestants if i % 2 == 0 else reversed(contestants):
            out[name].append(measure())
    return out


def cpu(figures):
    return figures["ops_per_server_cpu_s"]


def wall(figures):
    return figures["ops_per_s"]


def ratio(runs, a, b, metric):
    return statistics.median(metric(x) / metric(y) for x, y in zip(runs[a], runs[b]))


def middle(runs, name, metric):
    return statistics.median(metric(x) for x in runs[name])


def result(goal, value, ok, detail, runs=None):
    return {"goal": goal, "value": value, "ok": ok, "detail": detail, "runs": runs}


# ---- rows ----

def row_get1k(ctx):
    k = Kitten(ctx, "k1")
    k.start()
    k.fill("k1", ctx.args.objects, "1KiB")
    runs = take_turns(ctx, [("kitten", lambda: k.get("k1")), ("floor", floor(ctx, 1024)),
                            ("nginx-sendfile", nginx(ctx, "n1", 1024, 10000, "on")),
                            ("nginx-read", nginx(ctx, "n2", 1024, 10000, "off"))])
    best = max(("nginx-sendfile", "nginx-read"), key=lambda n: middle(runs, n, cpu))
    of_floor, of_nginx = ratio(runs, "kitten", "floor", cpu), ratio(runs, "kitten", best, cpu)
    return result("0.58x floor, 1.25x nginx (CPU)", f"{of_floor:.2f}x floor, {of_nginx:.2f}x {best}",
                  of_floor >= 0.58 and of_nginx >= 1.25,
                  f"{middle(runs, 'kitten', cpu):.0f} GET per server CPU s, {middle(runs, 'kitten', wall):.0f}/s", runs)


def row_get100k(ctx):
    k = Kitten(ctx, "k100")
    k.start()
    k.fill("k100", 10000, "100KiB")
    runs = take_turns(ctx, [("kitten", lambda: k.get("k100")),
                            ("nginx-sendfile", nginx(ctx, "n100", 102400, 10000, "on"))])
    of_nginx = ratio(runs, "kitten", "nginx-sendfile", cpu)
    return result("0.5x nginx sendfile (CPU)", f"{of_nginx:.2f}x", of_nginx >= 0.5,
                  f"{middle(runs, 'kitten', cpu):.0f} GET per server CPU s", runs)


def block_reads(path):
    device = os.stat(path).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="ascii") as f:
        return int(f.read().split()[0])


def drop_pages(paths):
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def cold_get(ctx, k, name, depth):
    drop_pages(k.volumes())
    before = block_reads(k.server.directory)
    figures = k.bench("get", "--manifest", k.manifest(name), "--concurrency", str(depth), "--verify", "0",
                      "--count", "3000" if depth > 1 else "1500")
    figures["reads_per_get"] = (block_reads(k.server.directory) - before) / figures["ops"]
    return figures


def fio(k, size, depth, seconds):
    volume = max(k.volumes(), key=os.path.getsize)
    drop_pages([volume])
    done = subprocess.run(
        ["fio", "--name=r", f"--filename={volume}", "--readonly", "--rw=randread", f"--bs={size}", "--direct=1",
         "--ioengine=libaio", f"--iodepth={depth}", f"--runtime={seconds}", "--time_based", "--output-format=json"],
        stdout=subprocess.PIPE, text=True, check=True)
    return {"ops_per_s": json.loads(done.stdout)["jobs"][0]["read"]["iops"]}


def row_cold(ctx):
    values, ok, all_runs = [], True, {}
    for size, count in (("4k", 100000), ("64k", 20000)):
        k = Kitten(ctx, f"cold{size}", cpu=f"{SERVER_CPU}-{CLIENT_CPU}")
        k.start()
        k.fill(f"cold{size}", count, f"{size[:-1]}KiB")
        for depth in (1, 8):
            runs = take_turns(ctx, [("kitten", lambda k=k, d=depth: cold_get(ctx, k, f"cold{size}", d)),
                                    ("fio", lambda k=k, d=depth: fio(k, size, d, 1))], warm=False)
            rate = ratio(runs, "kitten", "fio", wall)
            reads = middle(runs, "kitten", lambda f: f["reads_per_get"])
            values.append(f"{size} QD{depth}: {reads:.3f} reads per GET, {rate:.2f}x fio")
            ok = ok and reads <= 1.01 and rate >= 0.9
            all_runs[f"{size}-{depth}"] = runs
        k.close()
    return result("<= 1.01 block reads per GET, 0.9x fio", "; ".join(values), ok, "page cache dropped before each run",
                  all_runs)


def metrics(k):
    client = lib.Client(k.server.port, k.server.auth())
    _, body = client.request("GET", "/metrics")
    client.close()
    out = {}
    for line in body.decode().splitlines():
        if line and line[0] != "#":
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


def group_size(before, after):
    def delta(word):
        return sum(after[k] - before.get(k, 0) for k in after if word in k)
    groups = delta("store_groups_total")
    return delta("store_group_needles_total") / groups if groups else 0


def durable_put(ctx, k):
    before = metrics(k)
    figures = k.bench("put", "--size", "1KiB", "--concurrency", "128", *timed(ctx))
    figures["group"] = group_size(before, metrics(k))
    return figures


def row_put1k(ctx):
    both = f"{SERVER_CPU}-{CLIENT_CPU}"
    durable = Kitten(ctx, "durable", ctx.args.faults, cpu=both)
    fast = Kitten(ctx, "unsynced", ctx.args.faults, bug="skip_fsync", cpu=both)
    durable.start()
    fast.start()
    runs = take_turns(ctx, [("durable", lambda: durable_put(ctx, durable)), ("sync-off", lambda: durable_put(ctx, fast))])
    value = ratio(runs, "durable", "sync-off", wall)
    return result("0.6x of sync-off (wall)", f"{value:.2f}x", value >= 0.6,
                  f"{middle(runs, 'durable', wall):.0f} PUT/s, mean group {middle(runs, 'durable', lambda f: f['group']):.0f}",
                  runs)


def row_batch(ctx):
    k = Kitten(ctx, "batch", cpu=f"{SERVER_CPU}-{CLIENT_CPU}")
    k.start()
    runs = take_turns(ctx, [
        ("tar", lambda: k.bench("batch", "--size", "1KiB", "--concurrency", "4", "--batch-files", "500", *timed(ctx))),
        ("single", lambda: k.bench("put", "--size", "1KiB", "--concurrency", "64", *timed(ctx)))])
    value = ratio(runs, "tar", "single", wall)
    return result(">= 3x one by one (wall)", f"{value:.1f}x", value >= 3,
                  f"{middle(runs, 'tar', wall):.0f} files/s as tar, {middle(runs, 'single', wall):.0f}/s one by one", runs)


def row_ram(ctx):
    tool = os.path.join(os.path.dirname(ctx.args.kitten), "tests", "perf", "index_ram")
    done = subprocess.run([tool], stdout=subprocess.PIPE, text=True, check=True)
    figures = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines() if "bytes RSS" in line}
    return result("<= 8.3 B open, <= 2.4 B sealed", f"{figures['open']:.2f} B open, {figures['sealed']:.2f} B sealed",
                  figures["open"] <= 8.3 and figures["sealed"] <= 2.4, "RSS delta over 20 M needles", done.stdout)


def first_get(k, blob, size):
    """Seconds from the process's start to the first correct GET."""
    s = k.server
    begin = time.monotonic()
    with open(s.log_path, "ab") as log:
        s.proc = subprocess.Popen([k.kitten, "mini", s.directory, "--listen", f"127.0.0.1:{s.port}"], env=s.env,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    while time.monotonic() - begin < 60:
        client = lib.Client(s.port, s.auth(), timeout=5)
        try:
            status, body = client.request("GET", f"/blob/{blob}")
            if status == 200 and len(body) == size:
                return time.monotonic() - begin
        except lib.Gone:
            pass
        finally:
            client.close()
        time.sleep(0.002)
    raise RuntimeError("no correct GET within 60 s of the restart")


def row_restart(ctx):
    k = Kitten(ctx, "restart", cpu=f"{SERVER_CPU}-{CLIENT_CPU}")
    k.start()
    begin = time.monotonic()
    k.bench("batch", "--count", str(ctx.args.needles), "--size", "64", "--concurrency", "8", "--batch-files", "2000")
    say(f"  stored {ctx.args.needles} needles in {time.monotonic() - begin:.0f} s")
    k.bench("put", "--count", "1", "--concurrency", "1", "--manifest", k.manifest("one"), "--size", "1KiB", "--seed", "9")
    with open(k.manifest("one"), encoding="utf-8") as f:
        blob = f.read().splitlines()[1].split("\t")[1]
    times = []
    for _ in range(ctx.rounds):
        k.server.kill()
        times.append(first_get(k, blob, 1024))
        time.sleep(0.2)
    value = statistics.median(times)
    return result("<= 1 s", f"{value:.2f} s", value <= 1, f"{ctx.args.needles} needles, kill -9, {ctx.rounds} times",
                  times)


def row_disk(ctx):
    k = Kitten(ctx, "disk")
    k.start()
    count = 100000
    before = {v: os.path.getsize(v) for v in k.volumes()}
    k.bench("put", "--count", str(count), "--size", "1KiB", "--concurrency", "64")
    k.server.stop()
    grown = sum(os.path.getsize(v) - before.get(v, 0) for v in k.volumes())
    index = sum(os.path.getsize(p) for p in glob.glob(os.path.join(k.server.directory, "**", "*.idx"), recursive=True))
    value = round(grown / count - 1024, 1)
    return result("<= 64 B over its data", f"{value} B", value <= 64,
                  f"log bytes of {count} blobs of 1 KiB; the index file, a cache of the log, takes "
                  f"{index / count:.1f} B more", {"grown": grown, "idx": index})


def row_idle(ctx):
    starts, sizes = [], []
    for i in range(ctx.rounds):
        k = Kitten(ctx, f"idle{i}", cpu=f"{SERVER_CPU}-{CLIENT_CPU}")
        k.start()
        k.server.stop()
        starts.append(k.start())
        time.sleep(0.5)
        with open(f"/proc/{k.server.proc.pid}/status", encoding="ascii") as f:
            sizes.append(next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS")))
        k.close()
    rss, start = statistics.median(sizes), statistics.median(starts)
    return result("<= 30 MB RSS, start <= 0.5 s", f"{rss:.1f} MB, {start:.2f} s", rss <= 30 and start <= 0.5,
                  "second start of a directory", {"starts": starts, "rss_mb": sizes})


def copy_seconds(source, target):
    """What cp (and a flush) takes for the same bytes, from a cold source."""
    drop_pages([source])
    begin = time.monotonic()
    subprocess.run(["cp", source, target], check=True)
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    seconds = time.monotonic() - begin
    os.unlink(target)
    return seconds


def wait_for(what, condition, limit_s=120):
    """The instant when `condition` first held."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return time.monotonic()
        time.sleep(0.002)
    raise RuntimeError(f"{what} did not come within {limit_s} s")


def row_compact(ctx):
    """One sealed volume, half of it dead, is compacted while a fixed rate of GETs reads another one."""
    k = Kitten(ctx, "compact", cpu=f"{SERVER_CPU}-{CLIENT_CPU}",
               extra=["--volume-limit", "256MiB", "--compact-rate", "1TiB", "--undelete-window", "1s"])
    k.start()
    k.bench("batch", "--count", "26000", "--size", "10KiB", "--concurrency", "4", "--manifest", k.manifest("old"))
    k.fill("new", 2000, "10KiB")
    old = min(k.volumes(), key=os.path.getmtime)
    size = os.path.getsize(old)
    gets = ["get", "--manifest", k.manifest("new"), "--rate", "500", "--concurrency", "16", "--verify", "0"]
    idle = k.bench(*gets, "--duration", "3s")
    copies = [copy_seconds(old, ctx.path("copy")) for _ in range(3)]
    k.bench("delete", "--manifest", k.manifest("old"), "--share", "0.5", "--concurrency", "64")
    k.server.stop()
    time.sleep(63)  # the undelete window and the grace of compaction; it must not begin before it is watched
    drop_pages([old])
    job = old[:-len(".vol")] + ".job"
    k.start()
    begin = wait_for("compaction", lambda: os.path.exists(job), 20)
    load = subprocess.Popen(pinned(CLIENT_CPU, k.kitten, "bench", *gets, "--duration", "1s", "--json", "--quiet",
                                   "--endpoint", f"127.0.0.1:{k.server.port}", "--bucket", k.bucket),
                            env=k.env, stdout=subprocess.PIPE, text=True)
    seconds = wait_for("the end of compaction", lambda: not os.path.exists(job)) - begin
    busy = json.loads(load.communicate()[0])
    read_and_written = size + os.path.getsize(old)
    rate = read_and_written / seconds / (2 * size / statistics.median(copies))
    p99 = [f["by_op"]["get"]["latency_us"]["p99"] for f in (idle, busy)]
    return result(">= 0.6x cp; GET p99 <= 2x idle", f"{rate:.2f}x cp, p99 {p99[1] / p99[0]:.1f}x idle",
                  rate >= 0.6 and p99[1] <= 2 * p99[0],
                  f"{size >> 20} MiB to {os.path.getsize(old) >> 20} MiB in {seconds:.2f} s, bytes read and written; "
                  f"p99 {p99[0]:.0f} us idle, {p99[1]:.0f} us during it",
                  {"seconds": seconds, "copies": copies, "idle": idle, "busy": busy})


ROWS = {
    "get1k": ("blob GET 1 KiB hot, random", row_get1k),
    "get100k": ("blob GET 100 KiB hot, verified", row_get100k),
    "cold": ("cold GET, 4 and 64 KiB, queue depth 1 and 8", row_cold),
    "put1k": ("durable PUT 1 KiB, 128 connections", row_put1k),
    "batch": ("tar batch of 1 KiB files, durable", row_batch),
    "ram": ("RAM of the index", row_ram),
    "restart": ("restart after kill -9, first correct GET", row_restart),
    "disk": ("on-disk cost of a 1 KiB blob", row_disk),
    "compact": ("compaction of a half dead volume", row_compact),
    "idle": ("idle kitten mini", row_idle),
}


# ---- output ----

def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the start"


BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def write_docs(rows, where):
    path = os.path.join(TOP, "docs", "benchmarks.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    old = {}
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    for line in table.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 5 and cells[4].startswith("`make"):
            old[cells[4]] = line
    for name, (what, r) in rows.items():
        mark = "" if r["ok"] else " **(missed)**"
        command = f"`make bench ROW={name}`"
        old[command] = f"| {what} | {r['goal']} | {r['value']}{mark} | {r['detail']} | {command} |"
    ordered = [old[c] for c in (f"`make bench ROW={n}`" for n in ROWS) if c in old]
    lines = ["", "", f"Last run on {where}.", "", "| what | at least | measured | detail | command |", "|---|---|---|---|---|",
             *ordered, "", ""]
    with open(path, "w", encoding="utf-8") as f:
        f.write(head + BEGIN + "\n".join(lines) + END + tail)


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--row", default=",".join(ROWS))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--objects", type=int, default=1000000, help="needles of get1k")
    p.add_argument("--needles", type=int, default=10000000, help="needles of restart")
    p.add_argument("--kitten", default=os.path.join(TOP, "build", "kitten"))
    p.add_argument("--faults", default=os.path.join(TOP, "build-test", "kitten"), help="a -Dfaults=true build, for put1k")
    p.add_argument("--json", default=os.path.join(TOP, "build", "bench.json"))
    p.add_argument("--dir", help="where data goes")
    p.add_argument("--docs", action="store_true")
    p.add_argument("--list", action="store_true")
    return p.parse_args()


def main():
    args = arguments()
    if args.list:
        for name, (what, _) in ROWS.items():
            print(f"{name:<10} {what}")
        return 0
    where, done, failed = machine(), {}, []
    say(where)
    for name in args.row.split(","):
        if name not in ROWS:
            sys.exit(f"bench: no row is called '{name}'; there are: {' '.join(ROWS)}")
        what, fn = ROWS[name]
        work = tempfile.mkdtemp(prefix="kitten-bench-", dir=args.dir)
        ctx = Context(args, work)
        begin = time.monotonic()
        try:
            done[name] = (what, fn(ctx))
            r = done[name][1]
            say(f"{name:<10} {'ok  ' if r['ok'] else 'MISS'} {r['value']}  (goal {r['goal']}; {r['detail']}) "
                f"{time.monotonic() - begin:.0f} s")
        except (RuntimeError, OSError, subprocess.SubprocessError, KeyError, ValueError) as e:
            failed.append(name)
            say(f"{name:<10} FAILED {e}")
        finally:
            ctx.stop_all()
            shutil.rmtree(work, ignore_errors=True)
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump({"machine": where, "rows": {n: r for n, (_, r) in done.items()}, "failed": failed}, f, indent=1)
    if args.docs:
        write_docs(done, where)
    print(f"{sum(r['ok'] for _, r in done.values())} goals met, "
          f"{sum(not r['ok'] for _, r in done.values())} missed, {len(failed)} rows failed to run")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
