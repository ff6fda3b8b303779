#!/usr/bin/env bash
# test_status.sh PROGRAM: cohort status on a node of two shards. --json is JSON; its pages answer to this host's name, and to no other; a node on ports in use names them. --watch: in a pipe one line a second; on a terminal one picture over the other, no larger than the window;
# SIGINT ends either with exit code 0, and the cursor is there again; a node that goes away is said to, and is shown again when it is back.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/cohort-status.XXXXXX")
node_pid='' watch_pid=''
finish() {
    local rc=$? pid
    trap - EXIT
    for pid in $watch_pid $node_pid; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    [ $rc -eq 0 ] || tail -n 40 "$work"/*.log "$work"/*.out
    rm -rf "$work"
    exit $rc
}
trap finish EXIT

# await TEXT FILE TIMES: until so many lines of it match.
await() {
    for _ in $(seq 600); do
        [ "$(grep -c -E "$1" "$2" || true)" -lt "$3" ] || return 0
        sleep 0.1
    done
    die "waited in vain for: $1"
}

port=$(free_port_range 3)
status=("$program" status --connect "tcp://127.0.0.1:$port" --timeout-ms 1500)
start() {
    "$program" node --shards 2 --data "$work/data" --genesis "$work/genesis.json" --client-listen "tcp://127.0.0.1:$port" \
        --client-publish "tcp://127.0.0.1:$((port + 1))" --status-listen "127.0.0.1:$((port + 2))" >>"$work/node.log" 2>&1 &
    node_pid=$!
    wait_ready "$node_pid" "$((port + 2))" 30 || die "the node did not start"
}
stop() {
    kill -TERM "$node_pid"
    wait "$node_pid" || die "the node ended with $?"
}
"$program" bench transfers --accounts 100 --write-genesis "$work/genesis.json"
start

"${status[@]}" --json | grep -q '^{"version":.*"recent":{"blocks":0,.*"ranks":\[.*\]}$' || die "--json"
"${status[@]}" | grep -q '^head  ' || die "once"

# By whose name the pages may be asked for.
for name in localhost "$(hostname)" "$(hostname):$((port + 2))"; do
    curl -fsS -o /dev/null --max-time 5 -H "Host: $name" "http://127.0.0.1:$((port + 2))/status" || fail "no answer to $name"
done
curl -s --max-time 5 -H "Host: x$(hostname)" "http://127.0.0.1:$((port + 2))/status" | grep -q -e '--status-hosts$' || fail "a name that is no host's is not refused"

# A port in use: the option, the address and the reason.
other=$(free_port_range 4)
for option in "client-listen tcp://127.0.0.1:$port" "client-publish tcp://127.0.0.1:$((port + 1))" "status-listen 127.0.0.1:$((port + 2))" "http-listen 127.0.0.1:$((port + 2))"; do
    rc=0
    "$program" node --data "$work/other" --genesis "$work/genesis.json" --client-listen "tcp://127.0.0.1:$other" --client-publish "tcp://127.0.0.1:$((other + 1))" \
        --status-listen "127.0.0.1:$((other + 2))" "--${option% *}" "${option#* }" >"$work/other.log" 2>&1 || rc=$?
    [ $rc -eq 1 ] || fail "a node on ports in use: exit code $rc"
    grep -q "${option% *}.*${option#* }: Address already in use" "$work/other.log" || fail "it does not say that ${option% *} is in use: $(tail -n 1 "$work/other.log")"
done

# In a pipe.
"${status[@]}" --watch >"$work/pipe.out" 2>"$work/pipe.log" &
watch_pid=$!
await '^uptime_s=[0-9]+ state=running head=0 tx_s=0 blocks_s=0.0 cross_percent=- p50_ms=0.00 p99_ms=0.00 pool=0 retractions=0 aborted=0$' "$work/pipe.out" 2
stop
await 'no answer from' "$work/pipe.log" 1
lines=$(wc -l <"$work/pipe.out")
start
await '^uptime_s=[0-9]+ state=running ' "$work/pipe.out" $((lines + 2))
kill -INT "$watch_pid"
wait "$watch_pid" || die "SIGINT in a pipe: exit code $?"
watch_pid=''
! grep -q -v '^uptime_s=' "$work/pipe.out" || die "something else in the pipe"

# On a terminal of 12 rows, with ^C typed.
printf 'stty rows 12 cols 60; exec' >"$work/command"
printf ' %q' "${status[@]}" --watch >>"$work/command"
script -q -e -f -c "bash $work/command" "$work/terminal.out" < <(
    for _ in $(seq 600); do
        [ "$(grep -a -o $'\033\\[H' "$work/terminal.out" 2>/dev/null | wc -l)" -lt 3 ] || break
        sleep 0.1
    done
    printf '\003'
    sleep 1
) >/dev/null &
watch_pid=$!
wait "$watch_pid" || die "SIGINT on a terminal: exit code $?"
watch_pid=''
grep -a -q $'\033\\[?25l' "$work/terminal.out" || die "the cursor stayed"
sed '$d' "$work/terminal.out" | tail -n 1 | grep -a -q $'^\033\\[?25h' || die "the cursor did not come back"
# A picture: from one home to the next. None has more than 12 rows, or a row longer than 60.
awk -v RS=$'\033\\[H' 'NR > 1 { sub(/\033\[J.*/, ""); gsub(/\033\[K|\r/, ""); n = split($0, row, "\n"); if (n > 12) exit 1; for (i = 1; i <= n; i++) if (length(row[i]) > 60) exit 1; shown = $0 }
    END { if (NR < 4 || shown !~ /cohort [0-9.]+, running/ || shown !~ /and [0-9]+ lines more/) exit 1 }' "$work/terminal.out" || die "the pictures do not fit"
stop
node_pid=''
