"""Starting and stopping: what the banner says, what is refused and how, and that nothing is lost by a clean stop."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest
from kitten import KITTEN, Mini, run


def one_line(done, code, *words):
    """It failed with this exit code and one line that holds the words."""
    assert done.returncode == code, done
    assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("kitten mini: "), done
    for word in words:
        assert word in done.stderr, done.stderr


def test_starts_fast(fresh):
    assert fresh.stop() == 0
    assert fresh.start() < 3
    assert fresh.stop(signal.SIGINT) == 0


def test_both_default_addresses():
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", 9000))
        except OSError:
            pytest.skip("port 9000 is taken on this machine")
    m = Mini()
    try:
        m.start(listen="127.0.0.1:9000, [::1]:9000")
        assert "http://127.0.0.1:9000" in m.banner and "http://[::1]:9000" in m.banner
        with socket.create_connection(("::1", 9000)) as s:
            s.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    except RuntimeError as e:
        if "::1" in str(e):
            pytest.skip("no IPv6 on this machine")
        raise
    finally:
        m.__exit__()


def test_port_taken(fresh, tmp_path):
    one_line(run("mini", str(tmp_path / "d"), "--listen", fresh.address), 5, fresh.address, "--listen")


def test_directory_in_use(fresh):
    one_line(run("mini", fresh.dir, "--listen", "127.0.0.1:0"), 5, fresh.dir, "in use")


def test_bad_words(tmp_path):
    d = str(tmp_path / "d")
    one_line(run("mini"), 2, "kitten mini DIR")
    one_line(run("mini", d, "--listen", "nonsense"), 2, "nonsense")
    one_line(run("mini", d, "--max-blob", "12x"), 2, "12x")
    done = run("mini", d, "--max-blop", "1MiB")
    assert done.returncode == 2 and "--max-blob" in done.stderr
    one_line(run("mini", d, env=dict(os.environ, KITTEN_MAX_BLOP="1")), 2, "max_blob")
    conf = tmp_path / "kitten.conf"
    conf.write_text("[http]\nmax_blop = 1MiB\n")
    one_line(run("mini", d, "--config", str(conf)), 2, "kitten.conf", "max_blob")
    assert not os.path.exists(d)


def test_config_file_is_obeyed(tmp_path):
    conf = tmp_path / "kitten.conf"
    conf.write_text("[http]\nmax_blob = 1000\n")
    with Mini("--config", str(conf)) as m:
        assert m.ask("POST", "/blob?bucket=photos", bytes(1000)).status == 201
        assert m.ask("POST", "/blob?bucket=photos", bytes(1001)).status == 413


def test_no_permission(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    tmp_path.chmod(0o700)
    with tempfile.TemporaryDirectory(prefix="kitten-") as place:  # the tree itself may be out of nobody's reach
        os.chmod(place, 0o755)
        kitten = shutil.copy(KITTEN, place)
        done = subprocess.run([kitten, "mini", str(tmp_path / "d"), "--listen", "127.0.0.1:0"], capture_output=True,
                              text=True, timeout=20, check=False, user=65534, group=65534)
    assert done.returncode in (1, 3) and "ermission denied" in done.stderr and done.stderr.count("\n") == 1, done


def test_directory_of_somebody_else(tmp_path):
    (tmp_path / "holiday.jpg").write_text("precious")
    one_line(run("mini", str(tmp_path), "--listen", "127.0.0.1:0"), 5, "holiday.jpg")
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def stopped(*options):
    """A data directory with a few blobs whose server has stopped."""
    m = Mini(*options)
    m.start()
    m.blobs = [m.put(b"%d" % i * 100) for i in range(20)]
    assert m.stop() == 0
    return m


def test_planted_links():
    m = stopped()
    try:
        volume = m.files(".vol")[0]
        for plant in (lambda: os.symlink("/etc/passwd", volume), lambda: os.link(volume + ".keep", volume),
                      lambda: os.mkfifo(volume)):
            os.rename(volume, volume + ".keep")
            plant()
            done = run("mini", m.dir, "--listen", "127.0.0.1:0", timeout=20)
            assert done.returncode not in (0, None) and done.stderr.count("\n") >= 1, done
            os.unlink(volume)
            os.rename(volume + ".keep", volume)
        os.rename(os.path.join(m.dir, "keys.json"), os.path.join(m.base, "keys"))
        os.symlink(os.path.join(m.base, "keys"), os.path.join(m.dir, "keys.json"))
        assert run("mini", m.dir, "--listen", "127.0.0.1:0").returncode != 0
        os.unlink(os.path.join(m.dir, "keys.json"))
        os.rename(os.path.join(m.base, "keys"), os.path.join(m.dir, "keys.json"))
        m.start()
        assert m.get(m.blobs[3]).status == 200
    finally:
        m.__exit__()


def test_disk_of_another_store():
    a, b = stopped(), stopped()
    try:
        one_line(run("mini", a.dir, b.dir, "--listen", "127.0.0.1:0"), 5)
        one_line(run("mini", a.dir, a.dir, "--listen", "127.0.0.1:0"), 2, "twice")
        # A volume of another disk, carried here by hand, is not served as ours.
        shutil.copy(b.files(".vol")[0], a.dir)
        a.start()
        assert a.get(a.blobs[0]).status == 200
        assert a.get(b.blobs[0]).status in (404, 503)
        assert a.status()["state"] != "healthy"
    finally:
        a.__exit__()
        b.__exit__()


@pytest.mark.parametrize("name, offset", [("disk", None), (".vol", None)])
def test_damaged_superblock(name, offset):
    """A label that can't be read stops the start with a sentence; a volume's makes that volume serve nothing."""
    m = stopped()
    try:
        path = m.files(name)[0] if name.startswith(".") else os.path.join(m.dir, name)
        with open(path, "r+b") as f:
            f.seek(20)
            was = f.read(8)
            f.seek(20)
            f.write(bytes(x ^ 0xff for x in was))
        if name == "disk":
            one_line(run("mini", m.dir, "--listen", "127.0.0.1:0"), run("mini", m.dir).returncode, "disk")
        else:
            m.start()
            assert m.get(m.blobs[0]).status == 503
            s = m.status()
            assert s["state"] == "degraded" and s["problems"]
            done = run("status", m.dir)
            assert done.returncode == 7 and done.stdout.startswith("DEGRADED")
    finally:
        m.__exit__()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


INCOMPAT_AT, CRC_AT = 32, 4092  # docs/format.md: both in the label and in a superblock


def set_unknown_feature(path):
    with open(path, "r+b") as f:
        block = bytearray(f.read(4096))
        block[INCOMPAT_AT + 7] |= 0x80
        block[CRC_AT:CRC_AT + 4] = struct.pack("<I", crc32c(bytes(block[:CRC_AT])))
        f.seek(0)
        f.write(block)


def test_unknown_feature():
    """Of a directory: refused with a sentence. Of a volume: that volume serves nothing."""
    m = stopped()
    try:
        set_unknown_feature(m.files(".vol")[0])
        m.start()
        assert m.get(m.blobs[0]).status == 503
        assert "feature" in json.dumps(m.status()["problems"])
        assert m.stop() == 0
        set_unknown_feature(os.path.join(m.dir, "disk"))
        done = run("mini", m.dir, "--listen", "127.0.0.1:0")
        one_line(done, done.returncode, "feature")
        assert done.returncode != 0
    finally:
        m.__exit__()


def test_keys_command_before_the_first_start(tmp_path):
    for words in (("add", str(tmp_path), "backup"), ("rm", str(tmp_path), "backup")):
        done = run("keys", *words)
        assert done.returncode == 4 and "keys.json" in done.stderr and "first start" in done.stderr, done
    assert not os.listdir(tmp_path)


def test_status_command(fresh):
    done = run("status", fresh.dir)
    assert done.returncode == 0 and done.stdout.startswith("HEALTHY") and fresh.dir in done.stdout
    assert json.loads(run("status", fresh.dir, "--json").stdout)["state"] == "healthy"
    done = run("status", "--endpoint", fresh.address, "--access-key", fresh.access, "--secret-key", "x" * 40)
    assert done.returncode == 3
    assert fresh.stop() == 0
    assert run("status", fresh.dir).returncode == 6
    done = run("status", "--endpoint", fresh.address, "--access-key", "a", "--secret-key", "b")
    assert done.returncode == 6 and "Connection refused" in done.stderr


def test_drains_under_load(fresh):
    """SIGTERM while 8 clients write: whoever got a 201 finds it again, and the exit code is 0."""
    acknowledged, halt = [], threading.Event()

    def load(index):
        n = 0
        while not halt.is_set():
            n += 1
            data = b"%d/%d;" % (index, n) + bytes(500)
            try:
                acknowledged.append((fresh.put(data), data))
            except (OSError, AssertionError):
                return
    slow = fresh.connect()
    slow.connect()
    slow.sock.sendall((f"POST /blob?bucket=photos HTTP/1.1\r\nHost: h\r\nAuthorization: {fresh.bearer}\r\n"
                       "Content-Length: 10\r\n\r\nslow").encode())
    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    time.sleep(1)
    fresh.proc.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    slow.sock.sendall(b"finish")  # a request in flight may end
    answer = slow.sock.recv(4096)
    assert fresh.proc.wait(40) == 0
    halt.set()
    for t in threads:
        t.join()
    assert answer.startswith(b"HTTP/1.1 201") and len(acknowledged) > 20
    fresh.start()
    for blob, data in acknowledged:
        assert fresh.get(blob).body == data


def test_two_disks():
    """Blobs go to both; with one of them away, its blobs are 503 (not 404), and are back with it."""
    m = Mini()
    two = os.path.join(m.base, "second")
    try:
        m.start(dirs=[m.dir, two])
        blobs = {m.put(b"%d" % i): b"%d" % i for i in range(60)}
        assert len(m.status()["disks"]) == 2
        assert any(f.endswith(".vol") for f in os.listdir(two)) and m.files(".vol")
        assert m.stop() == 0
        m.start()
        answers = {b: m.get(b) for b in blobs}
        assert {a.status for a in answers.values()} == {200, 503}
        assert all(a.body == blobs[b] for b, a in answers.items() if a.status == 200)
        assert m.get("1,0-0000000000000000").status == 503, "it may be on the disk that is away"
        assert m.stop() == 0
        m.start(dirs=[m.dir, two])
        assert all(m.get(b).body == data for b, data in blobs.items())
        assert m.get("1,0-0000000000000000").status == 404
    finally:
        m.__exit__()


def test_listening_everywhere_shows_an_address_that_works(tmp_path):
    m = Mini()
    try:
        m.start(listen="0.0.0.0:0")
        port = m.address.rsplit(":", 1)[1]
        assert f"'http://127.0.0.1:{port}/blob?bucket=photos'" in m.banner
        m.address = f"127.0.0.1:{port}"
        assert m.ask("GET", "/health/live", key=False).status == 200
        assert run("status", m.dir).returncode == 0
    finally:
        m.__exit__()
