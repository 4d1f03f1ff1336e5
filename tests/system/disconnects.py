#!/usr/bin/env python3
"""Clients that leave: a set of requests is cut after each byte, by a plain close and by a reset, with and
without reading answers.

usage: tests/system/disconnects.py BUILD_DIR

Afterwards the server must have given every descriptor, connection and byte of the body budget back, and
still answer. The server is tests/lib/http_echo.
"""
import os
import socket
import struct
import subprocess
import sys
import time

HOST = b" HTTP/1.1\r\nHost: h\r\n"
STREAMS = [
    b"GET /a" + HOST + b"\r\nHEAD /bytes/5000" + HOST + b"\r\n",
    b"PUT /hold" + HOST + b"Content-Length: 20\r\n\r\n01234567890123456789",
    b"PUT /a" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: r\r\n\r\n",
    b"PUT /hold" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /a" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /ignore" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /bytes/3000000" + HOST + b"\r\n",
    b"GET /chunks/3000000" + HOST + b"Connection: close\r\n\r\n",
    b"GET /a" + HOST + b"Content-Length: x\r\n\r\n" + b"y" * 30,
]
results = []


def check(name, good, detail=""):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} - {name}{': ' + detail if detail else ''}", flush=True)


def leave(port, data, reset, read):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if data:
            sock.sendall(data)
        if read:
            sock.settimeout(0.002)
            try:
                sock.recv(1000)
            except (TimeoutError, ConnectionResetError):
                pass


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def main():
    server = subprocess.Popen([os.path.join(sys.argv[1], "tests/lib/http_echo"), "loops=2"], stdout=subprocess.PIPE, text=True)
    left = 0
    try:
        port = int(server.stdout.readline().split()[1])
        before = descriptors(server.pid)
        for stream in STREAMS:
            for cut in range(len(stream) + 1):
                for reset in (False, True):
                    for read in (False, True):
                        leave(port, stream[:cut], reset, read)
                        left += 1
        check("clients left at every byte", left > 2000, str(left))
        end = time.monotonic() + 15
        while descriptors(server.pid) > before and time.monotonic() < end:
            time.sleep(0.05)
        check("every descriptor is given back", descriptors(server.pid) == before,
              f"{descriptors(server.pid)}, {before} at first")
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /a" + HOST + b"\r\n")
            check("the server still answers", sock.recv(1000).startswith(b"HTTP/1.1 200 "))
            time.sleep(0.1)
    finally:
        server.terminate()
        last = server.stdout.read().strip()
        status = server.wait(20)
    check("no connection and no byte is held", last.split()[1] in "01" and last.endswith("budget 0"), last)
    check("exit status 0", status == 0, str(status))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
