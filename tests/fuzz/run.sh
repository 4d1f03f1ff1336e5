#!/bin/bash
# Fuzzes every decoder for SECONDS each (default: FUZZ_SECONDS, else 60), or only the target named by FUZZ.
# New inputs that reach new code stay in build-fuzz/corpus/NAME; a failing input is kept in build-fuzz/crash-*
# and makes the script fail. To keep it as a regression, copy it to tests/fuzz/corpus/NAME.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-${FUZZ_SECONDS:-60}}
dir=build-fuzz
[ -f $dir/build.ninja ] || CC=clang meson setup $dir -Dfuzz=true >/dev/null
ninja -C $dir --quiet >$dir/build.log 2>&1 || { tail -40 $dir/build.log; exit 1; }
passed=0 failed=0
for target in $dir/tests/fuzz/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    name=${target##*/fuzz_}
    [ -z "${FUZZ:-}" ] || [ "$FUZZ" = "$name" ] || continue
    mkdir -p "$dir/corpus/$name"
    if "$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$dir/crash-$name-" "$dir/corpus/$name" "tests/fuzz/corpus/$name" >"$dir/$name.log" 2>&1
    then
        echo "ok - $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$name.log" | tail -1) runs"
        passed=$((passed + 1))
    else
        tail -40 "$dir/$name.log"
        echo "not ok - $name: see $dir/$name.log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
