"""The examples of docs/http-api.md, and the lines that the banner says to paste, do what they say."""
import os
import re
import subprocess

from kitten import BUILD, TOP, run


def shell(script, cwd, mini):
    env = dict(os.environ, PATH=BUILD + ":" + os.environ["PATH"])
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=cwd, env=env, capture_output=True,
                          text=True, timeout=60, check=False)


def test_http_api_examples(fresh, tmp_path):
    with open(os.path.join(TOP, "docs", "http-api.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```sh\n(.*?)```", f.read(), re.S)
    assert len(blocks) >= 8
    script = "\n".join(blocks).replace("127.0.0.1:9000", fresh.address).replace("./data", fresh.dir)
    done = shell(script, tmp_path, fresh)
    assert done.returncode == 0, done.stdout + done.stderr


def test_banner_lines(fresh, tmp_path):
    lines = [line.strip() for line in fresh.banner.split("paste this:")[1].splitlines()]
    lines = [line for line in lines if line and "Ctrl-C" not in line]
    assert len(lines) == 5
    (tmp_path / "a.txt").write_text("alpha")
    done = shell("\n".join(lines), tmp_path, fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    with open("/etc/hostname", encoding="utf-8") as f:
        assert f.read() in done.stdout
    assert '"complete":true' in done.stdout and "HEALTHY" in done.stdout


def test_first_banner_shows_the_secret_once(fresh):
    assert fresh.secret in fresh.banner and fresh.access in fresh.banner
    assert f"http://{fresh.address}" in fresh.banner and "photos" in fresh.banner
    assert fresh.stop() == 0
    fresh.start()
    assert fresh.secret not in fresh.banner and fresh.access in fresh.banner
    assert fresh.secret not in fresh.log_text()


def test_help_names_every_command():
    text = run("help").stdout
    for name in ("mini", "keys ls", "keys add", "keys rm", "keys show", "status", "sign", "version"):
        assert name in text
        assert run("help", *name.split()).returncode == 0
