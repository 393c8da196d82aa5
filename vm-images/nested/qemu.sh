#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A later QEMU for the rig where the installed one is too old: qemu.sh OUTDIR
#
# Until 8.1 QEMU's software CPU could translate code while another CPU was overwriting it, and keep
# what it had read: kernels that patch their own text died of it. Debian 12 has 7.2, its backports
# have a later one. The packages are downloaded and taken apart, not installed; the libraries are
# those of the installed QEMU. Leaves OUTDIR/bin/qemu-system-x86_64, or nothing when it cannot be
# had; OUTDIR/qemu.tried says that there was a try.
set -eu

out=${1:?usage: qemu.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
area=nested
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
packages="qemu-system-x86 qemu-system-common qemu-system-data seabios"

mkdir -p "$out"
out=$(cd "$out" && pwd)
touch "$out/qemu.tried"
version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p')
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 8.1; then
	exit 0
fi

work=$out/qemu.tmp
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/deb"
# shellcheck disable=SC1091 # not ours
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports

# The configured sources of the distribution itself, with the suite of its backports in place of its own.
for list in /etc/apt/sources.list.d/*.sources; do
	[ -f "$list" ] || continue
	awk -v suite="$suite" 'BEGIN { RS = ""; ORS = "\n\n" } !/security/ {
		sub(/(^|\n)Suites:[^\n]*/, "\nSuites: " suite); print }' "$list"
done >"$work/parts/backports.sources"
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ -f "$list" ] || continue
	sed -n "/security/d; s/^\(deb .*\) ${suite%-backports} .*/\1 $suite main/p" "$list" | head -n 1
done >"$work/parts/backports.list"

apt() {
	command=$1
	shift
	"$command" -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" \
		-o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User=root "$@"
}
apt apt-get update >/dev/null 2>&1 || die "no $suite to be had: the rig uses the installed QEMU"
# shellcheck disable=SC2086 # words
(cd "$work/deb" && apt apt-get download $packages) || die "no QEMU in $suite"
rm -rf "$out/qemu"
for deb in "$work"/deb/*.deb; do
	dpkg-deb -x "$deb" "$out/qemu"
done
mkdir -p "$out/bin"
cat >"$work/qemu" <<END
#!/bin/sh
exec "$out/qemu/usr/bin/qemu-system-x86_64" -L "$out/qemu/usr/share/qemu" -L "$out/qemu/usr/share/seabios" "\$@"
END
chmod 755 "$work/qemu"
"$work/qemu" --version >/dev/null || die "the QEMU of $suite does not run here"
mv "$work/qemu" "$out/bin/qemu-system-x86_64"
