#!/usr/bin/env bash
# test.sh: installs what is missing, builds, and runs the tests: everything with the release preset, then all but the
# tests of label mpi with the asan preset (address and undefined-behaviour sanitizers, clang). Quiet but for ctest's closing lines.
#
#   deploy/test.sh [--preset NAME]... [--long] [--lint] [--with-WHAT]...
#
#   --preset NAME   only this preset, or these: release debug asan tsan coverage
#   --long          longer runs: more simulator seeds, 20 rounds of kill -9; recompiles the contracts of tests/contracts and
#                   compares (installs node and npm if they are missing)
#   --with-peers    also run real JSON-RPC clients (ethers, viem, web3.js, cast) against real ranks, a second implementation over their blocks, Hardhat against a dev chain, and the status page
#                   in a browser (needs node and npm)
#   --soak          also an hour of mixed load through JSON-RPC (COHORT_SOAK_SECONDS: as long as that); its report is left in build/soak.json
#   --lint          also check formatting (clang-format) and run clang-tidy
#   --with-hosts    also clusters over several hosts, namespaces of this machine: delay, loss, dying hosts, cut links (2 minutes; root)
#   --with-containers   also the image, and a cluster of three containers (5 minutes, 10 the first time; root)
#   --with-monitoring   also a Prometheus over a loaded cluster (1 minute)
#   --with-slurm    also a cluster as jobs of Slurm, on namespaces of this machine (1 minute; root)
#   --with-kubernetes   also the manifests against their schema (a second)
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
. deploy/lib.sh

presets=() lint='' peers='' soak='' with=()
while [ $# -gt 0 ]; do
    case $1 in
    --preset)
        [ -n "${2-}" ] || die "--preset needs a name"
        presets+=("$2")
        shift
        ;;
    --long) export COHORT_TEST_LONG=1 ;;
    --lint) lint=1 ;;
    --with-peers) peers=1 ;;
    --soak) soak=1 ;;
    --with-hosts | --with-containers | --with-monitoring | --with-slurm | --with-kubernetes) with+=("${1#--with-}") ;;
    -h | --help) show_help "$self" ;;
    *) die "unknown option $1 (try --help)" ;;
    esac
    shift
done
[ ${#presets[@]} -gt 0 ] || presets=(release asan)

deploy/setup.sh --test ${COHORT_TEST_LONG:+--contracts} ${lint:+--lint} ${peers:+--peers} "${with[@]/#/--}"
export PATH=$PWD/build/tools:$PATH

failed=0
# Published contracts for test_bench_world.
[ -z "$peers" ] || tests/contracts/build.sh --check --with-peers || failed=1
for preset in "${presets[@]}"; do
    started=$SECONDS
    build_preset "$preset"
    echo "== $preset: built in $((SECONDS - started)) s"
    exclude=()
    case $preset in asan | tsan) exclude=(-LE mpi) ;; esac
    log=build/$preset.ctest.log
    if ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "${exclude[@]}" >"$log" 2>&1; then
        sed -n '/tests passed/,$p' "$log"
    else
        failed=1
        grep -v -E '^ *[0-9]+/[0-9]+ Test.* Passed |^ *Start +[0-9]+:' "$log" | tail -n 120
    fi
done

if [ -n "${COHORT_TEST_LONG-}" ]; then
    tests/contracts/build.sh --check || failed=1
fi

if [ -n "$peers" ]; then
    [ -x build/release/bin/cohort ] || build_preset release
    tests/peers/run.sh release || failed=1
    tests/peers/page/run.sh release || failed=1
    tests/peers/hardhat.sh release || failed=1
fi

if [ -n "$soak" ]; then
    build_preset release
    echo "== soak"
    COHORT_SOAK_REPORT=build/soak.json build/release/tests/mpi/soak | sed -u 's/^\(.\{1000\}\).*/\1.../' || failed=1
fi

for what in "${with[@]}"; do
    build_preset release
    echo "== $what"
    rc=0
    "tests/hosts/test_$what.sh" build/release || rc=$?
    # 77: this machine does not allow it, as was said.
    [ $rc -eq 0 ] || [ $rc -eq 77 ] || failed=1
done

if [ -n "$lint" ]; then
    mapfile -t sources < <(git ls-files '*.c' '*.h')
    clang-format --dry-run --Werror "${sources[@]}" || failed=1
    # asan's are clang's own flags; gcc's for link-time optimisation are errors to it.
    [ -f build/asan/compile_commands.json ] || build_preset asan
    printf '%s\n' "${sources[@]}" | grep '\.c$' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/asan || failed=1
fi
exit $failed
