"""A `kitten mini` of its own for a test, and a small HTTP client to talk to it.

A Mini listens on a free port (it says which in DIR/endpoint) and is ended by its pid. Requests go over a new connection
each, unless a test opens its own."""
import collections
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
KITTEN = os.path.join(BUILD, "kitten")
SANITIZED = any(word in os.path.basename(BUILD) for word in ("asan", "tsan"))

Answer = collections.namedtuple("Answer", "status headers body")


def run(*args, timeout=30, **more):
    """A kitten command to its end; returns the CompletedProcess with texts."""
    return subprocess.run([KITTEN, *args], capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **more)


class Mini:
    def __init__(self, *options, base=None):
        self.base = tempfile.mkdtemp(prefix="kitten-system-", dir=base)
        self.dir = os.path.join(self.base, "data")
        self.options = options
        self.log = os.path.join(self.base, "log")
        self.banner = ""
        self.proc = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def spawn(self, *options, listen="127.0.0.1:0", dirs=None):
        endpoint = os.path.join(self.dir, "endpoint")
        if os.path.exists(endpoint):
            os.unlink(endpoint)
        with open(self.log, "ab") as log, open(os.path.join(self.base, "out"), "wb") as out:
            self.proc = subprocess.Popen([KITTEN, "mini", *(dirs or [self.dir]), "--listen", listen, *self.options,
                                          *options], stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    def start(self, *options, limit_s=20, **more):
        """Seconds until it was ready."""
        begin = time.monotonic()
        self.spawn(*options, **more)
        endpoint = os.path.join(self.dir, "endpoint")
        while time.monotonic() - begin < limit_s:
            if self.proc.poll() is not None:
                raise RuntimeError(f"ended with {self.proc.returncode}: {self.log_text()}")
            if os.path.exists(endpoint) and "Ctrl-C" in self.out():
                with open(endpoint, encoding="ascii") as f:
                    self.address = f.read()
                self.banner = self.out()
                with open(os.path.join(self.dir, "keys.json"), encoding="ascii") as f:
                    first = json.load(f)["keys"][0]
                self.access, self.secret = first["access"], first["secret"]
                self.bearer = f"Bearer {self.access}:{self.secret}"
                return time.monotonic() - begin
            time.sleep(0.005)
        raise RuntimeError("not ready: " + self.log_text())

    def out(self):
        with open(os.path.join(self.base, "out"), encoding="utf-8") as f:
            return f.read()

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
        if self.proc:
            self.proc.wait()

    def stop(self, sig=signal.SIGTERM, limit_s=40):
        """Ends it cleanly; returns its exit code."""
        self.proc.send_signal(sig)
        return self.proc.wait(limit_s)

    def connect(self, timeout=30):
        host, port = self.address.rsplit(":", 1)
        return http.client.HTTPConnection(host, int(port), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, key=True):
        conn = self.connect()
        fields = dict(headers or {})
        if key and "Authorization" not in fields:
            fields["Authorization"] = self.bearer
        try:
            conn.request(method, path, body, fields)
            r = conn.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            conn.close()

    def put(self, data, bucket="photos", **more):
        """Stores data; returns its id."""
        a = self.ask("POST", f"/blob?bucket={bucket}", data, **more)
        assert a.status == 201, a
        return json.loads(a.body)["id"]

    def get(self, blob, **more):
        return self.ask("GET", f"/blob/{blob}", key=False, **more)

    def raw(self, data, timeout=10, shut=False):
        """Sends bytes as they are and returns everything that comes until the server closes or is silent."""
        conn = self.connect(timeout)
        conn.connect()
        conn.sock.sendall(data)
        if shut:
            conn.sock.shutdown(1)
        out = b""
        try:
            while more := conn.sock.recv(65536):
                out += more
        except TimeoutError:
            pass
        conn.close()
        return out

    def status(self):
        return json.loads(self.ask("GET", "/status").body)

    def stored(self):
        return self.status()["needles"]

    def files(self, ending):
        return sorted(os.path.join(self.dir, f) for f in os.listdir(self.dir) if f.endswith(ending))


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024
