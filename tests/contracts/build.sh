#!/usr/bin/env bash
# build.sh: compiles the contracts of this folder into artifacts/<Name>.json. Needs node and npm; a build of Cohort does not, since
# the artifacts are checked in. The compiler comes from npm, in a fixed version, into build/deps.
#
#   tests/contracts/build.sh [--check] [--record] [--with-peers]
#
#   --check        compile elsewhere and compare with the artifacts here, byte for byte; fails if they differ
#   --record       also run the contracts on another implementation of Ethereum (ethereumjs) and write what came of each
#                  transaction to recorded.json, for tests/unit/test_solo.c
#   --with-peers   also make artifacts of published contracts, in build/deps/peers: OpenZeppelin's ERC-20, compiled here, and
#                  Uniswap V2, as published. They are never part of the project
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

solc=0.8.30 openzeppelin=5.4.0 uniswap_core=1.0.1 uniswap_periphery=1.1.0-beta.0 ethereumjs=10.1.3 ethers=6.15.0
soljson_sha256=3bb491a777f76dff9b2fe73ce29ca20e21a971b59a2f2cf8f73415424f00be06

check='' record='' peers=''
while [ $# -gt 0 ]; do
    case $1 in
    --check) check=1 ;;
    --record) record=1 ;;
    --with-peers) peers=1 ;;
    -h | --help)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$self"
        exit 0
        ;;
    *) die "unknown option $1 (try --help)" ;;
    esac
    shift
done

for tool in node npm; do
    command -v $tool >/dev/null || die "needs $tool (Debian packages nodejs and npm)"
done

# want NAME VERSION...: installs packages of npm that are not there yet in that version. None of their scripts are run.
deps=build/deps/contracts
want() {
    local missing=()
    while [ $# -gt 0 ]; do
        [ -f "$deps/node_modules/$1/package.json" ] &&
            [ "$(node -p 'require(process.argv[1]).version' "./$deps/node_modules/$1/package.json")" = "$2" ] ||
            missing+=("$1@$2")
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    mkdir -p $deps
    [ -f $deps/package.json ] || echo '{"private":true}' >$deps/package.json
    if ! npm install --prefix $deps --ignore-scripts --no-audit --no-fund --save-exact --legacy-peer-deps \
        "${missing[@]}" >$deps/npm.log 2>&1; then
        tail -n 20 $deps/npm.log >&2
        die "cannot install ${missing[*]}"
    fi
}

want solc $solc
echo "$soljson_sha256  $deps/node_modules/solc/soljson.js" | sha256sum --check --quiet - ||
    die "the compiler is not the one that made the artifacts"

here=tests/contracts fresh=build/deps/artifacts
rm -rf $fresh
node $here/compile.js $deps $fresh
if [ -n "$check" ]; then
    diff -r $here/artifacts $fresh || die "artifacts differ from what their sources give"
else
    rm -rf $here/artifacts
    mv $fresh $here/artifacts
fi

if [ -n "$record" ]; then
    want @ethereumjs/vm $ethereumjs ethers $ethers
    node $here/record.mjs $deps $here/artifacts $here/recorded.json
fi

if [ -n "$peers" ]; then
    want @openzeppelin/contracts $openzeppelin @uniswap/v2-core $uniswap_core @uniswap/v2-periphery $uniswap_periphery
    rm -rf build/deps/peers
    node $here/compile.js --peers $deps build/deps/peers
fi
