#!/usr/bin/env bash
# Runs one benchmark: scripts/bench.sh NAME [ARGUMENT…] is scripts/bench_NAME.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

name=${1:-}
script=$here/bench_$name.sh
if [ -z "$name" ] || [ ! -x "$script" ]; then
  names=$(printf '%s\n' "$here"/bench_*.sh | sed 's/.*bench_\(.*\)\.sh/\1/' | paste -sd' ')
  echo "usage: bench.sh NAME [ARGUMENT…]; there is $names" >&2
  exit 2
fi
shift
exec "$script" "$@"
