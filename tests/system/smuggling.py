#!/usr/bin/env python3
"""HTTP request smuggling: a table of byte strings and what the server must make of each.

usage: tests/system/smuggling.py BUILD_DIR [NAME]

Every case is sent four ways on a new connection: whole, byte by byte, and cut at two seeded sets of
places. A canary request follows in the same stream. The verdict (every answer's status, and the method,
path and body that the server reports to have understood) must be the one of the table each time: the
canary is answered exactly once, as itself, after a case that is well-formed; and after one that is not,
nothing is answered but one error, and the connection ends. A connection reset that takes the error with
it is a failure too. The server is tests/lib/http_echo.
"""
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time

CANARY = b"GET /canary HTTP/1.1\r\nHost: h\r\n\r\n"
H = b"Host: h\r\n"
CASES = []


def case(name, data, *want):
    """want: a status for a refusal, or (method, path, body) for each request that is understood."""
    CASES.append((name, data, list(want)))


def ok(name, data, *want):
    case(name, data, *want, ("GET", "/canary", b""))


def post(fields, body=b"", version=b"HTTP/1.1", host=H, path=b"/a", method=b"POST"):
    return method + b" " + path + b" " + version + b"\r\n" + host + fields + b"\r\n" + body


def get(line=b"GET /a HTTP/1.1", fields=H):
    return line + b"\r\n" + fields + b"\r\n"


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def both_lengths():
    for name, cl, te in (
            ("cl.te", b"Content-Length: 5\r\n", CHUNKED), ("te.cl", CHUNKED, b"Content-Length: 5\r\n"),
            ("cl0.te", b"Content-Length: 0\r\n", CHUNKED), ("te.cl0", CHUNKED, b"Content-Length: 0\r\n"),
            ("cl.te case", b"content-length: 5\r\n", b"TRANSFER-ENCODING: CHUNKED\r\n"),
            ("cl.te far apart", b"Content-Length: 5\r\n" + b"X-A: b\r\n" * 20, CHUNKED),
            ("cl.te tab", b"Content-Length:\t5\r\n", b"Transfer-Encoding:\tchunked\r\n"),
            ("cl.te no blank", b"Content-Length:5\r\n", b"Transfer-Encoding:chunked\r\n"),
            ("cl.te trailing blank", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked \r\n"),
            ("cl.te gzip", b"Content-Length: 5\r\n", b"Transfer-Encoding: gzip\r\n"),
            ("cl.te identity", b"Content-Length: 5\r\n", b"Transfer-Encoding: identity\r\n"),
            ("cl.te empty", b"Content-Length: 5\r\n", b"Transfer-Encoding:\r\n"),
            ("cl.te unknown", b"Content-Length: 5\r\n", b"Transfer-Encoding: xchunked\r\n")):
        case(name + " short", post(cl + te, END + SMUGGLED), 400)
        case(name + " long", post(cl + te, b"5\r\nhello\r\n" + END + SMUGGLED), 400)
    case("cl.cl.te", post(b"Content-Length: 5\r\nContent-Length: 5\r\n" + CHUNKED, END), 400)
    case("cl.te in HTTP/1.0", post(b"Content-Length: 5\r\n" + CHUNKED, END, b"HTTP/1.0"), 400)
    case("te in HTTP/1.0", post(CHUNKED, END + SMUGGLED, b"HTTP/1.0"), 400)
    case("te in HTTP/1.0 kept alive", post(CHUNKED + b"Connection: keep-alive\r\n", END, b"HTTP/1.0"), 400)
    case("get cl.te", post(b"Content-Length: 5\r\n" + CHUNKED, END + SMUGGLED, method=b"GET"), 400)


def codings():
    body = b"5\r\nhello\r\n" + END + SMUGGLED
    for value in (b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"chunked, chunked",
                  b"gzip, chunked", b"chunked;q=1", b"chunked; a=b", b"\"chunked\"", b"'chunked'", b"chunk",
                  b"identity", b"x", b"chunked,", b",chunked", b", chunked", b"cow, chunked", b"chun ked",
                  b"chunked\tx", b"ch\xc3\xbcnked", b"chunked\xff", b"\xa0chunked", b"chunked\xa0", b"0",
                  b"", b"[chunked]", b"deflate", b"trailers"):
        case("coding %r" % value, post(b"Transfer-Encoding: " + value + b"\r\n", body), 501)
    for value in (b"\x0bchunked", b"\x0cchunked", b"chunked\x00", b"\x00chunked", b"chunked\x0b", b"chunked\x7f",
                  b"\x08chunked", b"chunked\rx", b"\rchunked", b"chunked\r"):
        case("coding with CTL %r" % value, post(b"Transfer-Encoding: " + value + b"\r\n", body), 400)
    for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\tTransfer-Encoding",
                 b"Transfer-Encoding\x0b", b"Transfer-Encoding\x00", b"\x00Transfer-Encoding",
                 b"Transfer Encoding", b"Transfer-Encoding\xa0", b"Transfer-Encod\xefng", b"Transfer-Encoding\x7f",
                 b"(Transfer-Encoding)", b"\"Transfer-Encoding\"", b"Transfer/Encoding", b"X:\rTransfer-Encoding"):
        case("coding name %r" % name, post(name + b": chunked\r\nContent-Length: 5\r\n", body), 400)
    # Other names than Transfer-Encoding mean nothing, and the length holds.
    for name in (b"Transfer_Encoding", b"X-Transfer-Encoding", b"Transfer-Encodin", b"Transfer-Encodingx", b"TE",
                 b"Content-Encoding"):
        ok("not a coding %r" % name, post(name + b": chunked\r\nContent-Length: 5\r\n", b"hello"),
           ("POST", "/a", b"hello"))
    case("two codings", post(CHUNKED + CHUNKED, body), 400)
    case("two codings, first unknown", post(b"Transfer-Encoding: x\r\n" + CHUNKED, body), 400)
    case("two codings, last unknown", post(CHUNKED + b"Transfer-Encoding: x\r\n", body), 400)
    case("two codings, identity first", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, body), 400)
    case("folded coding", post(b"Transfer-Encoding:\r\n chunked\r\n", body), 400)
    case("folded coding, tab", post(b"Transfer-Encoding:\r\n\tchunked\r\n", body), 400)
    case("coding behind a fold", post(b"X: y\r\n Transfer-Encoding: chunked\r\n", body), 400)
    case("coding behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked\r\n", body), 400)
    case("coding behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked\r\n", body), 400)
    case("coding ended by a bare LF", post(b"Transfer-Encoding: chunked\n", body), 400)
    ok("coding in capitals", post(b"TRANSFER-ENCODING: CHUNKED\r\n", b"5\r\nhello\r\n" + END), ("POST", "/a", b"hello"))
    ok("coding with blanks", post(b"Transfer-Encoding: \t chunked \t\r\n", b"5\r\nhello\r\n" + END),
       ("POST", "/a", b"hello"))


def lengths():
    for value in (b"+5", b"-5", b"-0", b"+0", b"5 5", b"5,5", b"5, 5", b"5;5", b"0x5", b"5.0", b"5e0", b"5_0", b"",
                  b"\"5\"", b"five", b"5 hello", b"\xb2", b"\xd9\xa5", b"9223372036854775808", b"18446744073709551615",
                  b"18446744073709551616", b"18446744073709551621", b"00000000000000000005", b"5\x00", b"\x005",
                  b"5\x0b", b"\x0b5", b"5\rx", b"5\r", b"0, 5", b"5, 0", b"NaN", b"Infinity", b"5L", b"%35"):
        case("length %r" % value, post(b"Content-Length: " + value + b"\r\n", b"hello" + SMUGGLED), 400)
    for name in (b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content-Length\x00", b"\x00Content-Length",
                 b"Content Length", b"Content-Length\x0b"):
        case("length name %r" % name, post(name + b": 5\r\n", b"hello"), 400)
    case("two lengths, equal", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400)
    case("two lengths, differing", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400)
    case("two lengths, zero first", post(b"Content-Length: 0\r\nContent-Length: 35\r\n", SMUGGLED), 400)
    case("two lengths, zero last", post(b"Content-Length: 35\r\nContent-Length: 0\r\n", SMUGGLED), 400)
    case("two lengths, one bad", post(b"Content-Length: 5\r\nContent-Length: x\r\n", b"hello"), 400)
    case("two lengths, cases differ", post(b"content-length: 5\r\nCONTENT-LENGTH: 5\r\n", b"hello"), 400)
    case("folded length", post(b"Content-Length:\r\n 5\r\n", b"hello"), 400)
    case("length behind a bare LF", post(b"X: y\nContent-Length: 5\r\n", b"hello"), 400)
    case("length ended by a bare LF", post(b"Content-Length: 5\n", b"hello"), 400)
    ok("length 0 before a request", post(b"Content-Length: 0\r\n", SMUGGLED.replace(b"/smuggled", b"/next")),
       ("POST", "/a", b""), ("GET", "/next", b""))
    ok("length with zeros", post(b"Content-Length: 0000000000000000005\r\n", b"hello"), ("POST", "/a", b"hello"))
    ok("length with blanks", post(b"Content-Length: \t5 \t\r\n", b"hello"), ("POST", "/a", b"hello"))
    ok("a request as a body", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED), ("POST", "/a", SMUGGLED))
    ok("get with a body", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, method=b"GET"), ("GET", "/a", SMUGGLED))
    ok("delete with a body", post(b"Content-Length: 5\r\n", b"hello", method=b"DELETE"), ("DELETE", "/a", b"hello"))
    ok("options with a body", post(b"Content-Length: 5\r\n", b"hello", method=b"OPTIONS"), ("OPTIONS", "/a", b"hello"))
    ok("head with a body", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, method=b"HEAD"), ("HEAD", "/a", None))
    ok("ignored body", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, path=b"/ignore"), ("POST", "/ignore", b""))
    ok("ignored chunked body", post(CHUNKED, b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END, path=b"/ignore"), ("POST", "/ignore", b""))
    ok("length in HTTP/1.0, kept alive", post(b"Content-Length: 5\r\nConnection: keep-alive\r\n", b"hello", b"HTTP/1.0"),
       ("POST", "/a", b"hello"))
    case("length in HTTP/1.0", post(b"Content-Length: 5\r\n", b"hello" + SMUGGLED, b"HTTP/1.0"), ("POST", "/a", b"hello"))
    case("closing ends it", post(b"Content-Length: 5\r\nConnection: close\r\n", b"hello" + SMUGGLED), ("POST", "/a", b"hello"))
    # A body one byte short takes the next byte of the stream, whatever that is; then the rest is no request.
    case("body one byte short", post(b"Content-Length: 6\r\n", b"hello"), ("POST", "/a", b"helloG"), 405)
    case("body two bytes long", post(b"Content-Length: 3\r\n", b"hello"), ("POST", "/a", b"hel"), 405)
    case("body ends with the stream", post(b"Content-Length: 5000\r\n", b"hello"), 400)


def chunks():
    def chunked(name, body, *want):
        case(name, post(CHUNKED, body), *want)
    for line in (b" 5", b"5 ", b"\t5", b"5\t", b"+5", b"-5", b"0x5", b"5h", b"g", b"5 ;a", b"5, 5", b"\x005", b"5\x00",
                 b"5\x0b", b"", b"00000000000000005", b"10000000000000005", b"ffffffffffffffff", b"8000000000000000",
                 b"5;\x00", b"5;a=\x7f", b"5;a\rb", b"5;a\nb", b"5\r", b"5;a=\"\r\n\"", b"\xef\xbc\x95", b"5.0", b"5_0",
                 b"5;" + b"e" * 300):
        chunked("chunk size %r" % line[:30], line + b"\r\nhello\r\n" + END + SMUGGLED, 400)
    chunked("chunk size ended by LF", b"5\nhello\r\n" + END, 400)
    chunked("chunk size ended by CR", b"5\rhello\r\n" + END, 400)
    chunked("chunk size ended by CR CR LF", b"5\r\r\nhello\r\n" + END, 400)
    chunked("chunk data ended by LF", b"5\r\nhello\n" + END, 400)
    chunked("chunk data ended by CR", b"5\r\nhello\r" + END, 400)
    chunked("chunk data not ended", b"5\r\nhello" + END, 400)
    chunked("chunk data too long", b"5\r\nhello!\r\n" + END, 400)
    chunked("chunk data too short", b"6\r\nhello\r\n" + END, 400)
    chunked("chunk data ended twice", b"5\r\nhello\r\n\r\n" + END, 400)
    chunked("last chunk ended by LF", b"5\r\nhello\r\n0\n\n" + SMUGGLED, 400)
    chunked("last line ended by LF", b"5\r\nhello\r\n0\r\n\n" + SMUGGLED, 400)
    chunked("last line is CR CR LF", b"5\r\nhello\r\n0\r\n\r\r\n" + SMUGGLED, 400)
    chunked("last chunk without its line", b"5\r\nhello\r\n0\r\n" + SMUGGLED, 400)
    chunked("negative last chunk", b"5\r\nhello\r\n-0\r\n\r\n" + SMUGGLED, 400)
    chunked("trailer with a blank name", b"0\r\nX : y\r\n\r\n", 400)
    chunked("trailer folded", b"0\r\nX: y\r\n z\r\n\r\n", 400)
    chunked("trailer without a colon", b"0\r\nX\r\n\r\n", 400)
    chunked("trailer ended by LF", b"0\r\nX: y\n\r\n", 400)
    chunked("trailer with CTL", b"0\r\nX: \x01\r\n\r\n", 400)
    chunked("trailer with CR", b"0\r\nX: a\rb\r\n\r\n", 400)
    chunked("trailer too long", b"0\r\nX: " + b"y" * 5000 + b"\r\n\r\n", 400)
    chunked("a request line as a trailer", b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n", 400)

    def good(name, body, want):
        ok(name, post(CHUNKED, body), ("POST", "/a", want))
    good("one chunk", b"5\r\nhello\r\n" + END, b"hello")
    good("chunks of one byte", b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + END, b"hello")
    good("no chunk", END, b"")
    good("chunk size with zeros", b"0000000000000005\r\nhello\r\n0000\r\n\r\n", b"hello")
    good("chunk size in hex", b"A\r\n0123456789\r\n0a\r\n0123456789\r\n" + END, b"0123456789" * 2)
    good("chunk extensions", b"5;a\r\nhello\r\n0;b=\"c d\";e\r\n\r\n", b"hello")
    good("trailers", b"5\r\nhello\r\n0\r\nX-A: b\r\nContent-Length: 99\r\nHost: evil\r\nTransfer-Encoding: x\r\n\r\n", b"hello")
    good("a request inside a chunk", b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END, SMUGGLED)
    good("a last chunk inside a chunk", b"7\r\n\r\n0\r\n\r\n\r\n" + END, b"\r\n0\r\n\r\n")


def heads():
    for name, data in (
            ("bare LF everywhere", b"GET /a HTTP/1.1\nHost: h\n\n"),
            ("bare LF after the request line", b"GET /a HTTP/1.1\nHost: h\r\n\r\n"),
            ("bare LF after a field", b"GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
            ("bare LF ends the head", b"GET /a HTTP/1.1\r\nHost: h\r\n\n"),
            ("LF CR ends the head", b"GET /a HTTP/1.1\r\nHost: h\n\r\n\r"),
            ("bare CR in the request line", b"GET /a\r HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("bare CR after the request line", b"GET /a HTTP/1.1\rHost: h\r\n\r\n"),
            ("CR CR LF", b"GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n"),
            ("bare CR in a value", get(fields=H + b"X: a\rb\r\n")),
            ("a request behind a bare CR", get(fields=H + b"X: a\r\r" + SMUGGLED.replace(b"\r\n", b"\r") + b"\r\n")),
            ("fold", get(fields=H + b"X: a\r\n b\r\n")),
            ("fold with tab", get(fields=H + b"X: a\r\n\tb\r\n")),
            ("fold before the first field", get(fields=b" X: a\r\n" + H)),
            ("line of blanks", get(fields=H + b" \r\n")),
            ("folded Host", get(fields=b"Host:\r\n h\r\n")),
            ("NUL in a value", get(fields=H + b"X: a\0b\r\n")),
            ("NUL in a name", get(fields=H + b"X\0: a\r\n")),
            ("escape in a value", get(fields=H + b"X: a\x1b[2J\r\n")),
            ("DEL in a value", get(fields=H + b"X: a\x7f\r\n")),
            ("blank before a colon", get(fields=H + b"X : a\r\n")),
            ("tab before a colon", get(fields=H + b"X\t: a\r\n")),
            ("no name", get(fields=H + b": a\r\n")),
            ("no colon", get(fields=H + b"X\r\n")),
            ("name with a slash", get(fields=H + b"X/Y: a\r\n")),
            ("name with parentheses", get(fields=H + b"X(Y): a\r\n")),
            ("name with bytes above 127", get(fields=H + b"X\xc3\xa9: a\r\n")),
            ("name with an at", get(fields=H + b"@X: a\r\n")),
            ("two empty lines first", b"\r\n\r\n" + get()),
            ("bare LF first", b"\n" + get()),
            ("bare CR first", b"\r" + get()),
            ("blank first", b" " + get()),
            ("NUL first", b"\0" + get()),
            ("byte order mark first", b"\xef\xbb\xbf" + get()),
            ("TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
            ("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")):
        case(name, data, 400)
    ok("one empty line first", b"\r\n" + get(), ("GET", "/a", b""))
    ok("bytes above 127 in a value", get(fields=H + b"X: caf\xc3\xa9\xff\r\n"), ("GET", "/a", b""))
    ok("tab in a value", get(fields=H + b"X: a\tb\r\n"), ("GET", "/a", b""))
    ok("empty value", get(fields=H + b"X:\r\nY: \t \r\n"), ("GET", "/a", b""))
    ok("99 more fields", get(fields=H + b"X: y\r\n" * 99), ("GET", "/a", b""))
    case("100 more fields", get(fields=H + b"X: y\r\n" * 100), 431)
    case("fields of 20 KB", get(fields=H + b"X: " + b"y" * 20000 + b"\r\n"), 431)
    case("fields without an end", b"GET /a HTTP/1.1\r\n" + H + b"X: y\r\n" * 3000, 431)
    case("fields of 20 KB, then a bare LF", get(fields=H + b"X: " + b"y" * 20000 + b"\n"), 431)


def request_lines():
    for line in (b"GET  /a HTTP/1.1", b"GET /a  HTTP/1.1", b"GET\t/a HTTP/1.1", b"GET /a\tHTTP/1.1", b"GET /a HTTP/1.1 ",
                 b"GET /a", b"GET", b"GET  HTTP/1.1", b"GET HTTP/1.1", b"/a HTTP/1.1", b"GET /a b HTTP/1.1",
                 b"GET /a HTTP/1.1 HTTP/1.1", b"GET /a HTTP/1", b"GET /a HTTP/1.", b"GET /a HTTP/.1", b"GET /a HTTP/01.1",
                 b"GET /a HTTP/1.01", b"GET /a HTTP/1.1x", b"GET /a http/1.1", b"GET /a Http/1.1", b"GET /a HTTPS/1.1",
                 b"GET /a HTTP 1.1", b"GET /a HTTP/1,1", b"GET /a HTTP/+1.1", b"GET /a HTTP/-1.1", b"GET /a HTTP/1.1\x0b",
                 b"GET /a\0 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"GET /a#b HTTP/1.1",
                 b"GET a HTTP/1.1", b"GET ?a HTTP/1.1", b"GET * HTTP/1.1", b"G\xcbT /a HTTP/1.1", b"G(T /a HTTP/1.1",
                 b"GET ftp://h/a HTTP/1.1", b"GET //h:x HTTP/1.1".replace(b"//h:x", b"http://h:x/a"),
                 b"GET http:///a HTTP/1.1", b"GET http://u:p@h/a HTTP/1.1", b"GET http://other/a HTTP/1.1",
                 b"GET http://h:80/a HTTP/1.1", b"GET http://h.evil/a HTTP/1.1", b"GET http:/a HTTP/1.1",
                 b"GET http://h\\a/ HTTP/1.1", b"GET h:80 HTTP/1.1"):
        case("request line %r" % line, get(line), 400)
    for line in (b"CONNECT h:80 HTTP/1.1", b"TRACE /a HTTP/1.1", b"PATCH /a HTTP/1.1", b"PROPFIND /a HTTP/1.1",
                 b"get /a HTTP/1.1", b"Get /a HTTP/1.1", b"GETX /a HTTP/1.1", b"GE /a HTTP/1.1", b"XGET /a HTTP/1.1"):
        case("request line %r" % line, get(line), 405)
    for line in (b"GET /a HTTP/2.0", b"GET /a HTTP/0.9", b"GET /a HTTP/1.2", b"GET /a HTTP/1.9", b"GET /a HTTP/3.0"):
        case("request line %r" % line, get(line), 501)
    case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501)
    case("HTTP/0.9", b"GET /a\r\n", 400)
    case("target of 9 KB", get(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414)
    case("target of 20 KB", get(b"GET /" + b"a" * 20000 + b" HTTP/1.1"), 414)
    case("request line without an end", b"GET /" + b"a" * 30000, 414)
    ok("absolute target", get(b"GET http://h/a HTTP/1.1"), ("GET", "/a", b""))
    ok("absolute target, case differs", get(b"GET HTTP://H/a HTTP/1.1"), ("GET", "/a", b""))
    ok("absolute target without path", get(b"GET http://h HTTP/1.1"), ("GET", "/", b""))
    ok("double slash", get(b"GET //h/a HTTP/1.1"), ("GET", "//h/a", b""))
    ok("dots stay", get(b"GET /../a/./%2e%2e HTTP/1.1"), ("GET", "/../a/./%2e%2e", b""))
    ok("asterisk", get(b"OPTIONS * HTTP/1.1"), ("OPTIONS", "*", b""))
    ok("query with odd bytes", get(b"GET /a?b={|}^`<>[]\\ HTTP/1.1"), ("GET", "/a", b""))


def hosts():
    for name, fields in (
            ("no Host", b"X: y\r\n"), ("two Hosts", H + H), ("two Hosts, differing", H + b"Host: evil\r\n"),
            ("two Hosts, cases differ", H + b"HOST: h\r\n"), ("empty Host", b"Host:\r\n"), ("blank Host", b"Host: \t\r\n"),
            ("Host with a blank", b"Host: h evil\r\n"), ("Host with a comma and blank", b"Host: h, evil\r\n"),
            ("Host with a slash", b"Host: h/evil\r\n"), ("Host with user info", b"Host: u@h\r\n"),
            ("Host with a query", b"Host: h?x\r\n"), ("Host with a fragment", b"Host: h#x\r\n"),
            ("Host with a scheme", b"Host: http://h\r\n"), ("Host with a bad port", b"Host: h:port\r\n"),
            ("Host with a port too big", b"Host: h:65536\r\n"), ("Host with two ports", b"Host: h:80:80\r\n"),
            ("Host with only a port", b"Host: :80\r\n"), ("Host with an open bracket", b"Host: [::1\r\n"),
            ("Host with a stray bracket", b"Host: ::1]\r\n"), ("Host with bytes above 127", b"Host: h\xc3\xa9\r\n"),
            ("Host behind a blank", b" Host: h\r\n"), ("Host before a blank", b"Host : h\r\n"),
            ("Host with a backslash", b"Host: h\\evil\r\n"), ("Host with a NUL", b"Host: h\0\r\n"),
            ("Host with quotes", b"Host: \"h\"\r\n"), ("Host behind a fold", b"X: y\r\n Host: h\r\n")):
        case(name, get(fields=fields), 400)
    case("two Hosts in HTTP/1.0", get(b"GET /a HTTP/1.0", H + H), 400)
    ok("Host with a port", get(fields=b"Host: h:9000\r\n"), ("GET", "/a", b""))
    ok("Host is IPv6", get(fields=b"Host: [::1]:9000\r\n"), ("GET", "/a", b""))
    ok("other host fields", get(fields=H + b"X-Forwarded-Host: evil\r\nX-Host: evil\r\nForwarded: host=evil\r\n"),
       ("GET", "/a", b""))
    case("no Host in HTTP/1.0", get(b"GET /a HTTP/1.0", b""), ("GET", "/a", b""))


def the_rest():
    case("unknown expectation", post(b"Expect: x\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED), 417)
    case("two expectations", post(b"Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n", b"hello"), 417)
    # The body follows without waiting: whether a 100 is sent in between depends on timing, the answer doesn't.
    ok("expectation not waited for", post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), ("POST", "/a", b"hello"))
    case("expectation, body refused", post(b"Expect: 100-continue\r\nContent-Length: 35\r\n", SMUGGLED, path=b"/ignore"),
         ("POST", "/ignore", b""))
    ok("upgrade is ignored", get(fields=H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), ("GET", "/a", b""))
    ok("h2c upgrade is ignored", get(fields=H + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
       ("GET", "/a", b""))
    ok("connection names the length", post(b"Connection: Content-Length\r\nContent-Length: 5\r\n", b"hello"),
       ("POST", "/a", b"hello"))
    ok("connection names the coding", post(b"Connection: Transfer-Encoding\r\n" + CHUNKED, b"5\r\nhello\r\n" + END),
       ("POST", "/a", b"hello"))
    ok("method override is ignored", post(b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 5\r\n", b"hello"),
       ("POST", "/a", b"hello"))
    ok("five requests", get() + post(b"Content-Length: 1\r\n", b"1") + post(CHUNKED, b"1\r\n2\r\n" + END) +
       post(b"Content-Length: 1\r\n", b"3", path=b"/hold") + get(b"GET /b HTTP/1.1"),
       ("GET", "/a", b""), ("POST", "/a", b"1"), ("POST", "/a", b"2"), ("POST", "/hold", b"3"), ("GET", "/b", b""))
    case("a good request, then a bad one", get() + post(b"Content-Length: x\r\n", SMUGGLED), ("GET", "/a", b""), 400)
    case("a refused body, then a request", post(CHUNKED, b"5\r\nhello\r\nX" + SMUGGLED, path=b"/hold"), 400)


for group in (both_lengths, codings, lengths, chunks, heads, request_lines, hosts, the_rest):
    group()


# ---- sending and judging ----

def pieces_of(data, way, seed):
    if way == "whole":
        return [data]
    if way == "bytes":
        # Long fillings go in one piece: their bytes are all alike.
        out, at = [], 0
        while at < len(data):
            step = 1 if len(data) < 1500 or at < 200 or at > len(data) - 200 else 997
            out.append(data[at:at + step])
            at += step
        return out
    cuts = sorted(random.Random(seed).sample(range(1, len(data)), min(4, len(data) - 1)))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


def send(sock, pieces, pause_s):
    """Sends everything; a server that closes early may make this fail, which is fine."""
    try:
        for piece in pieces:
            sock.sendall(piece)
            if pause_s:
                time.sleep(pause_s)
        sock.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass
    except OSError as e:
        if e.errno != 107:  # not connected any more
            raise


def receive(sock, got):
    try:
        while True:
            data = sock.recv(65536)
            if not data:
                return
            got.append(data)
    except ConnectionResetError:
        got.append(b"<reset>")
    except socket.timeout:
        got.append(b"<timeout>")


def answers(data, methods):
    """Splits the received bytes into answers: a status, or (method, path, body)."""
    out = []
    while data:
        m = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\n((?:[!-9;-~]+: [ -~]*\r\n)*)\r\n", data)
        if not m:
            out.append(data[:60])
            return out
        status = int(m.group(1))
        data = data[m.end():]
        if status == 100:
            continue
        fields = dict(line.lower().split(": ", 1) for line in m.group(2).decode().splitlines())
        n = int(fields["content-length"])
        if status == 200 and len(out) < len(methods) and methods[len(out)] == "HEAD":
            out.append(("HEAD", None))
            continue
        body, data = data[:n], data[n:]
        if status != 200 or len(body) != n:
            out.append(status if len(body) == n else "short body")
            continue
        seen = json.loads(body)
        out.append((seen["method"], seen["path"], seen["body_len"], seen["body"]))
    return out


def wanted(want):
    out = []
    for w in want:
        if isinstance(w, int):
            out.append(w)
        elif w[2] is None:
            out.append(("HEAD", None))
        else:
            out.append((w[0], w[1], len(w[2]), w[2][:64].hex()))
    return out


def run_one(port, name, data, want, way, seed):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = []
        reader = threading.Thread(target=receive, args=(sock, got))
        reader.start()
        send(sock, pieces_of(data + CANARY, way, seed), 0 if way == "whole" else 0.0002)
        reader.join()
    methods = [w[0] if isinstance(w, tuple) else None for w in want]
    seen = answers(b"".join(got), methods)
    if seen == wanted(want):
        return None
    return f"{name} ({way}): want {wanted(want)}, got {seen}"


def worker(port, jobs, lock, failures, count):
    while True:
        with lock:
            if not jobs:
                return
            job = jobs.pop()
        bad = run_one(port, *job)
        with lock:
            count[0] += 1
            if bad:
                failures.append(bad)


def main():
    build = sys.argv[1]
    only = sys.argv[2] if len(sys.argv) > 2 else None
    assert len(CASES) >= 200 and len({c[0] for c in CASES}) == len(CASES), "cases: 200 or more, each name once"
    server = subprocess.Popen([os.path.join(build, "tests/lib/http_echo"), "loops=2"], stdout=subprocess.PIPE, text=True)
    failures, count, lock = [], [0], threading.Lock()
    try:
        port = int(server.stdout.readline().split()[1])
        jobs = [(name, data, want, way, f"{way} {name}") for name, data, want in CASES
                for way in ("whole", "bytes", "cuts 1", "cuts 2") if only in (None, name)]
        threads = [threading.Thread(target=worker, args=(port, jobs, lock, failures, count)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if server.poll() is not None:
            failures.append(f"the server died with {server.returncode}")
    finally:
        server.terminate()
        if server.wait(20) != 0:
            failures.append(f"the server ended with {server.returncode}")
    for line in failures[:40]:
        print(line)
    print(f"{len(CASES)} cases, each sent 4 ways")
    print(f"{count[0] - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
