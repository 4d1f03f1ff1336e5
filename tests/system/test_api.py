"""The blob API over a real store, through restarts."""
import io
import json
import os
import random
import tarfile
import threading
import time

import pytest
from kitten import SANITIZED, rss_bytes


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def lines_of(answer):
    rows = [json.loads(line) for line in answer.body.splitlines()]
    return rows[:-1], rows[-1]["summary"]


def test_sizes_and_ranges(mini):
    rng = random.Random(1)
    for size in (0, 1, 47, 4096, 65535, 65536, 65537, 131072, 1 << 20, (16 << 20) - 5, 16 << 20):
        data = rng.randbytes(size)
        a = mini.ask("PUT", "/blob?bucket=photos", data)
        assert a.status == 201, (size, a)
        row = json.loads(a.body)
        assert row["size"] == size and a.headers["location"] == "/blob/" + row["id"]
        got = mini.get(row["id"])
        assert got.status == 200 and got.body == data
        assert got.headers["etag"] == a.headers["etag"] == f'"{row["etag"]}"'
        head = mini.ask("HEAD", "/blob/" + row["id"], key=False)
        assert head.status == 200 and int(head.headers["content-length"]) == size and head.body == b""
        for _ in range(4 if size else 0):
            first = rng.randrange(size)
            last = rng.randrange(first, size)
            part = mini.get(row["id"], headers={"Range": f"bytes={first}-{last}"})
            assert part.status == 206 and part.body == data[first:last + 1], (size, first, last)
            assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"


def test_chunked_upload_and_keep_alive(mini):
    conn = mini.connect()
    fields = {"Authorization": mini.bearer}
    for i in range(20):
        conn.request("POST", "/blob?bucket=photos", iter([b"a" * i, b"b" * 5000]), fields, encode_chunked=True)
        r = conn.getresponse()
        blob = json.loads(r.read())["id"]
        assert r.status == 201
        conn.request("GET", "/blob/" + blob)
        assert conn.getresponse().read() == b"a" * i + b"b" * 5000
    conn.close()


def test_types_and_conditions(mini):
    blob = mini.put(b"<svg/>", headers={"Content-Type": "image/svg+xml"})
    a = mini.get(blob)
    assert a.headers["content-type"] == "image/svg+xml" and "sandbox" in a.headers["content-security-policy"]
    assert a.headers["x-content-type-options"] == "nosniff"
    assert mini.get(blob, headers={"If-None-Match": a.headers["etag"]}).status == 304
    assert mini.get(blob, headers={"If-Modified-Since": a.headers["last-modified"]}).status == 304
    assert mini.get(blob, headers={"If-Match": '"x"'}).status == 412
    assert mini.get(blob, headers={"Range": "bytes=6-"}).status == 416


def test_delete_undelete_and_restart(fresh):
    keep, gone, back = fresh.put(b"keep"), fresh.put(b"gone"), fresh.put(b"back")
    assert fresh.ask("DELETE", "/blob/" + gone).status == 204
    assert fresh.ask("DELETE", "/blob/" + gone).status == 404
    assert fresh.ask("DELETE", "/blob/" + back).status == 204
    assert fresh.ask("POST", f"/blob/{back}?undelete").status == 200
    assert fresh.ask("POST", f"/blob/{back}?undelete").status == 409
    assert fresh.ask("PUT", "/bucket/other", b'{"ttl_s": 9}').status == 201
    for how in (fresh.stop, fresh.kill):
        how()
        fresh.start()
        assert fresh.get(keep).body == b"keep" and fresh.get(back).body == b"back"
        assert fresh.get(gone).status == 404
        assert json.loads(fresh.ask("GET", "/bucket/other").body)["ttl_s"] == 9
    row = json.loads(fresh.ask("GET", "/bucket/photos").body)
    assert row["blobs"] == 2 and row["used_bytes"] == 8


def test_buckets_are_rebuilt_from_the_log(fresh):
    blob = fresh.put(b"12345")
    assert fresh.ask("PUT", "/bucket/closed", b'{"signed_urls": true, "quota_bytes": 7}').status == 201
    hidden = fresh.put(b"1234567", "closed")
    assert fresh.ask("PUT", "/bucket/gone").status == 201
    lost = fresh.put(b"x", "gone")
    assert fresh.ask("DELETE", "/bucket/gone").status == 409
    assert fresh.ask("DELETE", "/bucket/gone?with_contents").status == 204
    fresh.kill()
    os.unlink(os.path.join(fresh.dir, "buckets.json"))
    fresh.start()
    assert fresh.get(blob).status == 200 and fresh.get(hidden).status == 403 and fresh.get(lost).status == 404
    row = json.loads(fresh.ask("GET", "/bucket/closed").body)
    assert row["quota_bytes"] == 7 and row["used_bytes"] == 7 and row["blobs"] == 1
    assert fresh.ask("POST", "/blob?bucket=closed", b"1").status == 507
    assert fresh.ask("POST", "/blob?bucket=gone", b"1").status == 404


def crash_forgetting(mini, before):
    """Ends the server as a crash does within the seconds before the counters were saved."""
    mini.kill()
    with open(os.path.join(mini.dir, "buckets.json"), "wb") as f:
        f.write(before)
    mini.start()


def saved_buckets(mini):
    with open(os.path.join(mini.dir, "buckets.json"), "rb") as f:
        return f.read()


def test_counters_that_a_crash_left_behind_do_not_wrap(fresh):
    assert fresh.ask("PUT", "/bucket/tight", b'{"quota_bytes": 100}').status == 201
    before = saved_buckets(fresh)
    blob = fresh.put(b"x" * 10, "tight")
    crash_forgetting(fresh, before)
    assert fresh.ask("DELETE", "/blob/" + blob).status == 204
    row = json.loads(fresh.ask("GET", "/bucket/tight").body)
    assert row["blobs"] == 0 and row["used_bytes"] == 0
    fresh.put(b"a", "tight")


def test_bucket_that_a_crash_made_look_empty_is_kept(fresh):
    assert fresh.ask("PUT", "/bucket/full").status == 201
    assert fresh.ask("PUT", "/bucket/empty").status == 201
    before = saved_buckets(fresh)
    blob = fresh.put(b"still here", "full")
    crash_forgetting(fresh, before)
    assert json.loads(fresh.ask("GET", "/bucket/full").body)["blobs"] == 0
    assert fresh.ask("DELETE", "/bucket/full").status == 409
    assert fresh.ask("DELETE", "/bucket/empty").status == 204
    assert fresh.stop() == 0
    fresh.start()
    assert fresh.ask("DELETE", "/bucket/full").status == 409
    assert fresh.get(blob).body == b"still here"


def test_upload_into_a_bucket_removed_meanwhile(fresh):
    assert fresh.ask("PUT", "/bucket/soon-gone").status == 201
    conn = fresh.connect()
    conn.putrequest("POST", "/blob?bucket=soon-gone")
    conn.putheader("Authorization", fresh.bearer)
    conn.putheader("Content-Length", "4")
    conn.endheaders(b"ab")
    time.sleep(0.2)
    assert fresh.ask("DELETE", "/bucket/soon-gone").status == 204
    before = fresh.stored()
    conn.send(b"cd")
    assert conn.getresponse().status == 404
    conn.close()
    assert fresh.stored() == before


def test_writers_at_the_same_time_stay_within_the_quota(mini):
    assert mini.ask("PUT", "/bucket/shared-quota", b'{"quota_bytes": 2000}').status == 201
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(
        mini.ask("POST", "/blob?bucket=shared-quota", b"z" * 900).status)) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == [201] * 2 + [507] * 14
    files = tar_of([("a", b"x" * 150), ("b", b"x" * 150)])
    rows, summary = lines_of(mini.ask("POST", "/batch?bucket=shared-quota", files))
    assert ["id" in row for row in rows] == [True, False] and summary["failed"] == 1
    row = json.loads(mini.ask("GET", "/bucket/shared-quota").body)
    assert row["blobs"] == 3 and row["used_bytes"] == 1950


def test_only_plain_picture_types_go_without_a_policy(mini):
    for kind in ("image/jpeg, text/html", "image/jp, text/html", "image/png, text/html", "text/html"):
        a = mini.get(mini.put(b"<script>", headers={"Content-Type": kind}))
        assert a.headers["content-type"] == kind and "sandbox" in a.headers["content-security-policy"]
    a = mini.get(mini.put(b"jpeg", headers={"Content-Type": "image/jpeg"}))
    assert "content-security-policy" not in a.headers


def test_ttl(mini):
    blob = json.loads(mini.ask("POST", "/blob?bucket=photos&ttl=1", b"short").body)["id"]
    assert mini.get(blob).status == 200
    time.sleep(2.1)
    assert mini.get(blob).status == 404


def test_batch_of_many_sizes(mini):
    rng = random.Random(2)
    files = [(f"d/{i}-{'n' * rng.randrange(120)}.png", rng.randbytes(rng.choice([0, 1, 511, 512, 513, 3000, 70000])))
             for i in range(700)]
    files += [("caf\u00e9/\u732b.jpg", b"cat"), ("big", rng.randbytes(5 << 20))]
    a = mini.ask("PUT", "/batch?bucket=photos", tar_of(files))
    rows, summary = lines_of(a)
    assert a.status == 200 and summary["stored"] == len(files) and summary["complete"], summary
    assert [r["name"] for r in rows] == [name for name, _ in files]
    for (name, data), row in rng.sample(list(zip(files, rows)), 40):
        got = mini.get(row["id"])
        assert got.body == data and row["size"] == len(data)
        if name.endswith(".png"):
            assert got.headers["content-type"] == "image/png"
    a = mini.ask("POST", "/batch/get", "\n".join(r["id"] for r in rows).encode())
    assert a.status == 200
    with tarfile.open(fileobj=io.BytesIO(a.body)) as t:
        assert [(m.name, t.extractfile(m).read()) for m in t] == files


def test_batch_of_empty_files(mini):
    """5,000 headers and nothing else: more than one piece of the answer."""
    files = [(f"empty/{i}", b"") for i in range(5000)]
    rows, summary = lines_of(mini.ask("PUT", "/batch?bucket=photos", tar_of(files)))
    assert summary["stored"] == 5000
    a = mini.ask("POST", "/batch/get", "\n".join(r["id"] for r in rows).encode())
    with tarfile.open(fileobj=io.BytesIO(a.body)) as t:
        assert t.getnames() == [name for name, _ in files]


def test_batch_damage(mini):
    whole = tar_of([(f"f{i}", bytes([i % 256]) * 3000) for i in range(1500)])
    stored = mini.stored()
    assert mini.ask("PUT", "/batch?bucket=photos", b"not a tar at all" * 100).status == 400
    assert mini.ask("PUT", "/batch?bucket=photos", whole[:3000]).status == 400
    assert mini.stored() == stored
    # Damage after what was stored: the lines say what is there, the summary that it isn't all.
    bad = bytearray(whole)
    at = whole.rindex(b"f1400")
    bad[at + 150] ^= 0xff
    a = mini.ask("PUT", "/batch?bucket=photos", bytes(bad))
    rows, summary = lines_of(a)
    assert a.status == 400 and not summary["complete"] and summary["error"]["code"] == "proto"
    assert 0 < summary["stored"] == len(rows) < 1500 and mini.stored() == stored + len(rows)
    for i, row in list(enumerate(rows))[::97]:
        assert mini.get(row["id"]).body == bytes([i % 256]) * 3000


def test_batch_members_that_are_no_files(mini):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, kind in (("dir", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE),
                           ("fifo", tarfile.FIFOTYPE), ("dev", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            t.addfile(info)
        info = tarfile.TarInfo("../../etc/evil")
        info.size = 1
        t.addfile(info, io.BytesIO(b"x"))
    rows, summary = lines_of(mini.ask("PUT", "/batch?bucket=photos", out.getvalue()))
    assert summary["skipped"] == 5 and summary["stored"] == 1 and rows[0]["name"] == "../../etc/evil"


def test_status_and_metrics(mini):
    s = mini.status()
    assert s["state"] == "healthy" and s["problems"] == [] and s["disks"][0]["state"] == "ok"
    text = mini.ask("GET", "/metrics").body.decode()
    for name in ("kitten_build_info", "kitten_http_requests_total", "kitten_http_request_seconds_bucket",
                 "kitten_disk_bytes", "kitten_volumes"):
        assert name in text
    assert mini.secret not in text and mini.secret not in json.dumps(s)
    assert mini.ask("GET", "/health/live", key=False).status == 200
    assert mini.ask("GET", "/health/ready", key=False).status == 200


@pytest.mark.skipif(SANITIZED, reason="sanitizers need memory of their own")
def test_idle_server_is_small(fresh):
    assert rss_bytes(fresh.proc.pid) < 30 << 20


def test_bucket_changes_from_many_connections(fresh):
    """Changes are one after the other; ids are never shared; what was acknowledged is there after kill -9."""
    kept, errors = {}, []

    def work(n):
        for i in range(15):
            name = f"b{n}-{i % 3}"
            if fresh.ask("PUT", f"/bucket/{name}", json.dumps({"ttl_s": i + 1})).status not in (200, 201):
                errors.append(name)
            kept[name] = i + 1
            if i % 5 == 4 and n % 2:
                if fresh.ask("DELETE", f"/bucket/{name}").status != 204:
                    errors.append("delete " + name)
                del kept[name]
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors

    def rows():
        return {b["name"]: b for b in json.loads(fresh.ask("GET", "/bucket").body)["buckets"]}
    before = rows()
    assert {n: b["ttl_s"] for n, b in before.items() if n != "photos"} == kept
    fresh.kill()
    fresh.start()
    assert rows() == before
    fresh.kill()
    os.unlink(os.path.join(fresh.dir, "buckets.json"))
    fresh.start()
    assert rows() == before


def test_reads_and_writes_side_by_side(fresh):
    """16 connections that write, read, delete and list for two seconds: each sees its own blobs, exactly."""
    errors, until = [], time.monotonic() + 2

    def work(seed):
        rng, mine = random.Random(seed), {}
        while time.monotonic() < until:
            data = rng.randbytes(rng.choice([0, 10, 2000, 100000]))
            mine[fresh.put(data)] = data
            blob = rng.choice(list(mine))
            if fresh.get(blob).body != mine[blob]:
                errors.append(blob)
            if rng.random() < 0.3:
                if fresh.ask("DELETE", "/blob/" + blob).status != 204 or fresh.get(blob).status != 404:
                    errors.append("delete " + blob)
                del mine[blob]
            if rng.random() < 0.05:
                fresh.ask("GET", "/metrics")
                fresh.ask("GET", "/status")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
