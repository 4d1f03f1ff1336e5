#!/usr/bin/env python3
"""The load generator itself: does it measure and count what it says? Against its own floor server and a liar.

usage: tests/system/bench_test.py [--kitten PATH]        (default: $BUILD/kitten, else build/kitten)
"""
import csv
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KITTEN = os.path.join(os.environ.get("BUILD") or os.path.join(TOP, "build"), "kitten")


class Floor:
    def __init__(self, size):
        self.proc = subprocess.Popen([KITTEN, "bench", "floor", "--size", str(size)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.proc.stdout.readline().split()[-1])

    def close(self):
        self.proc.kill()
        self.proc.wait()


def bench(*words, port):
    done = subprocess.run([KITTEN, "bench", *words, "--endpoint", f"127.0.0.1:{port}", "--json", "--quiet"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


RAW = ["--target", "raw", "--prefix", "/", "--existing", "--objects", "1"]


def counts_what_was_asked():
    floor = Floor(1024)
    code, r, _ = bench("get", *RAW, "--count", "1000", "--verify", "0", "--server-pid", str(floor.proc.pid),
                       port=floor.port)
    floor.close()
    get = r["by_op"]["get"]
    assert code == 0 and r["clean"] and get["ops"] == 1000 and get["bytes"] == 1000 * 1024, r
    assert get["latency_us"]["min"] <= get["latency_us"]["p50"] <= get["latency_us"]["max"], r
    assert r["connects"] == 16 and "server_cpu_s" in r, r


def right_bytes_verify_and_wrong_ones_dont():
    floor = Floor(5000)  # the floor serves the bytes of object 0 of seed 1
    code, r, _ = bench("get", *RAW, "--size", "5000", "--count", "100", "--verify", "1", port=floor.port)
    assert code == 0 and r["by_op"]["get"]["verified"] == 100, r
    code, r, _ = bench("get", *RAW, "--size", "5000", "--count", "100", "--verify", "1", "--seed", "2", port=floor.port)
    assert code == 7 and r["by_op"]["get"]["corrupt"] == 100, r
    code, r, _ = bench("get", *RAW, "--size", "4999", "--count", "100", "--verify", "0", port=floor.port)
    assert code == 7 and r["by_op"]["get"]["corrupt"] == 100 and "wrong length" in r["first_failure"], r
    floor.close()


def a_stall_can_not_hide_in_an_open_loop():
    """A server that stops for 0.6 s makes every request due meanwhile late, not only the one in flight."""
    def run(*rate):
        floor = Floor(100)
        timer = threading.Timer(0.7, lambda: floor.proc.send_signal(signal.SIGSTOP))
        again = threading.Timer(1.3, lambda: floor.proc.send_signal(signal.SIGCONT))
        timer.start()
        again.start()
        _, r, _ = bench("get", *RAW, "--size", "100", "--verify", "0", "--concurrency", "2", "--duration", "2s", *rate,
                        port=floor.port)
        floor.close()
        return r["by_op"]["get"]
    get = run("--rate", "1000")
    assert get["latency_us"]["max"] > 500000, get
    assert get["latency_us"]["p90"] > 200000, get  # 600 of 2000 requests were due in the stall
    assert run()["latency_us"]["p90"] < 200000     # the closed loop sees two slow requests only


def a_rate_is_kept():
    floor = Floor(100)
    _, r, _ = bench("get", *RAW, "--size", "100", "--verify", "0", "--rate", "500", "--duration", "2s", port=floor.port)
    floor.close()
    assert 980 <= r["ops"] <= 1000, r


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replies = iter(())

    def do_GET(self):
        status, body, close = next(self.replies)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = close

    def log_message(self, *args):
        pass


def failures_are_counted_by_kind():
    ok = bytes(10)
    Liar.replies = iter([(200, ok, False), (404, b"x" * 200000, False), (503, b"", True), (500, b"", False),
                         (200, ok[:9], False), (200, ok, True), (200, ok, False)])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code, r, _ = bench("get", *RAW, "--size", "10", "--verify", "0", "--count", "7", "--concurrency", "1",
                       port=server.server_port)
    server.shutdown()
    get = r["by_op"]["get"]
    assert code == 7 and not r["clean"], r
    assert (get["ops"], get["lost"], get["busy"], get["errors"], get["corrupt"]) == (3, 1, 1, 1, 1), get
    assert r["connects"] == 3, r


def nobody_there_is_unavailable():
    floor = Floor(10)
    floor.close()
    start = time.monotonic()
    code, _, err = bench("get", *RAW, "--count", "5", "--concurrency", "1", port=floor.port)
    assert code == 6 and err.startswith("kitten bench: ") and time.monotonic() - start < 10, (code, err)


def mistakes_are_explained():
    for words, code, text in ((["gte"], 2, "none of"), (["get", "--rte", "5"], 2, "did you mean '--rate'"),
                              (["list"], 2, "has no list"), (["get", "--size", "9GiB"], 2, "limit of 32MiB"),
                              (["mixed", "--mix", "put"], 2, "not like"), (["verify"], 2, "--manifest"),
                              (["verify", "--manifest", "/nonexistent"], 4, "/nonexistent"),
                              (["get", "--concurrency", "0"], 2, "--concurrency")):
        got, _, err = bench(*words, port=1)
        assert got == code and text in err, (words, got, err)


def csv_has_one_heading():
    floor = Floor(100)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "out.csv")
        for _ in range(2):
            bench("get", *RAW, "--size", "100", "--verify", "0", "--count", "10", "--csv", path, port=floor.port)
        with open(path, encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
    floor.close()
    assert [r["ops"] for r in rows] == ["10", "10"] and rows[0]["op"] == "get", rows


TESTS = [counts_what_was_asked, right_bytes_verify_and_wrong_ones_dont, a_stall_can_not_hide_in_an_open_loop,
         a_rate_is_kept, failures_are_counted_by_kind, nobody_there_is_unavailable, mistakes_are_explained,
         csv_has_one_heading]


def main():
    global KITTEN
    if "--kitten" in sys.argv:
        KITTEN = sys.argv[sys.argv.index("--kitten") + 1]
    failed = 0
    print(f"1..{len(TESTS)}")
    for i, test in enumerate(TESTS):
        try:
            test()
            print(f"ok {i + 1} - {test.__name__}", flush=True)
        except (AssertionError, KeyError, OSError, ValueError, subprocess.SubprocessError) as e:
            failed += 1
            print(f"not ok {i + 1} - {test.__name__}\n# {e!r}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
