#!/bin/sh
# Builds the runtime and test_ctx.c for aarch64 and runs them under qemu-user. Prints TAP.
# usage: aarch64.sh TOP-OF-THE-TREE
set -eu
cd "$1"
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "1..0 # SKIP not run: no $tool"; exit 0; }
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
$cc -static -O2 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-format-truncation -Isrc -fno-omit-frame-pointer -fno-strict-aliasing \
    -fstack-clash-protection -pthread -o "$out/test_ctx" tests/unit/rt/test_ctx.c \
    src/rt/addr.c src/rt/backend_linux.c src/rt/ctx.c src/rt/ctx_*.S src/rt/fiber.c src/rt/file.c src/rt/group.c \
    src/rt/linux_*.c src/rt/loop.c src/rt/net.c src/rt/offload.c src/rt/run.c src/rt/stop.c src/rt/sync.c src/rt/timer.c \
    src/base/err.c src/base/assert.c 2>"$out/log" || { cat "$out/log" >&2; echo "not ok - build"; exit 1; }
timeout 60 qemu-aarch64 "$out/test_ctx"
