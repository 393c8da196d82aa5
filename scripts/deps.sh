#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: scripts/deps.sh GROUP...: install what scripts/packages lists for these groups and
# is missing. Without root: print the line to type and fail.
set -eu
list=$(dirname "$0")/packages
wanted=
for group in "$@"; do
	wanted="$wanted $(awk -v g="$group" '$1 == g { print $2 }' "$list" | tr '\n' ' ')"
done
if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "deps: no dpkg here; provide the equivalents of:$wanted" >&2
	exit 0
fi
missing=
for package in $wanted; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing packages; as root type:" >&2
	echo "  apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi
echo "deps: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The lists may be absent or old on a bare machine: refresh them once, when needed.
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
