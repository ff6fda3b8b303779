#!/usr/bin/env bash
# test_hosts.sh BUILD: clusters over three hosts that are namespaces of this machine, started by cohort-launch over ssh. BUILD is a build
# folder, such as build/release. Needs root; says so loudly, and leaves with code 77, where it may not make namespaces.
#
#   1. a run with 30 % of transfers across shards passes its checks, nobody listens on other ports than those said (COHORT_PORTS), and each
#      rank's status is there for other hosts, by the names of hosts
#   2. so does one with 5 ms +- 2 ms of delay and 0.5 % loss on every host's link
#   3. under load: a host dies; a link is cut; the coordinator's host dies, with mpirun on it. Each time the job ends within END_SECONDS, and after the host
#      or link is back every acknowledged receipt is there, and all balances and burnt fees add up
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh
. tests/hosts/hosts.sh

# From a death or cut to the end of the job. deploy/README.md states what is expected; this leaves room for a machine that is busy.
END_SECONDS=25
SILENCE_SECONDS=3

why=$(hosts_can 2>&1) || skip "$why"
work=$(mktemp -d /var/tmp/cohort-hosts.XXXXXX)
finish() {
    local rc=$?
    trap - EXIT
    hosts_down
    if [ $rc -ne 0 ]; then
        tail -n 40 "$work"/*.log "$work"/net/*.log >&2 || true
    fi
    rm -rf "$work"
    exit $rc
}
at_end finish

cohort=$build/bin/cohort acks=$build/tests/hosts/host_acks
accounts=500
cp "$cohort" "$work/cohort"
"$cohort" bench transfers --accounts $accounts --write-genesis "$work/genesis.json"
(umask 077 && openssl rand -hex 32 >"$work/job.key")
hosts_up "$work/net" "$build/tests/hosts/host_switch" 3
# Two ranks on the first host: a coordinator and a shard that talk through shared memory.
sed -i 's/^h1 slots=1/h1 slots=2/' "$work/net/hosts"
requests=tcp://10.99.0.1:7545 publications=tcp://10.99.0.1:7546

# start: the launcher on h1; it outlives nothing but that host.
starts=0
start() {
    starts=$((starts + 1))
    launch_log=$work/launch-$starts.log
    # shellcheck disable=SC2016
    on h1 env -u OMPI_MCA_odls_base_sigkill_timeout -u OMPI_MCA_btl_tcp_if_include -u OMPI_MCA_oob_tcp_if_include COHORT_PORTS=20000 COH_STATUS_LISTEN=0.0.0.0:7550 \
        bash -c 'echo $$ >/tmp/launch.pid; exec "$@"' launch "$PWD/deploy/cohort-launch" --program "$work/cohort" --hosts "$work/net/hosts" \
        --network 10.99.0.0/24 --ssh "ssh -F $work/net/ssh_config" -- --data /mnt/data --genesis "$work/genesis.json" \
        --job-key-file "$work/job.key" --client-listen "$requests" --client-publish "$publications" \
        --net-silence-seconds $SILENCE_SECONDS </dev/null >"$launch_log" 2>&1 &
    launcher=$!
}

# said TEXT TIMES SECONDS: waits until the launcher has said it so often.
said() {
    local end=$((SECONDS + $3))
    until [ "$(grep -c "$1" "$launch_log" || true)" -ge "$2" ]; do
        [ $SECONDS -lt $end ] || die "waited $3 s in vain for: $1"
        sleep 0.1
    done
}

# Ends the cluster; its exit code must be 0.
stop() {
    local rc=0
    # shellcheck disable=SC2016
    on h1 bash -c 'kill -TERM $(cat /tmp/launch.pid)'
    wait $launcher || rc=$?
    [ $rc -eq 0 ] || die "cohort-launch ended with $rc"
}

run_bench() {
    on h1 "$work/cohort" bench transfers --accounts $accounts --cross 30 "$@" --client-listen "$requests" --client-publish "$publications" \
        >"$work/bench.log" 2>&1 || die "the bench failed"
    grep -E 'end to end|p50|p99|cross-shard share' "$work/bench.log"
}

start_load() {
    on h1 "$acks" load --requests "$requests" --publications "$publications" --accounts $accounts --count 30000 "$work/receipts" >"$work/load.log" 2>&1 &
    loader=$!
    local size before
    before=$(stat -c %s "$work/receipts" 2>/dev/null || echo 0)
    for _ in $(seq 600); do
        size=$(stat -c %s "$work/receipts" 2>/dev/null || echo 0)
        [ "$size" -le $((before + 200000)) ] || return 0
        sleep 0.1
    done
    die "no receipts come"
}

check_acks() {
    wait "$loader" || true
    on h1 "$acks" check --requests "$requests" --accounts $accounts "$work/receipts" || die "after $1"
}

# ranks_alive HOST: how many ranks run there.
ranks_alive() { on "$1" pgrep -c -x cohort || true; }

# ended_after SECONDS WHAT HOST...: waits until no rank runs on the hosts.
ended_after() {
    local since=$1 what=$2 host left
    shift 2
    while true; do
        left=0
        for host in "$@"; do left=$((left + $(ranks_alive "$host"))); done
        [ $left -gt 0 ] || break
        [ $((SECONDS - since)) -le $END_SECONDS ] || die "$what: the job has not ended after $END_SECONDS s"
        sleep 0.2
    done
    echo "$what: the job ended after $((SECONDS - since)) s"
}

# ready_again TIMES WHAT: waits until the cluster is ready so often.
ready_again() {
    local since=$SECONDS
    said 'mod=launch msg="cluster ready"' "$1" 60
    echo "$2: ready after $((SECONDS - since)) s"
}

echo "== three hosts"
start
said 'mod=launch msg="cluster ready"' 1 60
for host in h1 h2 h3; do
    # ssh, status pages, clients (loopback but for the addresses given), ranks and daemon.
    strangers=$(on $host ss -Hltn | awk '{ n = split($4, a, ":"); if ($4 !~ /^127\./ && $4 !~ /^\[::1\]/) print a[n] }' |
        awk '$1 != 22 && ($1 < 7545 || $1 > 7553) && ($1 < 20000 || $1 > 20509)')
    [ -z "$strangers" ] || die "$host listens on ${strangers//$'\n'/ }"
done
for where in h1:7550 h1:7551 h2:7552 h3:7553; do
    on h2 curl -fsS --max-time 5 "http://$where/metrics" | grep -c '^cohort_' >/dev/null || fail "no metrics at $where"
done
code=$(on h2 curl -s -o /dev/null --max-time 5 -w '%{http_code}' -H 'Host: rebound.example' http://h1:7550/status)
[ "$code" = 403 ] || fail "a name that is no host's: HTTP status $code"
run_bench --seconds 8

echo "== 5 ms +- 2 ms of delay, 0.5 % loss"
for host in h1 h2 h3; do worsen $host 5000 2000 5000; done
run_bench --seconds 8
for host in h1 h2 h3; do worsen $host 0 0 0; done

echo "== a host dies"
start_load
since=$SECONDS
crash h3
ended_after $since "host dead" h1 h2
said 'msg="waiting for hosts" hosts="h3"' 1 30
boot h3
ready_again 2 "host back"
check_acks "the death of a host"

echo "== a link is cut"
start_load
since=$SECONDS
cut h2
ended_after $since "link cut" h1 h2 h3
heal h2
ready_again 3 "link back"
grep -q 'msg="rank is silent" peer=2 ' "$launch_log" || die "the rank behind the cut link is not named"
check_acks "a cut link"

echo "== the coordinator's host dies"
start_load
since=$SECONDS
crash h1
ended_after $since "first host dead" h2 h3
boot h1
start
said 'mod=launch msg="cluster ready"' 1 60
check_acks "the death of the first host"
run_bench --seconds 4
stop
echo "test_hosts: passed"
