#!/bin/sh
# gen_docs.sh [BUILD_DIR]: renews the files that are made from the program's own tables.
set -eu
build=${1:-build}
cd "$(dirname "$0")/.."
for pair in docs/kitten.1:--man packaging/kitten.bash:--bash; do
    "$build/kitten" help "${pair#*:}" > "${pair%%:*}.tmp"
    mv "${pair%%:*}.tmp" "${pair%%:*}"
done
