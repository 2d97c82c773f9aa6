#!/usr/bin/env bash
# Measures the durable MPPS queue (tests/bench/queue_bench.cpp): modalities and a receiver over DIMSE,
# modgate between them, beside bare SQLite commits and mpps_delivery = direct, in one run; prints the
# targets, and fails where one is missed. Arguments: latency, rate, backlog; all of them without one.
# BENCH_DIRECTORY: where the queue lies, /var/tmp by default; a disk, no tmpfs. Needs a quiet machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

directory=${BENCH_DIRECTORY:-/var/tmp}
if [ "$(stat --file-system --format=%T "$directory")" = tmpfs ]; then
  echo "bench_queue.sh: $directory is no disk: set BENCH_DIRECTORY to a directory on one" >&2
  exit 2
fi
setup
build_target modgate queue_bench
exec "$build/tests/bench/queue_bench" "$build/modgate" "$directory" "$@"
