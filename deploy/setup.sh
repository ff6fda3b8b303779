#!/usr/bin/env bash
# setup.sh: installs the Debian packages that are missing, as root or through sudo. Says nothing when all is there.
#
#   deploy/setup.sh [--test] [--lint] [--list]
#
# --test adds what the test suite needs, --lint the formatter and linter; --list only prints what is missing.
# Packages and their reasons stand in deploy/packages.txt.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."

groups=build
list_only=''
while [ $# -gt 0 ]; do
    case $1 in
    --test) groups+=" test" ;;
    --lint) groups+=" lint" ;;
    --list) list_only=1 ;;
    -h | --help)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$self"
        exit 0
        ;;
    *)
        echo "setup.sh: unknown option $1 (try --help)" >&2
        exit 2
        ;;
    esac
    shift
done

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
while read -r group package _; do
    case $group in '' | '#'*) continue ;; esac
    case " $groups " in *" $group "*) is_installed "$package" || missing+=("$package") ;; esac
done <deploy/packages.txt

# promtool checks our metrics. Its package also starts a monitoring server, which nobody asked for: so only the
# tool is taken out of the package, into the build folder, and nothing is installed.
promtool=''
case " $groups " in
*" test "*)
    if ! command -v promtool >/dev/null && [ ! -x build/tools/promtool ]; then
        promtool=1
    fi
    ;;
esac

if [ -n "$list_only" ]; then
    [ ${#missing[@]} -eq 0 ] || printf '%s\n' "${missing[@]}"
    [ -z "$promtool" ] || echo "prometheus (promtool only, unpacked into build/tools)"
    exit 0
fi
[ ${#missing[@]} -gt 0 ] || [ -n "$promtool" ] || exit 0

log=$(mktemp)
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT

# Runs a step with its output kept aside; on failure shows the end of it and what to do.
step() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        echo "setup.sh: failed: $*" >&2
        exit 1
    fi
}

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup.sh: needs root or sudo to install: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "setup: installing ${missing[*]}${promtool:+ promtool}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
step "${apt[@]}" update
if [ ${#missing[@]} -gt 0 ]; then
    step "${apt[@]}" install --no-install-recommends "${missing[@]}"
fi
if [ -n "$promtool" ]; then
    chmod 755 "$work"
    (cd "$work" && step apt-get -q download prometheus)
    step dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
    mkdir -p build/tools
    install -m 755 "$work/root/usr/bin/promtool" build/tools/promtool
fi
