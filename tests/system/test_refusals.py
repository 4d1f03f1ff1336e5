"""Bad input: the right 4xx, the connection never confused, nothing stored."""
import json
import os
import resource
import socket
import time

import pytest
from kitten import Mini, rss_bytes

GOOD_ID = "1,2-0123456789abcdef"


@pytest.mark.parametrize("request_line, status", [
    ("GET / HTTP/1.1", 404), ("GET /nothing HTTP/1.1", 404), ("GET /blob/ HTTP/1.1", 404),
    ("GET /blob/zz HTTP/1.1", 400), ("GET /blob/1,2-0123 HTTP/1.1", 400), ("GET /blob/1,2-0123456789ABCDEF HTTP/1.1", 400),
    ("GET /blob/01,2-0123456789abcdef HTTP/1.1", 400), ("GET /blob/1,2-0123456789abcdef0 HTTP/1.1", 400),
    ("GET /blob/100000000,2-0123456789abcdef HTTP/1.1", 400), (f"GET /blob/{GOOD_ID}?x=1 HTTP/1.1", 400),
    ("GET /blob/..%2f..%2fetc%2fpasswd HTTP/1.1", 400), ("GET /blob/%00 HTTP/1.1", 400),
    ("GET /../etc/passwd HTTP/1.1", 404), ("GET //etc/passwd HTTP/1.1", 404),
    ("PATCH /blob HTTP/1.1", 405), ("TRACE / HTTP/1.1", 405), ("get / HTTP/1.1", 405),
    ("GET / HTTP/2.0", 505), ("GET /", 400), ("GET  / HTTP/1.1", 400), ("GET /a b HTTP/1.1", 400),
    (f"GET /{'a' * 20000} HTTP/1.1", 414),
])
def test_request_lines(mini, request_line, status):
    a = mini.raw(f"{request_line}\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    got = int(a[9:12]) if a.startswith(b"HTTP/1.1 ") else a
    assert got == status or (status in (405, 505) and got in (400, 405, 501, 505)), a[:200]


@pytest.mark.parametrize("fields", [
    "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: -1\r\n", "Content-Length: 1e3\r\n", "Content-Length: +5\r\n",
    "Content-Length: 18446744073709551616\r\n", "Bad Name: x\r\n", "X: a\rb\r\n", "X: a\x00b\r\n", " X: folded\r\n",
    "Host: two\r\n"])
def test_ambiguous_heads(mini, fields):
    """The answer is an error, it closes, and what follows is not taken for a request."""
    stored = mini.stored()
    a = mini.raw((f"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {mini.bearer}\r\n{fields}\r\n"
                  "hello" f"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n").encode("latin-1"))
    assert a.startswith(b"HTTP/1.1 4") or a.startswith(b"HTTP/1.1 501"), a[:200]
    assert a.count(b"HTTP/1.1 ") == 1 and b"connection: close" in a.lower()
    assert mini.stored() == stored


def test_head_too_large_and_too_many(mini):
    a = mini.raw(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"a" * 70000 + b"\r\n\r\n")
    assert a.startswith(b"HTTP/1.1 431")
    a = mini.raw(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 200 + b"\r\n")
    assert a.startswith(b"HTTP/1.1 431")


def test_body_that_breaks_off_is_not_stored(mini):
    stored = mini.stored()
    head = f"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {mini.bearer}\r\n"
    mini.raw((head + "Content-Length: 100\r\n\r\nonly this").encode(), shut=True)
    mini.raw((head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel").encode(), shut=True)
    mini.raw((head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello").encode(), shut=True)
    assert mini.stored() == stored


def test_too_large_is_refused_before_the_body(mini):
    a = mini.raw((f"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {mini.bearer}\r\n"
                  "Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n").encode())
    assert a.startswith(b"HTTP/1.1 413") and b"100 Continue" not in a
    a = mini.raw(b"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
    assert a.startswith(b"HTTP/1.1 401") and b"100 Continue" not in a


@pytest.mark.parametrize("query", ["", "?bucket=", "?bucket=a&bucket=b", "?bucket=photos&ttl=", "?bucket=photos&ttl=x",
                                   "?bucket=photos&ttl=0", "?bucket=photos&ttl=99999999999999999999999", "?bukket=photos",
                                   "?bucket=photos&%zz=1", "?bucket=%zz", "?bucket=" + "a" * 1000])
def test_queries(mini, query):
    stored = mini.stored()
    assert mini.ask("POST", "/blob" + query, b"x").status == 400
    assert mini.ask("PUT", "/batch" + query, b"x").status == 400
    assert mini.stored() == stored


def test_digests(mini):
    stored = mini.stored()
    for name, value in (("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Content-MD5", "x"), ("x-kitten-crc32c", "00000000"),
                        ("x-kitten-crc32c", "xyz"), ("Content-Encoding", "gzip"), ("Content-Range", "bytes 0-1/2")):
        a = mini.ask("POST", "/blob?bucket=photos", b"x", {name: value})
        assert a.status == 400, (name, a)
    assert mini.stored() == stored
    assert mini.ask("POST", "/blob?bucket=photos", b"123456789", {"x-kitten-crc32c": "e3069283"}).status == 201


def test_same_404_for_all_that_is_not_there(mini):
    blob = mini.put(b"here")
    place, cookie = blob.rsplit("-", 1)
    gone = mini.put(b"gone")
    mini.ask("DELETE", "/blob/" + gone)
    wrong = [f"{place}-{int(cookie, 16) ^ 1:016x}", f"{place.split(',')[0]},ffff-{cookie}", f"1,0-{cookie}", gone]

    def plain(answer):
        body = json.loads(answer.body)
        request_id = body["error"].pop("request_id")
        assert answer.headers["x-request-id"] == request_id and len(answer.body) == len(first.body)
        return answer.status, body, sorted((k, v) for k, v in answer.headers.items()
                                           if k not in ("x-request-id", "date"))
    first = mini.get(wrong[0])
    assert first.status == 404
    assert all(plain(mini.get(w)) == plain(first) for w in wrong)


def test_no_markup_comes_back(mini):
    for path in ("/%3Cscript%3E", "/blob/%3Cscript%3E", "/bucket/%3Cscript%3E", "/blob?bucket=%3Cscript%3E"):
        for method in ("GET", "POST", "PUT"):
            a = mini.ask(method, path, b"x" if method != "GET" else None)
            assert b"<script" not in a.body and a.headers["x-content-type-options"] == "nosniff"
            assert a.headers["content-type"] == "application/json"


def test_split_bytes_give_the_same_answer(mini):
    blob = mini.put(b"slowly")
    whole = f"GET /blob/{blob} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    conn = mini.connect()
    conn.connect()
    conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(whole)):
        conn.sock.sendall(whole[i:i + 1])
    out = b""
    while more := conn.sock.recv(65536):
        out += more
    assert out.endswith(b"slowly")


def test_pipelined_requests_are_answered_in_order(mini):
    blobs = [mini.put(f"p{i}".encode()) for i in range(10)]
    text = "".join(f"GET /blob/{b} HTTP/1.1\r\nHost: h\r\n\r\n" for b in blobs[:-1])
    text += f"GET /blob/{blobs[-1]} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    out = mini.raw(text.encode())
    assert out.count(b"HTTP/1.1 200") == 10
    at = [out.index(f"\r\n\r\np{i}".encode()) for i in range(10)]
    assert at == sorted(at)


def test_clients_that_vanish_leave_nothing_open(fresh):
    fresh.put(b"warm")
    fds = f"/proc/{fresh.proc.pid}/fd"
    before = len(os.listdir(fds))
    head = f"PUT /batch?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {fresh.bearer}\r\nContent-Length: 100000\r\n\r\n"
    for cut in range(0, len(head), 7):
        conn = fresh.connect()
        conn.connect()
        conn.sock.sendall(head[:cut].encode())
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.close()
    for _ in range(50):
        if len(os.listdir(fds)) <= before + 1:
            break
        time.sleep(0.1)
    assert len(os.listdir(fds)) <= before + 1


def test_slow_uploads_hold_bounded_memory():
    """1,000 uploads that send a quarter megabyte each and then wait: together they hold the budget and no more; reads go
    on, further uploads are told to come back, and all is as before when they have gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    conns = []
    with Mini("--http-body-budget", "64MiB") as m:
        blob = m.put(b"read me")
        before = rss_bytes(m.proc.pid)
        head = (f"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {m.bearer}\r\n"
                f"Content-Length: {1 << 20}\r\n\r\n").encode()
        try:
            for _ in range(1000):
                conn = m.connect(timeout=1)
                conn.connect()
                conn.sock.setblocking(False)
                conns.append(conn)
                try:
                    conn.sock.send(head + bytes(256 << 10))
                except BlockingIOError:
                    pass
            time.sleep(1)
            grown = rss_bytes(m.proc.pid) - before
            assert grown < (64 << 20) + 1000 * (64 << 10), grown
            assert m.get(blob).body == b"read me"
            a = m.ask("POST", "/blob?bucket=photos", bytes(100000))
            assert a.status in (201, 503), a
        finally:
            for conn in conns:
                conn.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(50):
            if m.status()["server"]["body_bytes_held"] == 0:
                break
            time.sleep(0.1)
        assert m.status()["server"]["body_bytes_held"] == 0
        assert m.get(m.put(b"after")).status == 200
