#!/usr/bin/env bash
# Builds the fuzz targets (clang, libFuzzer, ASan + UBSan) and runs each for SECONDS, from its corpus
# and with what earlier runs found in build-fuzz/found. A finding stays in build-fuzz/findings, is
# printed, and fails the script; it belongs into tests/fuzz/corpus and a test.
#
#   scripts/fuzz.sh SECONDS [TARGET…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

seconds=${1:?usage: fuzz.sh SECONDS [TARGET…]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(json xml query data_set dimse); fi

packages_to_build+=(clang libclang-rt-14-dev)
setup
fuzz=$root/build-fuzz
sanitize="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -O1 -g"
sanitize+=" -fsanitize-ignorelist=$root/tests/fuzz/sanitizer_ignorelist.txt"
cmake -S "$root" -B "$fuzz" -G Ninja -DMODGATE_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="$sanitize" >/dev/null
ninja -C "$fuzz" -j2 "${targets[@]/%/_fuzz}"
mkdir -p "$fuzz/findings"
failed=0
for target in "${targets[@]}"; do
  mkdir -p "$fuzz/found/$target"
  say "$target: $seconds seconds"
  "$fuzz/tests/fuzz/${target}_fuzz" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$fuzz/findings/$target-" \
    "$fuzz/found/$target" "$root/tests/fuzz/corpus/$target" >"$fuzz/$target.log" 2>&1 || failed=1
  grep -E 'stat::number_of_executed_units|ERROR|SUMMARY|Test unit written|check.h|_fuzz.cpp:' "$fuzz/$target.log" || true
done
exit $failed
