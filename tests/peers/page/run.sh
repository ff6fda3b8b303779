#!/usr/bin/env bash
# run.sh: the status page in a real browser, over a loaded cluster of three ranks (page.test.mjs). Needs node, npm and chromium; playwright-core and axe-core come from npm,
# exactly the versions of package-lock.json. Leaves pictures in build/page. deploy/test.sh --with-peers runs it.
#
#   tests/peers/page/run.sh [BUILD]     folder of the build whose program is used; default: build/release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

build=${1-build/release}
for tool in node npm mpirun chromium; do
    command -v $tool >/dev/null || die "needs $tool"
done
here=tests/peers/page deps=build/deps/page
mkdir -p $deps
if ! cmp -s $here/package-lock.json $deps/installed.json; then
    cp $here/package.json $here/package-lock.json $deps/
    if ! (cd $deps && npm ci --ignore-scripts --no-audit --no-fund) >$deps/npm.log 2>&1; then
        tail -n 20 $deps/npm.log >&2
        die "cannot install playwright-core and axe-core"
    fi
    cp $here/package-lock.json $deps/installed.json
fi
mkdir -p build/page
COHORT_CHROMIUM=$(command -v chromium) COHORT=$PWD/$build/bin/cohort COHORT_PORT=$(free_port_range 8) COHORT_PAGE_DEPS=$PWD/$deps COHORT_PICTURES=$PWD/build/page \
    node --test --test-timeout=600000 --test-reporter=spec $here/page.test.mjs
