"""Faults under a running server: kill -9, a full disk, flipped bits."""
import http.client
import json
import os
import random
import subprocess
import threading
import time

import pytest
from kitten import Mini


def test_kill_loses_nothing_acknowledged(fresh):
    rng = random.Random(3)
    promised, gone = {}, []
    for _ in range(5):
        stop = threading.Event()

        def load(seed):
            r = random.Random(seed)
            while not stop.is_set():
                data = r.randbytes(r.randrange(3000))
                try:
                    promised[fresh.put(data)] = data
                except (OSError, AssertionError):
                    return
        threads = [threading.Thread(target=load, args=(rng.random(),)) for _ in range(6)]
        for t in threads:
            t.start()
        stop.wait(0.4)
        fresh.kill()
        stop.set()
        for t in threads:
            t.join()
        fresh.start()
        for blob, data in promised.items():
            assert fresh.get(blob).body == data
        for blob in gone:
            assert fresh.get(blob).status == 404
        for blob in list(promised)[:10]:
            assert fresh.ask("DELETE", "/blob/" + blob).status == 204
            gone.append(blob)
            del promised[blob]
    assert len(promised) > 50


@pytest.fixture
def small_disk(tmp_path):
    """An ext4 of 96 MiB, where the machine allows it."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a loop mount")
    image, at = tmp_path / "image", tmp_path / "mnt"
    at.mkdir()
    with open(image, "wb") as f:
        f.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, at], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", at], capture_output=True, text=True,
                              check=False)
    if done.returncode != 0:
        pytest.skip("can't mount here: " + done.stderr.strip())
    yield str(at)
    subprocess.run(["umount", "-l", at], check=True)


def test_full_disk(small_disk):
    """507 for writes; reads, deletes and the status go on; space returns and so do writes."""
    with Mini("--max-blob", "4MiB", "--volume-limit", "16MiB", "--reserve", "4MiB", base=small_disk) as m:
        blobs, data = [], random.Random(4).randbytes(1 << 20)
        for _ in range(120):
            a = m.ask("POST", "/blob?bucket=photos", data)
            if a.status != 201:
                break
            blobs.append(json.loads(a.body)["id"])
        assert a.status == 507 and json.loads(a.body)["error"]["code"] == "no_space", a
        assert len(blobs) > 30
        assert m.get(blobs[0]).body == data and m.get(blobs[-1]).body == data
        assert m.ask("DELETE", "/blob/" + blobs[0]).status == 204
        assert m.get(blobs[0]).status == 404
        for _ in range(100):  # the file system's own count of free space lags: it may take some more
            m.ask("POST", "/blob?bucket=photos", bytes(300000))
            s = m.status()
            if s["state"] == "degraded":
                break
            time.sleep(0.1)
        assert s["state"] == "degraded" and s["disks"][0]["state"] == "full", json.dumps(s, indent=1)
        assert "full disk" in s["problems"][0]
        assert m.ask("GET", "/health/ready", key=False).status == 200
        m.kill()
        m.start()
        assert m.get(blobs[1]).body == data and m.get(blobs[0]).status == 404


def test_space_that_returns(small_disk):
    filler = os.path.join(small_disk, "filler")
    with Mini("--max-blob", "4MiB", "--volume-limit", "16MiB", "--reserve", "4MiB", base=small_disk) as m:
        m.put(b"before")
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(bytes(1 << 20))
                    f.flush()
            except OSError:
                pass
        for _ in range(100):
            a = m.ask("POST", "/blob?bucket=photos", bytes(100000))
            if a.status == 507:
                break
        assert a.status == 507, a
        os.unlink(filler)
        for _ in range(100):
            a = m.ask("POST", "/blob?bucket=photos", bytes(100000))
            if a.status == 201:
                break
            time.sleep(0.1)
        assert a.status == 201, a


def test_bit_flips_are_errors_never_bytes():
    """Every byte of a volume's log may flip: the answer is the right bytes or an error."""
    rng = random.Random(5)
    with Mini() as m:
        blobs = {}
        for i in range(30):
            data = rng.randbytes(rng.choice([10, 900, 5000, 150000]))
            blobs[m.put(data)] = data
        assert m.stop() == 0
        path = m.files(".vol")[0]
        with open(path, "rb") as f:
            image = f.read()
        wrong = 0
        m.start()
        for _ in range(60):
            at = rng.randrange(12288, len(image))
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([image[at] ^ (1 << rng.randrange(8))]))
            for blob, data in rng.sample(list(blobs.items()), 10):
                try:
                    a = m.get(blob)
                except http.client.IncompleteRead as cut:
                    assert data.startswith(cut.partial)
                    wrong += 1
                    continue
                if a.status == 200:
                    assert a.body == data
                else:
                    assert a.status == 500 and json.loads(a.body)["error"]["code"] == "corrupt", a
                    wrong += 1
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(image[at:at + 1])
        # One that is sure to be met.
        victim = max(blobs, key=lambda b: len(blobs[b]))
        at = image.index(blobs[victim][1000:1100])
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(b"\0" if image[at] else b"\1")
        assert m.get(victim).status == 500
        assert m.get(victim, headers={"Range": "bytes=0-999"}).status == 500
        assert m.get(victim, headers={"Range": "bytes=70000-70999"}).body == blobs[victim][70000:71000]
        for blob, data in blobs.items():
            assert blob == victim or m.get(blob).body == data
