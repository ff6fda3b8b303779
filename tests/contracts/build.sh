#!/usr/bin/env bash
# build.sh: compiles the contracts of this folder into artifacts/<Name>.json. Needs node and npm; a build of Cohort does not, since
# the artifacts are checked in. The compiler comes from npm, in the version that npm/*/package-lock.json fixes, into build/deps.
#
#   tests/contracts/build.sh [--check] [--record] [--with-peers]
#
#   --check        compile elsewhere and compare with the artifacts here, byte for byte; fails if they differ
#   --record       also run the contracts on another implementation of Ethereum (ethereumjs) and write what came of each
#                  transaction to recorded.json, for tests/unit/test_solo.c
#   --with-peers   also make artifacts of published contracts, in build/deps/peers: OpenZeppelin's ERC-20, compiled here, and
#                  Uniswap V2 and V3, as published. They are never part of the project
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

soljson_sha256=3bb491a777f76dff9b2fe73ce29ca20e21a971b59a2f2cf8f73415424f00be06

check='' record='' peers=''
while [ $# -gt 0 ]; do
    case $1 in
    --check) check=1 ;;
    --record) record=1 ;;
    --with-peers) peers=1 ;;
    -h | --help) show_help "$self" ;;
    *) die "unknown option $1 (try --help)" ;;
    esac
    shift
done

for tool in node npm; do
    command -v $tool >/dev/null || die "needs $tool (Debian packages nodejs and npm)"
done

# want SET: installs the packages of npm/SET, exactly those that its lock file names, dependencies of dependencies included; into $deps-SET, at once
# or not at all. None of their scripts are run.
deps=build/deps/contracts here=tests/contracts
want() {
    local dir=$deps-$1 fresh
    cmp -s "$here/npm/$1/package-lock.json" "$dir/package-lock.json" && return 0
    mkdir -p build/deps
    fresh=$(mktemp -d "$dir.XXXXXX")
    cp "$here/npm/$1/package.json" "$here/npm/$1/package-lock.json" "$fresh"
    if ! npm ci --prefix "$fresh" --ignore-scripts --no-audit --no-fund --legacy-peer-deps >"$fresh/npm.log" 2>&1; then
        tail -n 20 "$fresh/npm.log" >&2
        rm -rf "$fresh"
        die "cannot install the packages of $here/npm/$1"
    fi
    rm -rf "$dir"
    mv -T "$fresh" "$dir"
}

# compile SET OUT [OPTION]: OUT becomes what compile.js makes with the packages of SET, once all of it is there.
compile() {
    local fresh
    echo "$soljson_sha256  $deps-$1/node_modules/solc/soljson.js" | sha256sum --check --quiet - ||
        die "the compiler is not the one that made the artifacts"
    fresh=$(mktemp -d "build/deps/artifacts.XXXXXX")
    chmod 755 "$fresh"
    if ! node $here/compile.js ${3:+"$3"} "$deps-$1" "$fresh"; then
        rm -rf "$fresh"
        die "cannot compile"
    fi
    rm -rf "$2"
    mv -T "$fresh" "$2"
}

want build
if [ -n "$check" ]; then
    compile build build/deps/artifacts
    diff -r $here/artifacts build/deps/artifacts || die "artifacts differ from what their sources give"
else
    compile build $here/artifacts
fi

if [ -n "$record" ]; then
    want record
    node $here/record.mjs $deps-record $here/artifacts $here/recorded.json
fi

if [ -n "$peers" ]; then
    want peers
    compile peers build/deps/peers --peers
fi
