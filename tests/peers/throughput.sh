#!/usr/bin/env bash
# throughput.sh: how fast is eth_sendRawTransaction beside another node? Cohort (a coordinator and two shards under mpirun, RocksDB on disk) and Foundry's anvil (npm, a fixed version; chain in memory) take the same load from the same generator (bench_rpc) by turns: batches of 200 over 5 connections, native and ERC-20 transfers, each until all are in blocks (the receipt of each batch's last one), and
# until every receipt is fetched. Prints transfers/s of both and their ratio, the median of ROUNDS. Anvil runs as it is fastest with this load: a block a second, keeping no old states, and as Cohort without a gas limit to speak of; with its default, a block for each
# transaction, several thousand transfers to new accounts do not end within a minute, and take gigabytes. Needs node, npm and mpirun.
#
#   tests/peers/throughput.sh [ROUNDS [TRANSFERS [PRESET]]]     default: 3 rounds of 10000, release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

rounds=${1-3} transfers=${2-10000} preset=${3-release}
for tool in node npm mpirun; do
    command -v $tool >/dev/null || die "needs $tool"
done
bench=build/$preset/tests/bench_rpc
[ -x "$bench" ] || die "build bench_rpc first (cmake --build build/$preset --target bench_rpc)"
here=tests/peers/throughput deps=build/deps/throughput
npm_install $here $deps
anvil=$(echo $deps/node_modules/@foundry-rs/anvil-*/bin/anvil)

# shellcheck source=tests/peers/node.sh
. tests/peers/node.sh
# The token's init code, with its constructor's arguments: name, symbol, holder, supply.
node -e '
const { bytecode } = JSON.parse(require("fs").readFileSync("tests/contracts/artifacts/Token.json"));
const word = (v) => BigInt(v).toString(16).padStart(64, "0"), text = (t) => word(t.length) + Buffer.from(t).toString("hex").padEnd(64, "0");
console.log(bytecode.slice(2) + word(128) + word(192) + word("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266") + word(10n ** 12n) + text("Token") + text("TKN"));
' >"$work/token.hex"

start() { # NODE
    if [ "$1" = anvil ]; then
        "$anvil" --silent --port "$port" --order fifo --prune-history --block-time 1 --gas-limit $gas_limit >"$work/anvil.log" 2>&1 &
        job=$!
        for _ in $(seq 100); do
            curl -s "http://127.0.0.1:$port" >/dev/null && return
            sleep 0.1
        done
        die "anvil did not start"
    fi
    start_cohort "$preset"
}

measure() { # NODE KIND RECEIPTS
    local creation=()
    [ "$2" = native ] || creation=("$work/token.hex")
    start "$1"
    timeout 300 "$bench" 127.0.0.1 "$port" 31337 "$transfers" 200 5 "$3" "${creation[@]}" >"$work/out.json" || die "$1: $(cat "$work/out.json")"
    end_job
    node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).per_s' "$work/out.json"
}

for kind in native token; do
    for receipts in last all; do
        for ((r = 0; r < rounds; r++)); do
            echo "$(measure cohort $kind $receipts) $(measure anvil $kind $receipts)"
        done >"$work/figures"
        node -e '
const rows = require("fs").readFileSync(0, "utf8").trim().split("\n").map((l) => l.split(" ").map(Number));
const median = (v) => v.sort((a, b) => a - b)[v.length >> 1];
const [kind, receipts] = process.argv.slice(1);
console.log(`${kind.padEnd(6)} ${receipts === "all" ? "every receipt fetched" : "until in blocks      "}  cohort ${median(rows.map((r) => r[0]))}/s  anvil ${median(rows.map((r) => r[1]))}/s  ratio ${median(rows.map((r) => r[0] / r[1])).toFixed(1)}  (${rows.map((r) => r.join(":")).join(" ")})`);
' $kind $receipts <"$work/figures"
    done
done
