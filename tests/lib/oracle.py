"""A server under load, and an oracle outside it that knows what was promised.

Model. Worker processes store, read and delete objects, and append what they intend and what was acknowledged to log
files that live on another file system than the data. Whatever happens to the server, the logs say afterwards what it
owes: an acknowledged object is there with exactly its bytes, an acknowledged delete stays deleted, and nothing exists
that nobody sent. Bytes follow from (worker, number, size), so nothing but the logs is needed to check them.

Log lines, one write each:  P n size (about to store)   A n time id (stored)   D n (about to delete)
                            E n time (deleted)          X text (a worker itself saw something impossible)

When a disk dies under a running server (powercut.py), an answer that left after that instant may come from a kernel
that said "synced" while it was shutting the file system down. No real power cut has such answers, since nothing leaves
a machine without power; they are counted apart, as doubtful.
"""
import glob
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import time

PATTERN = random.Random(20061).randbytes((1 << 20) + 7)
RETRY_S = 0.02
PATIENCE_S = 10  # for 503s in one pass over the objects: a volume that stays away must not take an hour


def content(worker, number, size):
    """The bytes of one object; the label makes each unique, the rest begins at a place of its own."""
    label = b"%d/%d/%d;" % (worker, number, size)
    start = (worker * 7919 + number * 104729) % (len(PATTERN) - size)
    return (label + PATTERN[start:start + size])[:size]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Gone(Exception):
    """The connection failed: the outcome of what was asked is unknown."""


class ServerDied(RuntimeError):
    """The server ended without having been asked to."""


class Client:
    """A keep-alive HTTP/1.1 client that does only what the tests need, quickly."""

    def __init__(self, port, auth, timeout=20):
        self.port, self.auth, self.timeout = port, auth, timeout
        self.sock, self.buf = None, b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.buf = None, b""

    def _more(self):
        data = self.sock.recv(1 << 17)
        if not data:
            raise Gone("closed")
        self.buf += data

    def _exactly(self, n):
        while len(self.buf) < n:
            self._more()
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def _line(self):
        while b"\r\n" not in self.buf:
            self._more()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def _chunked(self):
        out = b""
        while True:
            n = int(self._line().split(b";")[0], 16)
            if n == 0:
                self._line()
                return out
            out += self._exactly(n)
            self._line()

    def request(self, method, path, body=None):
        """(status, body); raises Gone when the connection fails."""
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            if self.auth:
                head += f"authorization: Bearer {self.auth}\r\n"
            if body is not None:
                head += f"content-length: {len(body)}\r\n"
            self.sock.sendall(head.encode() + b"\r\n" + (body or b""))
            while b"\r\n\r\n" not in self.buf:
                self._more()
            head, self.buf = self.buf.split(b"\r\n\r\n", 1)
            status = int(head[9:12])
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            if b"chunked" in fields.get(b"transfer-encoding", b""):
                data = self._chunked()
            else:
                data = self._exactly(int(fields.get(b"content-length", b"0")))
            if b"close" in fields.get(b"connection", b""):
                self.close()
            return status, data
        except (OSError, ValueError, Gone) as e:
            self.close()
            raise Gone(str(e)) from e


class Server:
    """One `kitten mini` on a fixed port; started, killed and started again."""

    def __init__(self, kitten, directory, log_path, bug=None, options=()):
        self.kitten, self.directory, self.log_path, self.options = kitten, directory, log_path, list(options)
        self.port = free_port()
        self.env = dict(os.environ)
        self.env.pop("KITTEN_BUG", None)
        if bug:
            self.env["KITTEN_BUG"] = bug
        self.proc = None

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen([self.kitten, "mini", self.directory, "--listen", f"127.0.0.1:{self.port}",
                                          *self.options],
                                         env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_ready(self, limit_s=30):
        """Seconds until it answered; raises when it did not."""
        start = time.monotonic()
        client = Client(self.port, None, timeout=5)
        while time.monotonic() - start < limit_s:
            if self.proc.poll() is not None:
                raise RuntimeError(f"the server ended with {self.proc.returncode} at its start; see {self.log_path}")
            try:
                status, _ = client.request("GET", "/health/ready")
                if status == 200:
                    client.close()
                    return time.monotonic() - start
            except Gone:
                pass
            time.sleep(0.005)
        raise RuntimeError(f"the server was not ready after {limit_s} s; see {self.log_path}")

    def start(self):
        self.spawn()
        return self.wait_ready()

    def freeze(self):
        """Stops all threads, but those within a system call that can't be interrupted: no answer leaves any more."""
        self.proc.send_signal(signal.SIGSTOP)
        for _ in range(2000):
            states = set()
            for path in glob.glob(f"/proc/{self.proc.pid}/task/*/stat"):
                with open(path, encoding="utf-8", errors="replace") as f:
                    states.add(f.read().rsplit(")", 1)[1].split()[0])
            if states <= {"T", "D"}:
                return
            time.sleep(0.0005)
        raise RuntimeError("the server could not be stopped")

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self, limit_s=30):
        """A clean stop; returns the exit code."""
        self.proc.send_signal(signal.SIGTERM)
        try:
            return self.proc.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def auth(self):
        with open(os.path.join(self.directory, "keys.json"), encoding="utf-8") as f:
            key = json.load(f)["keys"][0]
        return f"{key['access']}:{key['secret']}"

    def bucket(self):
        """The bucket that the server made at its first start, or one made now."""
        client = Client(self.port, self.auth())
        status, _ = client.request("PUT", "/bucket/oracle")
        client.close()
        if status not in (200, 201, 204, 409):
            raise RuntimeError(f"making a bucket was answered {status}")
        return "oracle"


# ---- workers ----

def choose_size(rng):
    kind = rng.random()
    if kind < 0.85:
        return rng.randrange(0, 4000)
    if kind < 0.98:
        return rng.randrange(4000, 70000)
    return rng.randrange(70000, 300000)


class Worker:
    def __init__(self, index, log_path, port, auth, bucket, seed):
        self.index, self.bucket = index, bucket
        self.rng = random.Random(f"{seed}/{index}")
        self.log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.client = Client(port, auth)
        self.next = 0
        self.live = []

    def note(self, text):
        os.write(self.log, text.encode() + b"\n")

    def put(self):
        number, size = self.next, choose_size(self.rng)
        self.next += 1
        self.note(f"P {number} {size}")
        status, body = self.client.request("POST", f"/blob?bucket={self.bucket}", content(self.index, number, size))
        if status != 201:
            time.sleep(RETRY_S)
        else:
            blob = json.loads(body)["id"]
            self.note(f"A {number} {time.monotonic()} {blob}")
            self.live.append((number, blob, size))

    def batch(self):
        entries = [(self.next + i, choose_size(self.rng)) for i in range(self.rng.randrange(2, 40))]
        self.next += len(entries)
        self.note("\n".join(f"P {n} {size}" for n, size in entries))
        tar = b"".join(tar_entry(f"{n}", content(self.index, n, size)) for n, size in entries) + bytes(1024)
        status, body = self.client.request("PUT", f"/batch?bucket={self.bucket}", tar)
        if status not in (200, 201):
            time.sleep(RETRY_S)
            return
        sizes = dict(entries)
        for line in body.splitlines():
            row = json.loads(line)
            if "id" in row:
                number = int(row["name"])
                self.note(f"A {number} {time.monotonic()} {row['id']}")
                self.live.append((number, row["id"], sizes[number]))

    def delete(self):
        number, blob, _ = self.live.pop(self.rng.randrange(len(self.live)))
        self.note(f"D {number}")
        status, _ = self.client.request("DELETE", f"/blob/{blob}")
        if status in (200, 204):
            self.note(f"E {number} {time.monotonic()}")

    def get(self):
        number, blob, size = self.rng.choice(self.live)
        status, body = self.client.request("GET", f"/blob/{blob}")
        if status == 404:
            self.note(f"X lost while running: {number} {blob}")
        elif status == 200 and body != content(self.index, number, size):
            self.note(f"X corrupt while running: {number} {blob}")

    def step(self):
        choice = self.rng.random()
        if not self.live or choice < 0.50:
            self.put()
        elif choice < 0.55:
            self.batch()
        elif choice < 0.75:
            self.delete()
        else:
            self.get()

    def run(self, stop):
        while not stop.is_set():
            try:
                self.step()
            except Gone:
                time.sleep(RETRY_S)
            except (ValueError, KeyError) as e:
                self.note(f"X an answer makes no sense: {e}")


def tar_entry(name, data):
    """One ustar member (POSIX pax, "ustar interchange format")."""
    head = bytearray(512)
    head[0:len(name)] = name.encode()
    head[100:108] = b"0000644\0"
    head[108:124] = b"0000000\0" * 2
    head[124:136] = b"%011o\0" % len(data)
    head[136:148] = b"00000000000\0"
    head[148:156] = b"        "
    head[156:157] = b"0"
    head[257:265] = b"ustar\x0000"
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)


def worker_main(args, stop):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(*args).run(stop)


class Load:
    """The worker processes and their logs."""

    def __init__(self, workers, log_dir, server, seed):
        self.stop_event = multiprocessing.Event()
        self.paths = [os.path.join(log_dir, f"worker-{i}.log") for i in range(workers)]
        for path in self.paths:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        auth, bucket = server.auth(), server.bucket()
        self.procs = [multiprocessing.Process(target=worker_main, daemon=True,
                                              args=((i, path, server.port, auth, bucket, seed), self.stop_event))
                      for i, path in enumerate(self.paths)]
        for p in self.procs:
            p.start()

    def stop(self):
        self.stop_event.set()
        for p in self.procs:
            p.join(60)
            if p.is_alive():
                p.kill()
                p.join()


def shut_down(server, load):
    """Ends whatever of both still runs."""
    if load:
        load.stop_event.set()
    if server.proc and server.proc.poll() is None:
        server.kill()
    if load:
        load.stop()


# ---- the oracle ----

class Object:
    __slots__ = ("worker", "number", "size", "id", "wanted_gone", "gone", "seen_gone", "stored_at", "gone_at")

    def __init__(self, worker, number, size):
        self.worker, self.number, self.size = worker, number, size
        self.id = None
        self.stored_at = self.gone_at = 0.0
        self.wanted_gone = self.gone = self.seen_gone = False


class Oracle:
    """What the logs say, and how the server's answers compare."""

    COUNTERS = ("lost", "resurrected", "corrupt", "phantom", "unavailable")
    MAX_REPORTS = 20

    def __init__(self, paths, server):
        self.server = server
        self.files = [open(path, "rb") for path in paths]
        self.partial = [b""] * len(paths)
        self.objects = [{} for _ in paths]
        self.acked = []
        self.bad = dict.fromkeys(self.COUNTERS, 0)
        self.reports = []
        self.dying = []  # spans of time in which answers are doubtful
        self.doubtful = set()
        self.patience_s = PATIENCE_S

    def fail(self, kind, text):
        self.bad[kind] += 1
        if len(self.reports) < self.MAX_REPORTS:
            self.reports.append(f"{kind}: {text}")

    def broken(self, kind, name, o, when):
        """A promise made at `when` was not kept."""
        if any(start <= when <= end for start, end in self.dying):
            self.doubtful.add((o.worker, o.number))
        else:
            self.fail(kind, name)

    def read_logs(self):
        for worker, file in enumerate(self.files):
            lines = (self.partial[worker] + file.read()).split(b"\n")
            self.partial[worker] = lines.pop()
            for line in lines:
                self.take(worker, line.decode())

    def take(self, worker, line):
        kind, rest = line.split(" ", 1)
        mine = self.objects[worker]
        if kind == "P":
            number, size = map(int, rest.split())
            mine[number] = Object(worker, number, size)
        elif kind == "A":
            number, when, blob = rest.split()
            mine[int(number)].id = blob
            mine[int(number)].stored_at = float(when)
            self.acked.append(mine[int(number)])
        elif kind == "D":
            mine[int(rest)].wanted_gone = True
        elif kind == "E":
            number, when = rest.split()
            mine[int(number)].gone = True
            mine[int(number)].gone_at = float(when)
        elif "corrupt" in rest:
            self.fail("corrupt", rest)
        elif "lost" in rest:
            self.fail("lost", rest)
        else:
            self.fail("unavailable", rest)

    def check(self, client, o):
        status, body = 0, b""
        for _ in range(5):
            try:
                status, body = client.request("GET", f"/blob/{o.id}")
            except Gone:
                if self.server.proc.poll() is not None:
                    raise ServerDied(f"the server ended by itself, with {self.server.proc.returncode}") from None
                time.sleep(0.1)
                continue
            if status != 503 or self.patience_s <= 0:
                break
            time.sleep(0.2)
            self.patience_s -= 0.2
        name = f"{o.worker}/{o.number} {o.id} ({o.size} bytes)"
        if status == 200:
            if o.gone:
                self.broken("resurrected", name, o, o.gone_at)
            elif o.seen_gone:
                self.fail("resurrected", name)
            elif body != content(o.worker, o.number, o.size):
                self.fail("corrupt", name)
        elif status == 404:
            if not o.wanted_gone:
                self.read_logs()  # a worker may have asked for its delete meanwhile
            if not o.wanted_gone:
                self.broken("lost", name, o, o.stored_at)
            o.seen_gone = True
        else:
            self.fail("unavailable", f"{name}: answered {status} {body[:80]!r}")

    def check_sample(self, rng, newest, others):
        """The newest acknowledged objects, and some of all; after read_logs."""
        self.patience_s = PATIENCE_S
        client = Client(self.server.port, self.server.auth())
        chosen = self.acked[-newest:] + [rng.choice(self.acked) for _ in range(others if self.acked else 0)]
        for o in chosen:
            self.check(client, o)
        client.close()
        return len(chosen)

    def _check_part(self, part, parts, pipe):
        self.patience_s = PATIENCE_S
        client = Client(self.server.port, self.server.auth())
        for o in self.acked[part::parts]:
            self.check(client, o)
        pipe.send((self.bad, self.reports, self.doubtful))

    def check_all(self, processes=2):
        jobs = []
        before = dict(self.bad)
        for part in range(processes):
            mine, theirs = multiprocessing.Pipe(False)
            p = multiprocessing.Process(target=self._check_part, args=(part, processes, theirs))
            p.start()
            jobs.append((p, mine))
        for p, pipe in jobs:
            bad, reports, doubtful = pipe.recv()
            p.join()
            for kind in self.COUNTERS:
                self.bad[kind] += bad[kind] - before[kind]
            self.reports += [r for r in reports if r not in self.reports]
            self.doubtful |= doubtful
        return len(self.acked)

    def check_strangers(self, rng, tries):
        """Ids that were never given must not be found, whatever is changed in them."""
        client = Client(self.server.port, self.server.auth())
        given = {o.id for o in self.acked}
        for _ in range(tries if self.acked else 0):
            blob = rng.choice(self.acked).id
            place, cookie = blob.split("-")
            vid, seq = place.split(",")
            other = rng.choice([f"{vid},{seq}-{rng.getrandbits(64):016x}",
                                f"{vid},{int(seq, 16) + rng.randrange(1, 1 << 20):x}-{cookie}",
                                f"{vid},{seq}-{int(cookie, 16) ^ (1 << rng.randrange(64)):016x}"])
            if other in given:
                continue
            status, _ = client.request("GET", f"/blob/{other}")
            if status == 200:
                self.fail("phantom", other)
        client.close()

    def failures(self):
        return sum(self.bad.values())

    def summary(self):
        known = sum(len(m) for m in self.objects)
        gone = sum(o.gone for m in self.objects for o in m.values())
        return (f"{known} objects sent, {len(self.acked)} acknowledged, {gone} deleted: " +
                ", ".join(f"{self.bad[k]} {k}" for k in self.COUNTERS) +
                (f"; {len(self.doubtful)} doubtful" if self.doubtful else ""))
