"""Every operation with every kind of credential, over the wire; signatures by curl and by hand."""
import hashlib
import hmac
import json
import subprocess
import time

import pytest
from kitten import run

WRONG = "Bearer KTAAAAAAAAAAAAAAAAAA:0123456789012345678901234567890123456789"


def sign(mini, method, blob, expires, access=None, secret=None):
    text = f"kitten-url-v1\n{method}\n{blob}\n{expires}\n"
    sig = hmac.new((secret or mini.secret).encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"/blob/{blob}?key={access or mini.access}&expires={expires}&sig={sig}"


def sigv4(mini, method, path, when=None, access=None, secret=None, tamper=None):
    """Fields of a signed request without query; `when`: seconds from now."""
    t = time.gmtime(time.time() + (when or 0))
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", t), time.strftime("%Y%m%d", t)
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = (f"{method}\n{path.replace(',', '%2C')}\n\nhost:{mini.address}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                 f"x-amz-date:{stamp}\n\n{names}\nUNSIGNED-PAYLOAD")
    scope = f"{day}/eu-west-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    k = ("AWS4" + (secret or mini.secret)).encode()
    for part in (day, "eu-west-1", "s3", "aws4_request"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    sig = hmac.new(k, text.encode(), hashlib.sha256).hexdigest()
    if tamper:
        sig = ("0" if sig[0] != "0" else "1") + sig[1:]
    return {"X-Amz-Date": stamp, "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={access or mini.access}/{scope}, SignedHeaders={names}, "
                             f"Signature={sig}"}


# What each kind of credential gives: (headers, path) from a request.
MODES = {
    "none": lambda m, me, p: ({}, p),
    "bearer": lambda m, me, p: ({"Authorization": m.bearer}, p),
    "bearer wrong secret": lambda m, me, p: ({"Authorization": m.bearer[:-1] + ("x" if m.bearer[-1] != "x" else "y")}, p),
    "bearer unknown key": lambda m, me, p: ({"Authorization": WRONG}, p),
    "bearer malformed": lambda m, me, p: ({"Authorization": "Bearer abc"}, p),
    "scheme unknown": lambda m, me, p: ({"Authorization": "Digest x"}, p),
    "empty": lambda m, me, p: ({"Authorization": ""}, p),
    "sigv4": lambda m, me, p: (sigv4(m, me, p), p),
    "sigv4 bad": lambda m, me, p: (sigv4(m, me, p, tamper=True), p),
    "sigv4 unknown key": lambda m, me, p: (sigv4(m, me, p, access="KTAAAAAAAAAAAAAAAAAA"), p),
    "sigv4 late": lambda m, me, p: (sigv4(m, me, p, when=-1000), p),
    "sigv4 early": lambda m, me, p: (sigv4(m, me, p, when=1000), p),
    "sigv4 other path": lambda m, me, p: (sigv4(m, me, p + "x"), p),
    "sigv4 other method": lambda m, me, p: (sigv4(m, "OPTIONS", p), p),
}
REFUSED = {"none": {401}, "bearer wrong secret": {401}, "bearer unknown key": {401}, "bearer malformed": {400},
           "scheme unknown": {401}, "empty": {400}, "sigv4 bad": {403}, "sigv4 unknown key": {403}, "sigv4 late": {403},
           "sigv4 early": {403}, "sigv4 other path": {403}, "sigv4 other method": {403}}
# (method, path, needs a key)
OPERATIONS = [("POST", "/blob", True), ("PUT", "/blob", True), ("GET", "/blob/ID", False), ("HEAD", "/blob/ID", False),
              ("DELETE", "/blob/ID", True), ("POST", "/blob/ID", True), ("PUT", "/batch", True),
              ("POST", "/batch/get", True), ("GET", "/bucket", True), ("GET", "/bucket/photos", True),
              ("PUT", "/bucket/photos", True), ("DELETE", "/bucket/nobucket", True), ("POST", "/sign", True),
              ("GET", "/status", True), ("GET", "/metrics", True), ("GET", "/health/live", False),
              ("GET", "/health/ready", False)]


@pytest.mark.parametrize("mode", MODES)
def test_every_operation(mini, mode):
    for method, path, needs_key in OPERATIONS:
        if "ID" in path:
            path = path.replace("ID", mini.put(b"matrix"))
        headers, path = MODES[mode](mini, method, path)
        before = mini.stored()
        a = mini.ask(method, path, headers=headers, key=False)
        good = mode in ("bearer", "sigv4") or (mode == "none" and not needs_key)
        if good:
            assert a.status not in (401, 403), (method, path, a)
        else:
            assert a.status in REFUSED[mode], (method, path, a)
            assert mini.stored() == before
        if a.status == 401:
            assert a.headers["www-authenticate"]


def test_wrong_secret_and_unknown_key_look_alike(mini):
    def text(bearer):
        a = mini.ask("GET", "/status", headers={"Authorization": bearer}, key=False)
        return a.status, json.loads(a.body)["error"]["code"], json.loads(a.body)["error"]["message"]
    assert text(WRONG) == text(f"Bearer {mini.access}:0123456789012345678901234567890123456789")


def test_signed_urls(mini):
    assert mini.ask("PUT", "/bucket/closed", b'{"signed_urls": true}').status in (200, 201)
    blob, other, soon = mini.put(b"closed", "closed"), mini.put(b"other", "closed"), int(time.time()) + 60
    assert mini.get(blob).status == 403
    good = sign(mini, "GET", blob, soon)
    a = mini.ask("GET", good, key=False)
    assert a.status == 200 and a.body == b"closed"
    assert mini.ask("HEAD", good, key=False).status == 200
    assert mini.ask("GET", good.replace(blob, other), key=False).status == 403
    assert mini.ask("GET", sign(mini, "PUT", blob, soon), key=False).status == 403
    assert mini.ask("GET", sign(mini, "GET", blob, int(time.time()) - 2), key=False).status == 403
    week = int(time.time()) + 7 * 86400
    assert mini.ask("GET", sign(mini, "GET", blob, week), key=False).status == 200
    for late in (week + 3600, 2**64 - 1):
        assert mini.ask("GET", sign(mini, "GET", blob, late), key=False).status == 403
    assert mini.ask("GET", good.replace(f"expires={soon}", f"expires={soon + 1}"), key=False).status == 403
    assert mini.ask("GET", sign(mini, "GET", blob, soon, secret="x" * 40), key=False).status == 403
    assert mini.ask("GET", sign(mini, "GET", blob, soon, access="KTNOBODY"), key=False).status == 403
    assert mini.ask("GET", good + "&sig=" + "0" * 64, key=False).status == 400
    assert mini.ask("GET", good.split("&sig")[0], key=False).status == 400
    assert mini.ask("GET", good).status == 400, "both a key and a signed URL"
    assert mini.ask("DELETE", good, key=False).status == 403
    assert mini.ask("DELETE", sign(mini, "DELETE", blob, soon), key=False).status == 403
    assert mini.ask("POST", sign(mini, "POST", blob, soon) + "&undelete", key=False).status == 403
    assert mini.get(blob, headers={"Authorization": WRONG}).status == 401


def curl(mini, *args, data=None):
    return subprocess.run(["curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                           f"{mini.access}:{mini.secret}", "-w", "\n%{http_code}", *args],
                          capture_output=True, input=data, timeout=30, check=True).stdout.decode().rsplit("\n", 1)


def test_curl_sigv4(mini):
    at = f"http://{mini.address}"
    unsigned = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
    body, status = curl(mini, *unsigned, "-T", "-", f"{at}/blob?bucket=photos&ttl=1000", data=b"by curl")
    assert status == "201", body
    blob = json.loads(body)["id"]
    assert curl(mini, f"{at}/blob/{blob}")[0] == "by curl"
    # The signed hash of a body that is another: curl signs the empty hash for uploads.
    body, status = curl(mini, "-T", "-", f"{at}/blob?bucket=photos", data=b"unsigned body")
    assert status == "400" and "checksum" in body
    digest = hashlib.sha256(b"exact").hexdigest()
    body, status = curl(mini, "-H", f"x-amz-content-sha256: {digest}", "-T", "-", f"{at}/blob?bucket=photos",
                        data=b"exact")
    assert status == "201", body
    body, status = curl(mini, "-H", f"x-amz-content-sha256: {digest}", "-T", "-", f"{at}/blob?bucket=photos",
                        data=b"forged")
    assert status == "400", body
    assert curl(mini, "-X", "DELETE", f"{at}/blob/{blob}")[1] == "204"
    assert mini.get(blob).status == 404


def test_unsigned_amz_field_is_refused(mini):
    headers = sigv4(mini, "GET", "/status")
    assert mini.ask("GET", "/status", headers=headers, key=False).status == 200
    for name in ("x-amz-copy-source", "x-amz-meta-a", "X-AMZ-ACL"):
        assert mini.ask("GET", "/status", headers=dict(headers, **{name: "x"}), key=False).status == 403


def test_keys_come_and_go(fresh):
    made = json.loads(run("keys", "add", fresh.dir, "second", "--json").stdout)
    bearer = {"Authorization": f"Bearer {made['access']}:{made['secret']}"}

    def eventually(status):
        for _ in range(100):
            if fresh.ask("GET", "/status", headers=bearer, key=False).status == status:
                return True
            time.sleep(0.1)
        return False
    assert eventually(200)
    listed = run("keys", "ls", fresh.dir).stdout
    assert made["access"] in listed and made["secret"] not in listed and "second" in listed
    assert run("keys", "show", fresh.dir, "second").stdout.strip() == f"{made['access']}:{made['secret']}"
    assert run("keys", "add", fresh.dir, "second").returncode == 5
    assert run("keys", "rm", fresh.dir, "second").returncode == 0
    assert eventually(401)
    assert run("keys", "rm", fresh.dir, "second").returncode == 4
    assert run("keys", "ls", "/nonexistent").returncode == 4


def test_damaged_keys_file_is_told(fresh):
    path = f"{fresh.dir}/keys.json"
    with open(path, encoding="ascii") as f:
        good = f.read()

    def eventually(state):
        for _ in range(60):
            s = fresh.status()
            if s["state"] == state:
                return s
            time.sleep(0.1)
        return None
    with open(path, "w", encoding="ascii") as f:
        f.write("{")
    assert "keys.json" in eventually("degraded")["problems"][0]
    assert fresh.log_text().count("keys not read again") == 1
    with open(path, "w", encoding="ascii") as f:
        f.write(good)
    assert eventually("healthy")
