#!/usr/bin/env bash
# run.sh: builds Cohort, starts a coordinator and shards under mpirun on a temporary data directory, drives them with signed
# transfers, stops them, and prints a report. Exits non-zero if a check fails.
#
#   deploy/run.sh [options]
#
#   --seconds S       length of the measured part (20)
#   --shards N        shards; ranks are one more (2)
#   --threads T       worker threads of each rank (cores / ranks, at least 1)
#   --cross PERCENT   share of transfers that pay an account on another shard (33)
#   --accounts N      accounts that pay and are paid (10000)
#   --hot from|to     hot spot: every transfer comes from (pays) one account
#   --count N         transactions, instead of as many as fit into --seconds
#   --seed S          of keys and traffic (1)
#   --json FILE       also write the report as JSON
#   --keep            leave the cluster running at the end, and print where it listens and how to stop it
#
# Examples: deploy/run.sh --cross 0      deploy/run.sh --shards 8 --seconds 60 --json report.json
set -euo pipefail
self=$(realpath "$0")
json=''
invoked_from=$PWD
cd "$(dirname "$self")/.."
. deploy/lib.sh

seconds=20 shards=2 threads='' cross=33 accounts=10000 hot='' count='' seed=1 keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --seconds | --shards | --threads | --cross | --accounts | --count | --seed)
        [[ ${2-} =~ ^[0-9]+$ ]] || die "$1 needs a number"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    --hot)
        [[ ${2-} =~ ^(from|to)$ ]] || die "--hot needs from or to"
        hot=$2
        shift
        ;;
    --json)
        [ -n "${2-}" ] || die "--json needs a file"
        json=$(cd "$invoked_from" && realpath -m "$2")
        shift
        ;;
    --keep) keep=1 ;;
    -h | --help) show_help "$self" ;;
    *) die "unknown option $1 (try --help)" ;;
    esac
    shift
done
[ "$shards" -ge 1 ] || die "--shards must be at least 1"
[ "$cross" -le 100 ] || die "--cross is a percentage"
ranks=$((1 + shards))
if [ -z "$threads" ]; then
    threads=$((($(nproc) + ranks - 1) / ranks))
fi

deploy/setup.sh
echo "build: preset release (minutes the first time; log: build/release.log)" >&2
build_preset release cohort
cohort=$PWD/$(cohort_of release)

work=$(mktemp -d "${TMPDIR:-/tmp}/cohort-run.XXXXXX")
mpirun_pid=
finish() {
    local rc=$?
    trap - EXIT
    if [ -n "$mpirun_pid" ] && kill -0 "$mpirun_pid" 2>/dev/null; then
        kill -TERM "$mpirun_pid" 2>/dev/null || true
        wait "$mpirun_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit $rc
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

show_logs() {
    local file
    for file in "$work"/mpirun.log "$work"/log*; do
        [ -s "$file" ] || continue
        echo "--- end of ${file##*/}" >&2
        tail -n 15 "$file" >&2
    done
}

bench=("$cohort" bench transfers --accounts "$accounts" --seed "$seed")
"${bench[@]}" --write-genesis "$work/genesis.json"

port=$(free_port_range $((2 + ranks)))
client=tcp://127.0.0.1:$port
publish=tcp://127.0.0.1:$((port + 1))
status=127.0.0.1:$((port + 2))
# One sender may fill the bench's window.
options=()
[ "$hot" != from ] || options+=(--pool-sender-tx-max 65536)
started_ms=$(date +%s%3N)
setsid mpirun -n "$ranks" "$cohort" node --node-data "$work/data" --node-genesis "$work/genesis.json" \
    --node-threads "$threads" --client-listen "$client" --client-publish "$publish" --status-listen "$status" \
    --log-file "$work/log" "${options[@]}" </dev/null >"$work/mpirun.log" 2>&1 &
mpirun_pid=$!
if ! wait_ready "$mpirun_pid" "${status##*:}" 30; then
    show_logs
    die "the cluster did not become ready"
fi
echo "cluster: 1 coordinator + $shards shards x $threads threads, ready after $(($(date +%s%3N) - started_ms)) ms" >&2

args=(--client-listen "$client" --client-publish "$publish" --cross "$cross")
[ -z "$hot" ] || args+=(--hot "$hot")
[ -z "$json" ] || args+=(--json "$json")
if [ -n "$count" ]; then args+=(--count "$count"); else args+=(--seconds "$seconds"); fi
bench_rc=0
"${bench[@]}" "${args[@]}" >"$work/report" || bench_rc=$?

if [ -n "$keep" ]; then
    cat "$work/report"
    cat <<END

The cluster keeps running.
  requests       $client
  subscriptions  $publish
  status         http://$status/status  (rank r: port + r; also /metrics /livez /readyz)
  people         http://$status/ in a browser, or $cohort status --connect $client
  data, logs     $work
  stop           kill -USR1 $mpirun_pid
  clean up       rm -r $work
END
    disown "$mpirun_pid"
    trap - EXIT
    exit $bench_rc
fi

stop_rc=0
stop_cluster "$mpirun_pid" || stop_rc=$?
mpirun_pid=
cat "$work/report"
if [ $stop_rc -ne 0 ]; then
    show_logs
    die "the cluster did not end cleanly: exit code $stop_rc"
fi
if [ $bench_rc -ne 0 ]; then
    show_logs
    die "the bench failed: exit code $bench_rc"
fi
