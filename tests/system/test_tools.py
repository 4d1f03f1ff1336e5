"""kitten fsck, rebuild index and dump on the files of a real server."""
import json
import os
import signal
import struct

import pytest
from kitten import Mini, run


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


@pytest.fixture
def stopped():
    """A stopped server's directory, its ids and what they hold."""
    with Mini() as m:
        m.blobs = {m.put(os.urandom(size)): size for size in (0, 1, 1000, 65536, 65537, 300000)}
        m.deleted = m.put(b"to be deleted")
        assert m.ask("DELETE", f"/blob/{m.deleted}").status == 204
        assert m.stop() == 0
        m.vol = os.path.join(m.dir, next(n for n in os.listdir(m.dir) if n.endswith(".vol")))
        yield m


def flip(path, offset, bit=3):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1 << bit]))


def fsck_json(m, *options):
    done = run("fsck", "--json", *options, m.dir)
    return done.returncode, json.loads(done.stdout)[0]


def test_clean_directory(stopped):
    code, report = fsck_json(stopped)
    assert code == 0 and report["findings"] == [] and report["deleted"] == 1
    assert report["needles"] >= len(stopped.blobs) + 1
    done = run("fsck", "--fast", stopped.dir)
    assert done.returncode == 0 and "clean" in done.stdout


def test_directory_in_use_or_absent(fresh):
    done = run("fsck", fresh.dir)
    assert done.returncode == 5 and "in use" in done.stderr and done.stderr.count("\n") == 1
    done = run("rebuild", "index", fresh.dir)
    assert done.returncode == 5
    done = run("fsck", fresh.dir + "/nothing")
    assert done.returncode == 4 and "no directory" in done.stderr
    done = run("fsck", fresh.base)
    assert done.returncode == 4 and "no data directory" in done.stderr


def test_damage_is_found_and_named(stopped):
    with open(stopped.vol, "rb") as f:
        log = f.read()
    for offset in (12288 + 8, 12288 + 200, len(log) // 2, len(log) // 3):
        flip(stopped.vol, offset)
        code, report = fsck_json(stopped)
        assert code == 7, report
        found = report["findings"][0]
        assert found["severity"] == "damage" and found["file"] == os.path.basename(stopped.vol)
        assert found["offset"] <= offset < found["offset"] + found["bytes"]
        flip(stopped.vol, offset)
    assert fsck_json(stopped)[0] == 0


def test_dead_log_damage_says_what_it_means(stopped):
    flip(os.path.join(stopped.dir, "dead.log"), 4096 + 3)
    done = run("fsck", stopped.dir)
    assert done.returncode == 7 and "restored from a copy" in done.stdout


def test_planted_link_is_refused_not_followed(stopped):
    os.symlink("/etc/passwd", os.path.join(stopped.dir, "0000cafe.vol"))
    done = run("fsck", stopped.dir)
    assert done.returncode == 7 and "0000cafe.vol" in done.stdout and "link" in done.stdout
    assert "root:" not in done.stdout


def test_unknown_feature_names_the_way_out(stopped):
    with open(stopped.vol, "r+b") as f:
        block = bytearray(f.read(4096))
        struct.pack_into("<Q", block, 32, 1 << 40)
        struct.pack_into("<I", block, 4092, crc32c(block[:4092]))
        f.seek(0)
        f.write(block)
    done = run("fsck", stopped.dir)
    assert done.returncode == 7 and "newer version" in done.stdout


def test_kill_leaves_nothing_that_needs_repair(fresh):
    ids = [fresh.put(os.urandom(2000)) for _ in range(50)]
    fresh.proc.send_signal(signal.SIGKILL)
    fresh.proc.wait()
    assert run("fsck", fresh.dir).returncode in (0, 1)
    fresh.start()
    assert all(fresh.get(i).status == 200 for i in ids)


def test_rebuild_index_and_start_again(stopped):
    done = run("rebuild", "index", stopped.dir)
    assert done.returncode == 0, done.stderr
    assert fsck_json(stopped)[0] == 0
    stopped.start()
    for blob, size in stopped.blobs.items():
        assert len(stopped.get(blob).body) == size
    assert stopped.get(stopped.deleted).status == 404


def test_dump_lists_every_needle(stopped):
    vid = os.path.basename(stopped.vol)[:8]
    done = run("dump", "--json", vid, stopped.dir)
    assert done.returncode == 0, done.stderr
    listed = {n["id"]: n for n in json.loads(done.stdout)["needles"]}
    for blob, size in stopped.blobs.items():
        assert listed[blob]["data_bytes"] == size and not listed[blob]["dead"]
    assert listed[stopped.deleted]["dead"]
    text = run("dump", vid, stopped.dir)
    assert text.returncode == 0 and all(blob in text.stdout for blob in stopped.blobs)
    assert run("dump", "12345678", stopped.dir).returncode == 4
    assert run("dump", "xyz", stopped.dir).returncode == 2
