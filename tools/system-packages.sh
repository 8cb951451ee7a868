#!/bin/sh
# Finds what of the system `make run` or `make test` lacks, says it, and installs
# it with apt-get. Quick and silent when nothing is missing.
#
#   tools/system-packages.sh run|test
#
# It looks for the commands and files, not for package names: whoever has another
# vendor's Docker keeps it. What it installs is not started and not enabled, and
# what runs already is left alone. With TOCSIN_PACKAGES=no it only says what is
# missing.
set -eu

want=${1:-}
case $want in
run | test) ;;
*)
    echo "usage: $0 run|test" >&2
    exit 2
    ;;
esac

missing=
services=

# lacks PACKAGE REASON: PACKAGE is to be installed.
lacks() {
    echo "missing: $1 ($2)" >&2
    missing="$missing $1"
}

has() { command -v "$1" >/dev/null 2>&1; }

# Some of these stand outside of a user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

has cc || lacks gcc "the C compiler for SQLite and ring"
[ -e /usr/include/stdio.h ] || lacks libc6-dev "C headers for SQLite and ring"
has pkg-config || lacks pkg-config "finds libsystemd"
if ! has pkg-config || ! pkg-config --exists libsystemd; then
    lacks libsystemd-dev "reads the journal"
fi
[ -e /etc/ssl/certs/ca-certificates.crt ] || lacks ca-certificates "whom HTTPS trusts"

if [ "$want" = test ]; then
    [ -x /usr/lib/systemd/systemd-journald ] || [ -x /lib/systemd/systemd-journald ] ||
        lacks systemd "a journald of the tests' own"
    [ -x /usr/lib/systemd/systemd-journal-remote ] || [ -x /lib/systemd/systemd-journal-remote ] ||
        lacks systemd-journal-remote "builds journals for the tests"
    if ! has dockerd || ! has docker; then
        lacks docker.io "a dockerd of the tests' own"
        services="$services docker.service docker.socket containerd.service"
    fi
    if ! has busybox || ! ldd "$(command -v busybox)" 2>&1 | grep -q 'not a dynamic'; then
        lacks busybox-static "what the test containers run"
    fi
    if ! has prometheus || ! has promtool; then
        lacks prometheus "scrapes and checks the metrics"
        services="$services prometheus.service"
    fi
    if ! has prometheus-alertmanager && ! has alertmanager; then
        lacks prometheus-alertmanager "receives alerts"
        services="$services prometheus-alertmanager.service"
    fi
    # The system's Python, not one from elsewhere that stands before it in PATH.
    if ! /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null; then
        lacks python3-aiosmtpd "the mail server of the tests"
    fi
    has ip || lacks iproute2 "networks of the tests' own"
    has openssl || lacks openssl "certificates for the tests' servers"
fi

[ -n "$missing" ] || exit 0

if [ "${TOCSIN_PACKAGES:-}" = no ]; then
    echo "going on without, as TOCSIN_PACKAGES=no asks" >&2
    exit 0
fi
if ! has apt-get; then
    echo "no apt-get here: install what these Debian packages hold by hand:$missing" >&2
    exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "neither root nor sudo: ask an administrator for: apt-get install$missing" >&2
        exit 1
    fi
    root=sudo
    # Without a terminal nobody can type a password.
    [ -t 0 ] || root="sudo -n"
    if ! $root true; then
        echo "sudo refuses: ask an administrator for: apt-get install$missing" >&2
        exit 1
    fi
fi

# Debian starts a service as it is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
fi

echo "installing:$missing" >&2
apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
# Old lists may still do; the installation tells.
$apt update >&2 || echo "apt-get update failed, trying with the lists at hand" >&2
# Newer Debians hold the client apart.
case $missing in
*docker.io*) apt-cache show docker-cli >/dev/null 2>&1 && missing="$missing docker-cli" ;;
esac
# shellcheck disable=SC2086
if ! $apt install -y --no-install-recommends $missing >&2; then
    echo "apt-get could not install:$missing" >&2
    [ "$want" = test ] && echo "without them: make test TOCSIN_PACKAGES=no (live tests skip themselves)" >&2
    exit 1
fi

# Nor shall a service come up at the next boot that nobody asked for.
if [ -n "$services" ] && [ -d /run/systemd/system ]; then
    # shellcheck disable=SC2086
    $root systemctl --quiet disable $services 2>/dev/null || true
fi
