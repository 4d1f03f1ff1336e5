#!/usr/bin/env python3
"""10,000 idle connections and 1,000 slow uploads: bounded memory, and everybody else is served.

usage: tests/system/idle_conns.py BUILD_DIR

1. 10,000 connections each make a request and stay: the server's RSS may grow by 1 KiB for each.
2. 1,000 uploads announce 1 MiB each and send a byte a second: bodies are charged to a budget of 48 MiB,
   so some get a 503 at once; RSS may grow by 96 KiB for each of the rest.
3. Meanwhile other requests are answered.
4. After 10 s below the least rate the uploads get a 408, and the budget is free again.
5. The idle connections still work, and the server stops with exit status 0 and nothing held.

The server is tests/lib/http_echo; connections come from four loopback addresses.
"""
import os
import resource
import select
import socket
import subprocess
import sys
import time

IDLE, UPLOADS = 10000, 1000
BUDGET = 48 << 20
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
UPLOAD = b"PUT /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n"
results = []


def check(name, good, detail=""):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} - {name}{': ' + detail if detail else ''}", flush=True)


def rss(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def connect(port, i):
    sock = socket.socket()
    sock.settimeout(10)
    sock.bind((f"127.0.0.{2 + i % 4}", 0))
    sock.connect(("127.0.0.1", port))
    return sock


def ask(sock):
    sock.sendall(GET)
    return sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def collect(uploads, deadline):
    """Sends a byte a second on each upload until it is answered; returns status -> how many."""
    poller = select.epoll()
    by_fd = {s.fileno(): s for s in uploads}
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    seen, next_byte = {}, time.monotonic() + 1
    while by_fd and time.monotonic() < deadline:
        for fd, _ in poller.poll(0.2):
            head = by_fd[fd].recv(4096)
            status = head[9:12].decode() or "end"
            seen[status] = seen.get(status, 0) + 1
            poller.unregister(fd)
            by_fd.pop(fd).close()
        if time.monotonic() >= next_byte:
            next_byte += 1
            for s in by_fd.values():
                try:
                    s.send(b"x")
                except OSError:
                    pass  # its answer is on the way
    return seen


def main():
    build = sys.argv[1]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < IDLE + UPLOADS + 100:
        print(f"1..0 # SKIP not run: {hard} descriptors allowed, {IDLE + UPLOADS + 100} needed")
        return 0
    server = subprocess.Popen([os.path.join(build, "tests/lib/http_echo"), "loops=2", f"body_budget={BUDGET}",
                               "idle_timeout_ms=120000"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().split()[1])
        at_first = descriptors(server.pid)
        warm = [connect(port, i) for i in range(64)]
        check("warm-up", all([ask(s) for s in warm]))
        before = rss(server.pid)
        idle = [connect(port, i) for i in range(IDLE)]
        check("10,000 connections were answered once", all([ask(s) for s in idle]))
        grown = rss(server.pid) - before
        check("an idle connection costs at most 1 KiB", grown <= IDLE * 1024, f"{grown // IDLE} B each")

        before = rss(server.pid)
        uploads = [connect(port, i) for i in range(UPLOADS)]
        for s in uploads:
            s.sendall(UPLOAD + b"x" * 100)
        time.sleep(1)
        grown = rss(server.pid) - before
        check("a slow upload costs at most 96 KiB", grown <= UPLOADS * 96 * 1024, f"{grown // UPLOADS // 1024} KiB each")
        start = time.monotonic()
        check("others are answered meanwhile", all([ask(s) for s in idle[:1000]]), f"{time.monotonic() - start:.2f} s for 1,000")
        seen = collect(uploads, time.monotonic() + 40)
        held = BUDGET // 65536
        check("uploads beyond the budget got 503, the slow ones 408",
              seen == {"503": UPLOADS - held, "408": held}, str(seen))
        check("idle connections still work", all([ask(s) for s in idle]))
        check("memory after all is at most 2 KiB a connection and 64 MiB", rss(server.pid) <= IDLE * 2048 + (64 << 20),
              f"{rss(server.pid) >> 20} MiB")
        for s in warm + idle:
            s.close()
        end = time.monotonic() + 10
        while descriptors(server.pid) > at_first and time.monotonic() < end:
            time.sleep(0.05)
        check("every descriptor is given back", descriptors(server.pid) == at_first)
    finally:
        server.terminate()
        last = server.stdout.read()
        status = server.wait(20)
    check("nothing is held at the end", last.startswith("conns 0 ") and last.strip().endswith("budget 0"), last.strip())
    check("exit status 0", status == 0, str(status))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
