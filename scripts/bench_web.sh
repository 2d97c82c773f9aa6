#!/usr/bin/env bash
# Measures the web front over services in memory beside a bare cpp-httplib handler that answers the
# same bytes (tests/bench/web_bench.cpp), with wrk, in one run, and prints ratios. Needs a quiet
# machine. SECONDS_EACH: how long each figure is measured, 5 by default.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

command -v wrk >/dev/null || { echo "bench_web.sh needs wrk (apt-get install wrk)" >&2; exit 2; }
setup
build_target web_bench
bench=$build/tests/bench/web_bench
each=${SECONDS_EACH:-5}
scratch=$(mktemp -d)
children=()
stop() {
  local pid
  for pid in "${children[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap stop EXIT

# start NAME ARGUMENT...: sets started to its process, said to the first line it printed.
start() {
  local name=$1
  shift
  "$bench" "$@" >"$scratch/$name" &
  started=$!
  children+=("$started")
  until [ -s "$scratch/$name" ]; do
    kill -0 "$started" || { echo "$name did not start" >&2; exit 1; }
    sleep 0.05
  done
  said=$(cat "$scratch/$name")
}

# measure URL CONNECTIONS [SCRIPT]: prints requests per second and the p50 in milliseconds.
measure() {
  local script=()
  if [ -n "${3:-}" ]; then script=(-s "$3"); fi
  wrk -t1 -c"$2" -d"${each}s" --timeout 30s --latency "${script[@]}" \
    -H 'Accept: application/dicom+json' "$1" | awk '
    function ms(text) {
      if (text ~ /us$/) return text / 1000
      if (text ~ /ms$/) return text + 0
      return text * 1000
    }
    $1 == "50%" { p50 = ms($2) }
    $1 == "Requests/sec:" { rate = $2 }
    /Non-2xx|Socket errors/ { print "wrk: " $0 > "/dev/stderr" }
    END { printf "%.1f %.4f\n", rate, p50 }'
}

row() { # NAME CONNECTIONS OUR-URL BARE-URL [OUR-SCRIPT BARE-SCRIPT]
  local ours bare
  ours=$(measure "$3" "$2" "${5:-}")
  bare=$(measure "$4" "$2" "${6:-}")
  awk -v name="$1" -v connections="$2" -v ours="$ours" -v bare="$bare" 'BEGIN {
    split(ours, o, " "); split(bare, b, " ")
    printf "%-18s %4d %10.0f %10.0f %7.2f %10.3f %10.3f %7.2f\n", name, connections,
      o[1], b[1], (b[1] > 0 ? o[1] / b[1] : 0), o[2], b[2], (b[2] > 0 ? o[2] / b[2] : 0) }'
}

memory() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"; } # kB

start ours ours
ours=$started our=http://127.0.0.1:$said/modality-scheduled-procedure-steps
performed=http://127.0.0.1:$said/modality-performed-procedure-steps/1.2.3
start bare bare
bare=http://127.0.0.1:$said/steps

cat >"$scratch/post.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/dicom+json"
wrk.body = '{"00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS1"]},'
  .. '"00400244":{"vr":"DA","Value":["20261120"]},"00400245":{"vr":"TM","Value":["101500"]}}'
LUA

printf '%-18s %4s %10s %10s %7s %10s %10s %7s\n' what conn 'ours/s' 'bare/s' ratio 'ours p50' 'bare p50' ratio
for matches in 1 100 10000; do
  for connections in 1 16 64; do
    row "Search, $matches" $connections "$our?PatientID=$matches" "$bare?PatientID=$matches"
  done
done
for connections in 1 16 64; do
  row Create $connections "$performed" "$bare" "$scratch/post.lua" "$scratch/post.lua"
  row Update $connections "$performed?update" "$bare" "$scratch/post.lua" "$scratch/post.lua"
done

say "cost of a match"
for matches in 1000 50000; do
  read -r _ p50 < <(measure "$our?PatientID=$matches" 1)
  awk -v n=$matches -v ms="$p50" 'BEGIN { printf "%6d matches: %9.3f ms, %.3f µs each\n", n, ms, 1000 * ms / n }'
done

say "memory for one answer of 50000 matches"
size=$(curl -sS -o /dev/null -w '%{size_download}' "$our?PatientID=50000")
before=$(memory "$ours" VmRSS)
echo 5 >"/proc/$ours/clear_refs" # resets the peak
curl -sS -o /dev/null "$our?PatientID=50000"
awk -v before="$before" -v peak="$(memory "$ours" VmHWM)" -v size="$size" 'BEGIN {
  printf "answer %.1f MiB, resident before %.1f MiB, peak %.1f MiB: growth %.2f of the answer\n",
    size / 1048576, before / 1024, peak / 1024, (peak - before) * 1024 / size }'

say "1000 idle connections, on a server of their own"
start fresh ours
fresh=$started fresh_port=$said
read -r rate_before p50_before < <(measure "http://127.0.0.1:$fresh_port/modality-scheduled-procedure-steps?PatientID=1" 16)
start hold hold "$fresh_port" 1000
read -r rate p50 < <(measure "http://127.0.0.1:$fresh_port/modality-scheduled-procedure-steps?PatientID=1" 16)
echo "Search, 1 match, 16 connections: $rate_before/s, p50 $p50_before ms without; $rate/s, $p50 ms with; resident $(memory "$fresh" VmRSS) kB"
