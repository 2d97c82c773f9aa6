#!/usr/bin/env bash
# Measures the web front over services in memory beside a bare cpp-httplib handler that answers the
# same bytes (tests/bench/web_bench.cpp), with wrk, in one run, and prints the ratios with what is
# wanted of them; fails where one is missed. Arguments: search, create, long, idle; all of them without
# one. Needs a quiet machine. SECONDS_EACH: how long each figure is measured, 3 by default.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

packages_of_peers+=(wrk)
setup
build_target web_bench
bench=$build/tests/bench/web_bench
each=${SECONDS_EACH:-3}
sections=" ${*:-search create long idle} "
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
    /Non-2xx|Socket errors/ { print "wrk: " $0 > "/dev/stderr"; failed = 1 }
    END { if (failed) exit 1; printf "%.1f %.4f\n", rate, p50 }'
}

# wanted NAME MEASURED "<=" | ">=" LIMIT: one row of the verdict.
wanted() {
  local verdict
  verdict=$(awk -v m="$2" -v op="$3" -v limit="$4" \
    'BEGIN { print (m != "" && (op == "<=" ? m <= limit : m >= limit)) ? "" : "missed" }')
  verdicts+=("$(printf '| %-52s | %8s | %2s %6s | %-6s |' "$1" "$2" "$3" "$4" "$verdict")")
  if [ -n "$verdict" ]; then missed=1; fi
}
quotient() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b }'; }

row() { # NAME CONNECTIONS OUR-URL BARE-URL [OUR-SCRIPT BARE-SCRIPT]; sets rates and times, ours / bare
  local ours_rate ours_p50 bare_rate bare_p50
  read -r ours_rate ours_p50 < <(measure "$3" "$2" "${5:-}")
  read -r bare_rate bare_p50 < <(measure "$4" "$2" "${6:-}")
  rates=$(quotient "$ours_rate" "$bare_rate") times=$(quotient "$ours_p50" "$bare_p50")
  printf '| %-13s | %11d | %8.0f | %8.0f | %5s | %11.3f | %11.3f | %5s |\n' "$1" "$2" \
    "$ours_rate" "$bare_rate" "$rates" "$ours_p50" "$bare_p50" "$times"
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

asked_for() { [[ $sections == *" $1 "* ]]; }

verdicts=() missed=0
printf '| %-13s | %11s | %8s | %8s | %5s | %11s | %11s | %5s |\n' what connections ours/s bare/s ratio \
  'ours p50 ms' 'bare p50 ms' ratio
echo '|---------------|------------:|---------:|---------:|------:|------------:|------------:|------:|'
if asked_for search; then
  for matches in 1 100 10000; do
    for connections in 1 16 64; do
      row "Search, $matches" $connections "$our?PatientID=$matches" "$bare?PatientID=$matches"
      case $matches:$connections in
        1:1) wanted "Search of one match, p50 at 1 connection, of bare" "$times" '<=' 1.5 ;;
        1:*) wanted "Search of one match, requests/s at $connections, of bare" "$rates" '>=' 0.6 ;;
        10000:1) wanted "Search of 10000, p50 at 1 connection, of bare" "$times" '<=' 2 ;;
        10000:*) # as long as so many connections share the processors: the time is the rate's inverse
          wanted "Search of 10000, time at $connections connections, of bare" "$(quotient 1 "$rates")" '<=' 2 ;;
      esac
    done
  done
fi
if asked_for create; then
  for connections in 1 16 64; do
    row Create $connections "$performed" "$bare" "$scratch/post.lua" "$scratch/post.lua"
    row Update $connections "$performed?update" "$bare" "$scratch/post.lua" "$scratch/post.lua"
  done
fi

if asked_for long; then
  read -r _ short < <(measure "$our?PatientID=1000" 1)
  read -r _ long < <(measure "$our?PatientID=50000" 1)
  say "a match costs $(quotient "$short" 1) µs of 1000, $(quotient "$long" 50) µs of 50000"
  wanted "cost of a match of 50000, of one of 1000" "$(quotient "$long" "$(quotient "$short" 0.02)")" '<=' 1.3

  size=$(curl -sS -o /dev/null -w '%{size_download}' "$our?PatientID=50000")
  sleep 3 # until the slabs of earlier answers have gone back (web/body.h): they would count as before
  before=$(memory "$ours" VmRSS)
  echo 5 >"/proc/$ours/clear_refs" # resets the peak
  curl -sS -o /dev/null "$our?PatientID=50000"
  peak=$(memory "$ours" VmHWM)
  say "answer of 50000: $((size / 1048576)) MiB; resident before $((before / 1024)) MiB, peak $((peak / 1024)) MiB"
  wanted "growth of memory by that answer, of its size" "$(quotient $(((peak - before) * 1024)) "$size")" '<=' 1.5
fi

if asked_for idle; then
  start fresh ours # idle connections, on a server of their own
  fresh=$started fresh_port=$said
  fresh_url="http://127.0.0.1:$fresh_port/modality-scheduled-procedure-steps?PatientID=1"
  read -r rate_before _ < <(measure "$fresh_url" 16)
  read -r _ p50_before < <(measure "$fresh_url" 1)
  start hold hold "$fresh_port" 1000
  read -r rate _ < <(measure "$fresh_url" 16)
  read -r _ p50 < <(measure "$fresh_url" 1)
  wanted "1000 idle connections: requests/s at 16, of without" "$(quotient "$rate" "$rate_before")" '>=' 0.9
  wanted "1000 idle connections: p50 at 1, of without" "$(quotient "$p50" "$p50_before")" '<=' 1.1
  wanted "1000 idle connections: resident memory, MiB" "$(quotient "$(memory "$fresh" VmRSS)" 1024)" '<=' 32
fi

echo
printf '| %-52s | %8s | %9s | %-6s |\n' 'what' measured wanted ''
echo '|------------------------------------------------------|---------:|----------:|--------|'
printf '%s\n' "${verdicts[@]}"
exit $missed
