#!/usr/bin/env bash
# Shows modgate between real peers, in both directions:
#
#   findscu ──DIMSE──► modgate ──HTTP──► modgate ──DIMSE──► wlmscpfs  (DCMTK, its example worklist)
#   curl ────HTTP────►    "                 "    ──DIMSE──► an MPPS SCP (dcmjs-dimse)
#
# It is one modgate: its DIMSE front asks its own web front as origin server, so one query crosses
# DIMSE → HTTP → DIMSE. Prints questions with their real answers and stays up until Ctrl-C; with --once
# it ends after the demonstration. MODGATE_BINARY: show this program instead of building one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

once=no
case "${1:-}" in
  --once) once=yes ;;
  '') ;;
  *) echo "usage: run.sh [--once]" >&2; exit 2 ;;
esac

modgate=${MODGATE_BINARY:-}
if [ -z "$modgate" ]; then
  setup
  build_target modgate
  install_node_modules
  modgate=$build/modgate
fi

scratch=$(mktemp -d)
children=()

stop() {
  trap - EXIT
  trap '' INT TERM
  local pid
  for pid in "${children[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${children[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap stop EXIT
trap 'echo; say "stopping"; stop; exit 0' INT TERM

# start NAME COMMAND...: in the background, its output in $scratch/NAME.log.
start() {
  local name=$1
  shift
  "$@" >"$scratch/$name.log" 2>&1 </dev/null &
  children+=($!)
}

# until_ready NAME COMMAND...: until the command succeeds; at most ten seconds, and only while NAME,
# started last, runs.
until_ready() {
  local name=$1 pid=${children[-1]} end=$((SECONDS + 10))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null || [ $SECONDS -ge $end ]; then
      echo "$name did not start:" >&2
      cat "$scratch/$name.log" >&2
      exit 1
    fi
    sleep 0.05
  done
}

# show COMMAND...: prints a command as one would type it, then its answer.
show() {
  printf '$'
  local word
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_.:=/+-]+$ ]]; then printf ' %s' "$word"; else printf " '%s'" "$word"; fi
  done
  echo
  "$@" 2>&1
  echo
}

# Four ports nobody listens on, below those that the kernel hands out.
ports=$(node -e '
  const net = require("net");
  const free = [];
  (function next() {
    if (free.length === 4) return console.log(free.join(" "));
    const port = 20000 + Math.floor(Math.random() * 12000);
    const server = net.createServer();
    server.once("error", next);
    server.listen(port, () => server.close(() => { free.includes(port) || free.push(port); next(); }));
  })();')
read -r ris_port mpps_port dimse_port web_port <<<"$ports"

say "starting a legacy RIS: wlmscpfs over DCMTK's example worklist"
mkdir -p "$scratch/worklists/OFFIS"
touch "$scratch/worklists/OFFIS/lockfile"
for dump in "$(examples)"/wlistdb/OFFIS/*.dump*; do
  item=$(basename "$dump" .gz)
  zcat -f "$dump" >"$scratch/$item"
  dump2dcm -q -g "$scratch/$item" "$scratch/worklists/OFFIS/${item%.dump}.wl"
done
start wlmscpfs wlmscpfs -csk -dhl -dfp "$scratch/worklists" "$ris_port"
until_ready wlmscpfs echoscu -aec OFFIS 127.0.0.1 "$ris_port"
start mpps_scp node "$root/tests/end_to_end/support/mpps_scp.js" "$mpps_port"
until_ready mpps_scp grep -q '^ready' "$scratch/mpps_scp.log"

say "starting modgate in front of it, in both directions"
mkdir "$scratch/state"
cat >"$scratch/modgate.ini" <<INI
[gateway]
state_dir = $scratch/state

[web]
bind = 127.0.0.1
port = $web_port
worklist = legacy
mpps = mpps

[dimse]
ae_title = MODGATE
bind = 127.0.0.1
port = $dimse_port
worklist = webback
mpps = webback

[backend webback]
kind = origin-server
base_uri = http://127.0.0.1:$web_port/

[backend legacy]
kind = scp
ae_title = OFFIS
host = 127.0.0.1
port = $ris_port

[backend mpps]
kind = scp
ae_title = RIS
host = 127.0.0.1
port = $mpps_port
INI
cat "$scratch/modgate.ini"
start modgate "$modgate" --config "$scratch/modgate.ini"
until_ready modgate grep -q '^ready' "$scratch/modgate.log"
grep '^ready' "$scratch/modgate.log"

web=http://127.0.0.1:$web_port
accept='Accept: application/dicom+json'
type='Content-Type: application/dicom+json'

echo
say "a web-only system asks the legacy RIS: HTTP → DIMSE"
show curl -sS --fail-with-body -H "$accept" "$web/modality-scheduled-procedure-steps?AccessionNumber=00000"

say "a modality asks: DIMSE → HTTP → DIMSE"
show findscu -W +sr -aec MODGATE 127.0.0.1 "$dimse_port" -k 'PatientName=VIVALDI*' -k PatientID \
  -k 'ScheduledProcedureStepSequence[0].Modality' \
  -k 'ScheduledProcedureStepSequence[0].ScheduledStationAETitle'

say "a performed procedure step: created, updated and retrieved over the web, kept by a DIMSE SCP"
uid=2.25.$(node -p 'String(BigInt("0x" + crypto.randomUUID().replaceAll("-", "")))')
step=$web/modality-performed-procedure-steps/$uid
created='{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "VIVALDI^ANTONIO"}]},
  "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00400340": {"vr": "SQ"}}'
updated='{"00400252": {"vr": "CS", "Value": ["COMPLETED"]},
  "00400340": {"vr": "SQ", "Value": [{"0020000E": {"vr": "UI", "Value": ["1.2.276.0.7230010.3.2.101.1"]}}]}}'
show curl -sS --fail-with-body -w '%{http_code} %header{location}' -H "$type" -d "$created" "$step"
show curl -sS --fail-with-body -w '%{http_code}' -H "$type" -d "$updated" "$step?update"
show curl -sS --fail-with-body -H "$accept" "$step"

if [ $once = yes ]; then
  say "done"
  exit 0
fi

say "all of it stays up until Ctrl-C. To try:"
cat <<TRY
  curl -H 'Accept: application/dicom+json' '$web/modality-scheduled-procedure-steps?PatientName=HAYDN*'
  curl -H 'Accept: application/dicom+json' '$web/modality-scheduled-procedure-steps?00400100.00080060=CT&limit=2'
  findscu -W +sr -aec MODGATE 127.0.0.1 $dimse_port -k PatientName -k 'ScheduledProcedureStepSequence[0].Modality=CT'
  echoscu -v -aec MODGATE 127.0.0.1 $dimse_port
  curl -H 'Accept: application/dicom+json' '$step?includefield=PerformedProcedureStepStatus'
  cat $scratch/modgate.log
TRY
wait -n "${children[@]}" || true
echo "one of the programs has ended:" >&2
tail -n 5 "$scratch"/*.log >&2
exit 1
