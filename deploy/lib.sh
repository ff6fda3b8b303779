# shellcheck shell=bash
# lib.sh: what run.sh, test.sh and the test scripts share. Sourced; expects the repository's root as current folder.
# shellcheck disable=SC2034
. deploy/mpi-env.sh

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# skip WHY: ends a test that cannot run here, as ctest knows it (SKIP_RETURN_CODE).
skip() {
    echo "${0##*/}: SKIPPED, NOTHING WAS TESTED: $*" >&2
    exit 77
}

# at_end FUNCTION: calls it when the script ends, also by Ctrl-C or SIGTERM.
at_end() {
    # shellcheck disable=SC2064
    trap "$1" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# show_help SCRIPT: prints the comment at its head, and ends.
show_help() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$1"
    exit 0
}

# build_preset PRESET [TARGET...]: configures and builds, quietly, all or these targets; on failure shows the end of the log.
build_preset() {
    local preset=$1 log="build/$1.log"
    shift
    mkdir -p build
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" ${1+--target "$@"}; } >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "build of preset $preset failed; whole log: $log"
    fi
}

# free_port_range CNT: prints the first of CNT neighbouring ports of 127.0.0.1 on which nobody listens. It lies below the range
# that the kernel hands out to outgoing connections.
free_port_range() {
    local try base port
    for try in $(seq 200); do
        base=$((12000 + (RANDOM * 32768 + RANDOM) % 18000))
        for port in $(seq "$base" $((base + $1 - 1))); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
                continue 2
            fi
        done
        echo "$base"
        return 0
    done
    die "found no $1 free neighbouring ports on 127.0.0.1"
}

# wait_ready MPIRUN_PID PORT SECONDS: waits until rank 0 says that the cluster takes work. False if the job ends before or time is up.
wait_ready() {
    local end=$((SECONDS + $3))
    while kill -0 "$1" 2>/dev/null && [ $SECONDS -le $end ]; do
        if curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$2/readyz"; then
            return 0
        fi
        sleep 0.05
    done
    return 1
}

# stop_cluster MPIRUN_PID: asks the ranks to finish the block in hand and leave; returns the job's exit code. SIGUSR1 is passed on by
# mpirun to every rank, and means the same to them as SIGTERM; after a SIGTERM of its own mpirun would call the job failed.
stop_cluster() {
    kill -USR1 "$1" 2>/dev/null || true
    wait "$1"
}

# cohort_of PRESET: the program that build_preset made.
cohort_of() {
    echo "build/$1/bin/cohort"
}

# npm_install HERE DEPS [OPTION...]: installs what HERE/package-lock.json names, in exactly these versions, into DEPS, unless it is there.
npm_install() {
    local here=$1 deps=$2
    shift 2
    mkdir -p "$deps"
    cmp -s "$here/package-lock.json" "$deps/installed.json" && return 0
    cp "$here/package.json" "$here/package-lock.json" "$deps/"
    if ! (cd "$deps" && npm ci --ignore-scripts --no-audit --no-fund "$@") >"$deps/npm.log" 2>&1; then
        tail -n 20 "$deps/npm.log" >&2
        die "cannot install what $here/package-lock.json names"
    fi
    cp "$here/package-lock.json" "$deps/installed.json"
}
