#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh PACKAGE... : installs those Debian packages that are missing, after
# saying which and what for. DEPS=0 only names them and fails. Elsewhere than
# on Debian and its descendants it does nothing: the compiler will tell.
set -u
command -v dpkg-query >/dev/null 2>&1 || exit 0
missing=
for p in "$@"; do
    case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
    'install ok installed') ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0

why() {
    case $1 in
    gcc | libc6-dev | make) echo 'to compile' ;;
    pkg-config) echo 'to find libraries from other builds' ;;
    libpcre2-dev) echo 'tokenizer patterns' ;;
    libxxhash-dev) echo 'integrity of blocks' ;;
    libzstd-dev | zlib1g-dev | libisal-dev) echo 'compressed files' ;;
    libyaml-dev) echo '--config files' ;;
    libssl-dev) echo 'SHA-256 of identities' ;;
    libutf8proc-dev) echo 'Unicode normalisation' ;;
    mandoc) echo 'checks of the man pages' ;;
    *) echo 'used by the build' ;;
    esac
}
echo 'prefkit needs these Debian packages, which are not installed:'
for p in $missing; do
    printf '  %-16s %s\n' "$p" "$(why "$p")"
done
if [ "${DEPS:-1}" = 0 ]; then
    echo "DEPS=0: nothing is installed; run: apt-get install$missing"
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null 2>&1 || {
        echo "not root and no sudo; as root run: apt-get install$missing"
        exit 1
    }
fi
echo "installing them: ${sudo:+sudo }apt-get install --no-install-recommends$missing"
echo '(DEPS=0 turns this off)'
export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086
    $sudo apt-get install -y -qq --no-install-recommends $missing
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists of a fresh machine are empty or old: refresh and retry.
if install >"$log" 2>&1; then exit 0; fi
if $sudo apt-get update -qq >>"$log" 2>&1 && install >>"$log" 2>&1; then
    exit 0
fi
cat "$log"
echo 'could not install; see above'
exit 1
