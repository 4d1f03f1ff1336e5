#!/usr/bin/env python3
"""House rules that no compiler checks (STYLE.md says why each exists).

usage: tools/tidy.py [--prune]

Prints `path:line: rule: what to do` for each finding and exits 1 when there is one. Exceptions stand in
tools/tidy-exceptions.txt, one `rule path[:detail]  # why` a line; that list may only shrink: --prune removes
the lines that nothing needs any more.
"""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXCEPTIONS = "tools/tidy-exceptions.txt"

LINE_MAX, FUNCTION_MAX, C_MAX, H_MAX, PARAMS_MAX, NESTING_MAX = 100, 70, 1000, 200, 6, 4

# call -> what to use instead; banned in src/ and tests/
BANNED = {
    "strcpy": "memcpy with a length, or buf_add_str", "strcat": "buf_add_str", "stpcpy": "memcpy",
    "strncpy": "memcpy with a length", "strncat": "buf_add", "sprintf": "snprintf or buf_addf",
    "vsprintf": "vsnprintf or buf_addf", "strtok": "slice_find and slice_sub",
    "strtok_r": "slice_find and slice_sub", "atoi": "dec_to_u64", "atol": "dec_to_u64", "atoll": "dec_to_u64",
    "gets": "fgets",
    "alloca": "an arena", "rand": "rand_u64 or rt_random", "srand": "rand_init", "random": "rand_u64",
    "localtime": "gmtime_r", "gmtime": "gmtime_r", "ctime": "a formatter of codec/", "asctime": "a formatter of codec/",
    "setjmp": "an error return", "longjmp": "an error return", "system": "nothing: kitten starts no programs",
    "popen": "nothing: kitten starts no programs",
}
# banned in src/ outside src/rt/
OS_CALLS = {
    "strtol": "dec_to_u64", "strtoul": "dec_to_u64", "strtoull": "dec_to_u64",
    "malloc": "mem_alloc or mem_try_alloc", "calloc": "mem_zalloc", "realloc": "mem_realloc", "free": "mem_free",
    "strdup": "arena_dup", "strndup": "arena_dup",
    "read": "rt_recv or rt_file_pread", "write": "rt_sendv or rt_file_pwritev", "readv": "rt_file_pread",
    "writev": "rt_sendv", "pread": "rt_file_pread", "pwrite": "rt_file_pwritev", "preadv": "rt_file_pread",
    "preadv2": "rt_file_pread", "pwritev": "rt_file_pwritev", "open": "rt_file_open", "openat": "rt_file_open",
    "fopen": "rt_file_open", "close": "rt_close or rt_file_close", "socket": "rt_listen or rt_connect",
    "bind": "rt_listen", "listen": "rt_listen", "accept": "rt_accept", "accept4": "rt_accept",
    "connect": "rt_connect", "send": "rt_sendv", "sendto": "rt_sendv", "sendmsg": "rt_sendv",
    "sendfile": "rt_sendv of verified bytes", "recv": "rt_recv", "recvfrom": "rt_recv", "recvmsg": "rt_recv",
    "shutdown": "rt_shutdown", "poll": "a wait of rt/", "ppoll": "a wait of rt/", "select": "a wait of rt/",
    "epoll_create1": "rt_park", "epoll_ctl": "rt_park", "epoll_wait": "rt_park", "fsync": "rt_file_sync",
    "fdatasync": "rt_file_datasync", "sync_file_range": "rt_file_datasync", "ftruncate": "rt_file_truncate",
    "fallocate": "rt_file_truncate", "posix_fadvise": "rt_file_advise", "mmap": "mem_alloc or a read of rt/",
    "rename": "rt_file_rename", "renameat": "rt_file_rename", "unlink": "rt_file_unlink",
    "unlinkat": "rt_file_unlink", "mkdir": "rt_dir_open", "opendir": "rt_dir_list", "stat": "rt_file_stat",
    "fstat": "rt_file_stat", "lstat": "rt_file_stat", "flock": "rt_file_lock", "fcntl": "a call of rt/",
    "pthread_create": "rt_go or rt_offload", "pthread_cond_wait": "rt_cond_wait",
    "pthread_cond_timedwait": "rt_cond_wait", "sem_wait": "rt_sem_take", "clock_gettime": "rt_now_ns or rt_wall_ns",
    "gettimeofday": "rt_wall_ns", "time": "rt_wall_ns", "nanosleep": "rt_sleep_until",
    "clock_nanosleep": "rt_sleep_until", "usleep": "rt_sleep_until", "sleep": "rt_sleep_until",
    "getaddrinfo": "rt_resolve", "getrandom": "rt_random", "fork": "nothing: kitten starts no programs",
    "execve": "nothing: kitten starts no programs", "signal": "rt_wait_stop", "sigaction": "rt_wait_stop",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted(set(BANNED) | set(OS_CALLS), key=len, reverse=True)) + r")\s*\(")
CODE_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/\w")


def blank(match):
    """Comments and literals become blanks of the same shape."""
    text = match.group(0)
    return re.sub(r"[^\n]", " ", text) if text[0] == "/" else text[0] + " " * (len(text) - 2) + text[-1]


class Tidy:
    def __init__(self):
        self.findings = []
        self.exceptions = {}
        self.used = set()
        self.files = {}
        self.code = {}

    # ---- input ----

    def load(self):
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, check=True,
                                stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for path in listed:
            full = os.path.join(TOP, path)
            if "/corpus/" in path or not os.path.isfile(full) or os.path.getsize(full) > 1 << 20:
                continue
            with open(full, "rb") as file:
                data = file.read()
            try:
                self.files[path] = data.decode("utf-8")
            except UnicodeDecodeError:
                continue
        for path, text in self.files.items():
            if path.endswith((".c", ".h")):
                self.code[path] = CODE_OR_TEXT.sub(blank, text)
        for line in self.files.get(EXCEPTIONS, "").splitlines():
            words = line.split("#")[0].split()
            if len(words) == 2:
                self.exceptions[tuple(words)] = line
            elif words:
                self.find(EXCEPTIONS, 0, "exceptions", f"can't read '{line}'")

    def find(self, path, line, rule, what, detail=""):
        for key in ((rule, path), (rule, f"{path}:{detail}")):
            if key in self.exceptions:
                self.used.add(key)
                return
        self.findings.append((path, line, rule, what))

    # ---- rules ----

    def layers(self):
        order = {}
        for line in self.files["tools/layers.txt"].splitlines():
            words = line.split("#")[0].split()
            if len(words) == 2:
                order[words[1]] = int(words[0])
        for path in self.code:
            parts = path.split("/")
            if parts[0] != "src" or len(parts) < 3:
                continue
            own = parts[1]
            if own not in order:
                self.find(path, 1, "layers", f"folder '{own}' is not in tools/layers.txt")
                continue
            for n, line in enumerate(self.files[path].splitlines(), 1):
                m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if not m:
                    continue
                folder = m.group(1).split("/")[0] if "/" in m.group(1) else own
                if folder != own and order.get(folder, 99) >= order[own]:
                    self.find(path, n, "layers", f"{own} ({order[own]}) may not include {m.group(1)}: only its own "
                              "folder and lower layers")

    def lines(self):
        for path, text in self.files.items():
            source = path.endswith((".c", ".h", ".py", ".sh", ".S")) or path in ("Makefile", ".ci/run")
            rows = text.split("\n")
            for n, row in enumerate(rows, 1):
                if path.endswith((".c", ".h")) and len(row) > LINE_MAX:
                    self.find(path, n, "line-length", f"{len(row)} columns, at most {LINE_MAX}")
                if source and path != "Makefile" and "\t" in row:
                    self.find(path, n, "tab", "indent with spaces")
                if source and row != row.rstrip():
                    self.find(path, n, "blanks", "trailing blanks")
                if source and path != "tools/tidy.py" and re.search(r"\b(TODO|FIXME|XXX)\b", row):
                    self.find(path, n, "todo", "do it, or file an issue")
                if path != "tools/tidy.py" and MACHINE_PATH.search(row):
                    self.find(path, n, "machine-path", "a path of somebody's machine")
            if path.endswith(".c") and path.startswith("src/") and len(rows) > C_MAX:
                self.find(path, 1, "file-length", f"{len(rows)} lines, at most {C_MAX}")
            if path.endswith(".h") and path.startswith("src/") and len(rows) > H_MAX:
                self.find(path, 1, "file-length", f"{len(rows)} lines, at most {H_MAX}")

    def functions(self):
        for path, code in self.code.items():
            rows = code.split("\n")
            n = 0
            while n < len(rows):
                if rows[n] != "{" or n == 0 or not rows[n - 1].rstrip().endswith((")", "KT_YIELDS")):
                    n += 1
                    continue
                first = n - 1
                while first > 0 and rows[first - 1].strip() and not rows[first - 1].rstrip().endswith((";", "}", "\\")) \
                        and not rows[first - 1].startswith("#"):
                    first -= 1
                last = n
                while last < len(rows) - 1 and not rows[last].startswith("}"):
                    last += 1
                self.function(path, " ".join(rows[first:n]), rows[n:last + 1], first + 1)
                n = last + 1

    def function(self, path, signature, body, line):
        m = re.search(r"(\w+)\s*\(", signature)
        name = m.group(1) if m else "?"
        if len(body) > FUNCTION_MAX:
            self.find(path, line, "function-length", f"{name} has {len(body)} lines, at most {FUNCTION_MAX}", name)
        depth = deepest = commas = 0
        for c in signature[m.end():] if m else "":
            depth += (c == "(") - (c == ")")
            if depth < 0:
                break
            commas += c == "," and depth == 0
        if commas + 1 > PARAMS_MAX:
            self.find(path, line, "parameters", f"{name} takes {commas + 1}, at most {PARAMS_MAX}: use an options struct",
                      name)
        depth = 0
        for c in "".join(body):
            depth += (c == "{") - (c == "}")
            deepest = max(deepest, depth)
        if deepest - 1 > NESTING_MAX:
            self.find(path, line, "nesting", f"{name} nests {deepest - 1} deep, at most {NESTING_MAX}", name)

    def banned(self):
        for path, code in self.code.items():
            if not path.startswith(("src/", "tests/")):
                continue
            in_rt = path.startswith("src/rt/")
            for n, row in enumerate(code.split("\n"), 1):
                if row.startswith("#"):
                    continue
                for m in CALL.finditer(row):
                    name = m.group(1)
                    if name == "system" and path.startswith("tests/"):
                        continue
                    if name in BANNED:
                        self.find(path, n, "banned", f"{name}(): use {BANNED[name]}", name)
                    elif path.startswith("src/") and not in_rt and not path.startswith("src/base/buf.c"):
                        self.find(path, n, "os-call", f"{name}() outside src/rt: use {OS_CALLS[name]}", name)

    def headers(self):
        for path, text in self.files.items():
            if not (path.startswith("src/") and path.endswith(".h")):
                continue
            if path.endswith("_list.h"):  # included several times by design
                if not text.startswith("/*"):
                    self.find(path, 1, "contract", "say at the top what a row means")
                continue
            end = text.find("*/")
            if not text.startswith("/*") or end < 80:
                self.find(path, 1, "contract", "open with the contract: what it is, model, invariants, threads, errors")
            guard = "KT_" + re.sub(r"\W", "_", path[len("src/"):-2]).upper() + "_H"
            if f"#ifndef {guard}\n#define {guard}\n" not in text:
                self.find(path, 1, "guard", f"the include guard must be {guard}")

    def tables(self):
        """Each error code, fault point, planted bug and metric is used by the program and by a test."""
        src = "\n".join(t for p, t in self.code.items() if p.startswith("src/"))
        tests = "\n".join(t for p, t in self.files.items() if p.startswith("tests/") or p == "tools/run-tests.py")
        words_src, words_tests = set(re.findall(r"\w+", src)), set(re.findall(r"\w+", re.sub(r"\\[nrt]", " ", tests)))
        exposed = dict(re.findall(r'^METRIC\((\w+), "(\w+)"', self.files.get("src/obs/metric_list.h", ""), re.M))
        faults = set(re.findall(r"\bFAULT\((\w+)\)", src))
        bugs = set(re.findall(r"\bBUG\((\w+)\)", src))
        for path, macro, used, tested in (
                ("src/base/err_list.h", "ERR", lambda n: f"KT_ERR_{n}" in words_src,
                 lambda n: f"KT_ERR_{n}" in words_tests),
                ("src/base/fault_list.h", "FAULT_POINT", lambda n: n in faults,
                 lambda n: f"FAULT_{n}" in words_tests or n.lower() in words_tests),
                ("src/base/fault_list.h", "PLANTED_BUG", lambda n: n in bugs,
                 lambda n: f"BUG_{n}" in words_tests or n.lower() in words_tests),
                ("src/obs/metric_list.h", "METRIC", lambda n: f"METRIC_{n}" in words_src,
                 lambda n: f"METRIC_{n}" in words_tests or exposed.get(n) in words_tests)):
            for n, row in enumerate(self.files.get(path, "").splitlines(), 1):
                m = re.match(macro + r"\((\w+)", row)
                if not m:
                    continue
                if not used(m.group(1)):
                    self.find(path, n, "unused", f"{macro}({m.group(1)}) is used nowhere in src/", m.group(1))
                if not tested(m.group(1)):
                    self.find(path, n, "untested", f"{macro}({m.group(1)}) is in no test", m.group(1))

    def dead_files(self):
        builds = {os.path.dirname(p): t for p, t in self.files.items() if os.path.basename(p) == "meson.build"}
        for path in self.files:
            if not path.endswith((".c", ".S")) or not path.startswith(("src/", "tests/")):
                continue
            folder, text = os.path.dirname(path), ""
            while folder:
                text += builds.get(folder, "")
                folder = os.path.dirname(folder)
            text += builds.get("", "")
            base = os.path.basename(path)
            stem = re.sub(r"^(test|fuzz)_", "", base.rsplit(".", 1)[0])
            if not re.search(rf"\b{re.escape(base)}\b", text) and not re.search(rf"'{re.escape(stem)}'", text):
                self.find(path, 1, "dead-file", "no meson.build names it")

    # ---- output ----

    def prune(self):
        keep = []
        for line in self.files.get(EXCEPTIONS, "").splitlines():
            words = tuple(line.split("#")[0].split())
            if not words or words in self.used:
                keep.append(line)
        with open(os.path.join(TOP, EXCEPTIONS), "w", encoding="utf-8") as file:
            file.write("\n".join(keep) + "\n")

    def run(self, args):
        self.load()
        for rule in (self.layers, self.lines, self.functions, self.banned, self.headers, self.tables, self.dead_files):
            rule()
        for path, line, rule, what in sorted(self.findings):
            print(f"{path}:{line}: {rule}: {what}")
        stale = [k for k in self.exceptions if k not in self.used]
        if "--prune" in args:
            self.prune()
        elif stale:
            print(f"tidy: {len(stale)} lines of {EXCEPTIONS} are needed no more: run tools/tidy.py --prune")
        return 1 if self.findings else 0


if __name__ == "__main__":
    sys.exit(Tidy().run(sys.argv[1:]))
