"""Directories of real files go in by tar and by curl, and come back byte for byte."""
import json
import os
import subprocess

import pytest
from kitten import BUILD, TOP

FILES = 3000


def tree():
    """Icons when `make demo` has fetched them, else the system's C headers."""
    icons = os.path.join(TOP, ".cache", "demo", "icons", "usr", "share", "icons")
    return icons if os.path.isdir(icons) else "/usr/include"


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    at = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(["find", ".", "-type", "f", "-size", "-200k", "-print"], cwd=tree(), capture_output=True,
                            text=True, check=True).stdout.splitlines()
    names = sorted(listed)[:FILES]
    assert len(names) > 300
    subprocess.run(["tar", "cf", at / "all.tar", "-T", "-"], cwd=tree(),
                   input="\n".join(names), text=True, check=True)
    (at / "in").mkdir()
    subprocess.run(["tar", "xf", at / "all.tar", "-C", at / "in"], check=True)
    return at, len(names)


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_directory_there_and_back(fresh, subset, tmp_path, form):
    at, n = subset
    url = f"http://{fresh.address}"
    script = (f"tar c --format={form} . | curl -fsSN -H 'Authorization: {fresh.bearer}' -T- '{url}/batch?bucket=photos'"
              f" > {tmp_path}/lines")
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=at / "in", check=True, timeout=60)
    rows = [json.loads(line) for line in open(tmp_path / "lines", encoding="utf-8")]
    assert rows[-1]["summary"]["stored"] == n and rows[-1]["summary"]["failed"] == 0
    (tmp_path / "ids").write_text("".join(row["id"] + "\n" for row in rows[:-1]))
    script = (f"curl -fsS -H 'Authorization: {fresh.bearer}' --data-binary @ids '{url}/batch/get'"
              " | tar x --one-top-level=back")
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, timeout=60)
    subprocess.run(["diff", "-r", at / "in", tmp_path / "back"], check=True)
    kept = subprocess.run([os.path.join(BUILD, "kitten"), "status", fresh.dir], capture_output=True, text=True,
                          check=True)
    assert kept.stdout.startswith("HEALTHY")
