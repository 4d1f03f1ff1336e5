#!/bin/bash
# setup: installs the Debian packages of tools/packages.txt that are missing.
# usage: tools/setup.sh [LIST...]      (LIST: also those of tools/packages-LIST.txt)
# Silent when everything is there. Asks first on a terminal, unless CI or KITTEN_YES is set.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

lists=(tools/packages.txt)
for list; do
    [ -f "tools/packages-$list.txt" ] || fail "there is no tools/packages-$list.txt"
    lists+=("tools/packages-$list.txt")
done
wanted=$(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "${lists[@]}" | sort -u)
if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is not a Debian system; please install what ${lists[*]} names" >&2
    exit 0
fi
# Names that are installed now, a virtual name (pkg-config on newer systems) counting as its provider.
# shellcheck disable=SC2016
have=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' 2>/dev/null |
    sed -n 's/^installed //p' | sed -e 's/([^)]*)//g' | tr ',' '\n' | tr -d ' ' | sed '/^$/d' | sort -u)
missing=$(comm -23 <(echo "$wanted") <(echo "$have") | tr '\n' ' ')
[ -n "${missing// /}" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        fail "missing packages: $missing- run 'apt-get install $missing' as root, then try again"
    as_root=(sudo)
fi
echo "setup: these Debian packages are missing: $missing"
if [ -z "${CI:-}${KITTEN_YES:-}" ]; then
    [ -t 0 ] || fail "not installing without being asked: run 'make setup' on a terminal, or set KITTEN_YES=1"
    read -r -p "setup: install them with apt-get now? [Y/n] " answer
    case "$answer" in '' | y | Y | yes) ;; *) fail "nothing installed" ;; esac
fi

install_missing() {
    # shellcheck disable=SC2086
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        $missing </dev/null >"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A fresh system has no package lists, an old one has stale lists: update only when the first try fails.
if ! install_missing; then
    echo "setup: updating the package lists"
    "${as_root[@]}" apt-get update -q </dev/null >"$log" 2>&1 || { tail -n 15 "$log" >&2; fail "apt-get update failed"; }
    install_missing || { tail -n 15 "$log" >&2; fail "apt-get install failed; the lines above say why"; }
fi
echo "setup: done"
