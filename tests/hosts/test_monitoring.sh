#!/usr/bin/env bash
# test_monitoring.sh BUILD: deploy/monitoring with a real Prometheus: it scrapes a loaded cluster on this machine, every query of the dashboard returns data, no alert fires
# while all is well, and one does when a rank is gone. BUILD is a build folder. Prometheus comes from deploy/setup.sh --monitoring.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$(realpath "$0")")/../.."
. deploy/lib.sh
PATH=$PWD/build/tools:$PATH
command -v prometheus >/dev/null || skip "no prometheus (deploy/setup.sh --monitoring)"
work=$(mktemp -d /var/tmp/cohort-monitoring.XXXXXX)
pids=()
finish() {
    local rc=$?
    trap - EXIT
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    [ $rc -eq 0 ] || tail -n 20 "$work"/*.log >&2
    rm -rf "$work"
    exit $rc
}
at_end finish

port=$(free_port_range 6)
cohort=$build/bin/cohort
"$cohort" bench transfers --accounts 500 --write-genesis "$work/genesis.json"
setsid mpirun -n 3 "$cohort" node --data "$work/data" --genesis "$work/genesis.json" --client-listen "tcp://127.0.0.1:$port" \
    --client-publish "tcp://127.0.0.1:$((port + 1))" --status-listen "127.0.0.1:$((port + 2))" </dev/null >"$work/cluster.log" 2>&1 &
cluster=$!
pids+=("$cluster")
wait_ready $cluster $((port + 2)) 30 || die "the cluster is not ready"

# The configuration as it is, but for ports and for the pace.
cp deploy/monitoring/rules.yml "$work/rules.yml"
sed -e "s/127\.0\.0\.1:7550/127.0.0.1:$((port + 2))/; s/127\.0\.0\.1:7551/127.0.0.1:$((port + 3))/; s/127\.0\.0\.1:7552/127.0.0.1:$((port + 4))/" \
    -e 's/scrape_interval: .*/scrape_interval: 1s/; s/evaluation_interval: .*/evaluation_interval: 1s/' deploy/monitoring/prometheus.yml >"$work/prometheus.yml"
prometheus --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/tsdb" --web.listen-address "127.0.0.1:$((port + 5))" >"$work/prometheus.log" 2>&1 &
pids+=($!)
api=http://127.0.0.1:$((port + 5))/api/v1
"$cohort" bench transfers --accounts 500 --cross 30 --seconds 12 --client-listen "tcp://127.0.0.1:$port" --client-publish "tcp://127.0.0.1:$((port + 1))" \
    >"$work/bench.log" 2>&1 || die "the bench failed"

# shellcheck disable=SC2016 # a variable of Grafana
mapfile -t queries < <(sed -n 's/^ *"expr": "\(.*\)",$/\1/p' deploy/monitoring/dashboard.json | sed 's/\\"/"/g; s/\$__rate_interval/30s/g')
[ ${#queries[@]} -gt 20 ] || die "found ${#queries[@]} queries in the dashboard"
for query in "${queries[@]}"; do
    answer=$(curl -fsS --max-time 10 --data-urlencode "query=$query" "$api/query") || die "query failed: $query"
    [[ $answer == *'"result":[{'* ]] || die "no data: $query"
done
echo "${#queries[@]} queries of the dashboard return data"

firing() { curl -fsS --max-time 10 "$api/alerts" | grep -o '"alertname":"[A-Za-z]*"[^}]*}[^}]*}[^}]*"state":"[a-z]*"' || true; }
alerts=$(firing)
[ -z "$alerts" ] || die "alerts though all is well: $alerts"
stop_cluster $cluster || die "the cluster did not end cleanly"
for _ in $(seq 100); do
    alerts=$(firing)
    [[ $alerts != *CohortRankDown* ]] || break
    sleep 0.1
done
[[ $alerts == *CohortRankDown* ]] || die "no alert though the cluster is gone"
echo "test_monitoring: passed"
