#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test. Arguments go to ctest:
#   scripts/test.sh -R worklist
# The last lines are ctest's summary; the exit code is ctest's.
#
# --tsan, first: builds under ThreadSanitizer, in build-tsan, and runs the tests of the rooms that have
# threads of their own: dimse, web and gateway. Suppressions: tests/tsan.supp.
# --asan, first: the same under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan, for all
# rooms. MODGATE_BINARY=build-asan/modgate node --test FILE runs an end-to-end test with that.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup
rooms=
case "${1:-}" in
  --tsan)
    build=$root/build-tsan rooms='dimse web gateway' flags='-fsanitize=thread'
    export TSAN_OPTIONS="suppressions=$root/tests/tsan.supp halt_on_error=1"
    ;;
  --asan)
    build=$root/build-asan rooms='mapping dimse web gateway'
    flags='-fsanitize=address,undefined -fno-sanitize-recover=all'
    ;;
esac
if [ -n "$rooms" ]; then
  shift
  read -ra tests <<<"${rooms// /_test }_test"
  CXXFLAGS="$flags -O1 -g" LDFLAGS="$flags -O1 -g" build_target modgate "${tests[@]}"
  exec ctest --test-dir "$build" --output-on-failure -R "^(${rooms// /|}): " "$@"
fi
build_target
install_node_modules
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
