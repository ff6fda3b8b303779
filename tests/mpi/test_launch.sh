#!/usr/bin/env bash
# test_launch.sh PROGRAM: cohort-launch on one machine. A killed rank: the cluster is ready again without help, and its head has not
# gone back. SIGTERM: a clean end. A data directory that is in use: it gives up after the given number of failures and says why. An unknown
# option: exit code 2, no second start. A host that stays away: it gives up and names it.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/cohort-launch.XXXXXX")
launch_pid=''
finish() {
    local rc=$?
    trap - EXIT
    if [ -n "$launch_pid" ]; then
        kill -KILL "$launch_pid" 2>/dev/null || true # mpirun and the ranks go with it
        wait "$launch_pid" 2>/dev/null || true
        sleep 1
    fi
    [ $rc -eq 0 ] || tail -n 60 "$work"/*.log
    rm -rf "$work"
    exit $rc
}
trap finish EXIT
unset COHORT_NETWORK "${!OMPI_MCA_@}" # those of the launcher itself

port=$(free_port_range 8)
node=(--data "$work/data" --genesis "$work/genesis.json" --client-listen "tcp://127.0.0.1:$port"
    --client-publish "tcp://127.0.0.1:$((port + 1))" --status-listen "127.0.0.1:$((port + 2))" --log-level warn)
launch=(deploy/cohort-launch --program "$program" --ranks 3)
"$program" bench transfers --accounts 100 --write-genesis "$work/genesis.json"

# count TEXT: how often the launcher said it.
count() { grep -c "$1" "$work/launch.log" || true; }
await() { # TEXT TIMES
    for _ in $(seq 600); do
        [ "$(count "$1")" -lt "$2" ] || return 0
        kill -0 "$launch_pid" 2>/dev/null || die "ended while waiting for: $1"
        sleep 0.1
    done
    die "waited in vain for: $1"
}
# rank_pid R: the process of a rank of ours.
rank_pid() {
    local pid mpirun
    mpirun=$(pgrep -P "$launch_pid" -x mpirun)
    for pid in $(pgrep -P "$mpirun"); do
        if tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
            echo "$pid"
        fi
    done
}
head_number() { "$program" status --connect "tcp://127.0.0.1:$port" --json | grep -o '"head":{"number":[0-9]*' | grep -o '[0-9]*$'; }

"${launch[@]}" -- "${node[@]}" >"$work/launch.log" 2>&1 &
launch_pid=$!
await 'mod=launch msg="cluster ready"' 1
"$program" bench transfers --accounts 100 --count 2000 --client-listen "tcp://127.0.0.1:$port" --client-publish "tcp://127.0.0.1:$((port + 1))" >"$work/bench.log" 2>&1
before=$(head_number)
[ "$before" -gt 0 ] || die "no block was made"
for victim in 1 0; do
    kill -KILL "$(rank_pid $victim)"
    await 'mod=launch msg="cluster ready"' $((3 - victim))
    [ "$(head_number)" -ge "$before" ] || die "the head went back from $before to $(head_number)"
done
[ "$(count 'msg="starting again"')" -eq 2 ] || die "expected two restarts"

# A second cluster on the same data.
rc=0
timeout 100 "${launch[@]}" --ready "127.0.0.1:$((port + 5))" --restarts 2 -- "${node[@]}" --client-listen "tcp://127.0.0.1:$((port + 6))" \
    --client-publish "tcp://127.0.0.1:$((port + 7))" --status-listen "" >"$work/second.log" 2>&1 || rc=$?
[ $rc -eq 1 ] || die "a second cluster on the same data: exit code $rc"
grep -q 'giving up: 2 failures in a row' "$work/second.log" || die "no report of giving up"
grep -q '  2\. the job ended with code 1, before it was ready' "$work/second.log" || die "no reason in the report"

kill -TERM "$launch_pid"
rc=0
wait "$launch_pid" || rc=$?
launch_pid=''
[ $rc -eq 0 ] || die "exit code $rc after SIGTERM"

rc=0
timeout 60 "${launch[@]}" -- "${node[@]}" --no-such-option >"$work/usage.log" 2>&1 || rc=$?
[ $rc -eq 2 ] || die "an unknown option of cohort node: exit code $rc"
[ "$(grep -c 'starting the cluster' "$work/usage.log")" -eq 1 ] || die "started again after an unknown option"

# 192.0.2.0/24 is nobody's (RFC 5737); what stands in for ssh fails at once.
printf '%s slots=1\n192.0.2.1 slots=2\n' "$(hostname)" >"$work/hosts"
rc=0
timeout 60 deploy/cohort-launch --program "$program" --hosts "$work/hosts" --network lo --ssh false --away-seconds 2 -- "${node[@]}" >"$work/away.log" 2>&1 || rc=$?
[ $rc -eq 1 ] || die "a host that stays away: exit code $rc"
grep -q 'giving up: hosts stay away" hosts="192.0.2.1"' "$work/away.log" || die "the host that stays away is not named"
echo "test_launch: head $before kept over two kills; passed"
