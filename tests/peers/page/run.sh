#!/usr/bin/env bash
# run.sh: the status page in a real browser, over a loaded cluster of three ranks (page.test.mjs). Needs node, npm and chromium; playwright-core and axe-core come from npm,
# exactly the versions of package-lock.json. Leaves pictures in build/page. deploy/test.sh --with-peers runs it.
#
#   tests/peers/page/run.sh [PRESET]     of the build whose program is used; default: release
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../../.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh

preset=${1-release}
for tool in node npm mpirun chromium; do
    command -v $tool >/dev/null || die "needs $tool"
done
here=tests/peers/page deps=build/deps/page
npm_install $here $deps
mkdir -p build/page
COHORT_CHROMIUM=$(command -v chromium) COHORT=$PWD/build/$preset/bin/cohort COHORT_PORT=$(free_port_range 8) COHORT_PAGE_DEPS=$PWD/$deps COHORT_PICTURES=$PWD/build/page \
    node --test --test-timeout=600000 --test-reporter=spec $here/page.test.mjs
