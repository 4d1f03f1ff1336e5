#!/bin/sh
# usage: docs_current.sh KITTEN SOURCE_ROOT. Compares what the command table prints with the tree.
set -u
rc=0
check() {
    "$1" help "$3" | cmp - "$2" && return
    echo "$2 is stale: run 'make docs' and commit the result" >&2
    rc=1
}
check "$1" "$2/docs/kitten.1" --man
check "$1" "$2/packaging/kitten.bash" --bash
bash -n "$2/packaging/kitten.bash" || rc=1
exit $rc
