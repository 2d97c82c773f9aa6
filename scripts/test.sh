#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test. Arguments go to ctest:
#   scripts/test.sh -R worklist
# The last lines are ctest's summary; the exit code is ctest's.
#
# --tsan, first: builds under ThreadSanitizer, in build-tsan, and runs the tests of the rooms that have
# threads of their own: dimse, web and gateway. Suppressions: tests/tsan.supp.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup
if [ "${1:-}" = --tsan ]; then
  shift
  build=$root/build-tsan
  export TSAN_OPTIONS="suppressions=$root/tests/tsan.supp halt_on_error=1"
  flags="-fsanitize=thread -O1 -g"
  CXXFLAGS=$flags LDFLAGS=$flags build_target dimse_test web_test gateway_test
  exec ctest --test-dir "$build" --output-on-failure -R '^(dimse|web|gateway): ' "$@"
fi
build_target
install_node_modules
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
