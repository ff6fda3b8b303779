#!/usr/bin/env bash
# latency.sh: how long does eth_getBalance take under full write load? A coordinator and two shards under mpirun, RocksDB on disk; bench_rpc hands in native transfers, batches of 200
# over 5 connections, as fast as they are taken, while one more connection asks for a balance again and again. Prints a line of JSON each round, in balance_idle the same without load, and the medians
# of the rounds. Needs node and mpirun.
#
#   tests/peers/latency.sh [ROUNDS [TRANSFERS [PRESET]]]     default: 3 rounds of 100000, release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

rounds=${1-3} transfers=${2-100000} preset=${3-release}
for tool in node mpirun; do
    command -v $tool >/dev/null || die "needs $tool"
done
bench=build/$preset/tests/bench_rpc
[ -x "$bench" ] || die "build bench_rpc first (cmake --build build/$preset --target bench_rpc)"

# shellcheck source=tests/peers/node.sh
. tests/peers/node.sh

for ((r = 0; r < rounds; r++)); do
    start_cohort "$preset"
    timeout 300 "$bench" --probe 127.0.0.1 "$port" 31337 "$transfers" 200 5 last | tee -a "$work/lines"
    end_job
done
node -e '
const lines = require("fs").readFileSync(0, "utf8").trim().split("\n").map((l) => JSON.parse(l));
const median = (of) => lines.map(of).sort((a, b) => a - b)[lines.length >> 1];
console.log(`eth_getBalance at ${median((l) => l.per_s)} transfers/s: p50 ${median((l) => l.balance_loaded.us_p50) / 1000} ms, p99 ${median((l) => l.balance_loaded.us_p99) / 1000} ms; without load p50 ${median((l) => l.balance_idle.us_p50) / 1000} ms, p99 ${median((l) => l.balance_idle.us_p99) / 1000} ms`);
' <"$work/lines"
