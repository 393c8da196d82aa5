#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Fetch and unpack the programs of the Linux guest: fetch.sh OUTDIR
#
# Leaves OUTDIR/root (programs and libraries as packaged) and OUTDIR/versions.
set -eu

out=${1:?usage: fetch.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
area=linux
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
need_tools dpkg-deb

work=$out/fetch.tmp
rm -rf "$work" "$out/root"
mkdir -p "$work" "$out/root"
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2046 # one word a package
debian_download "$work" $(packages_of program "$here/packages") $(packages_of library "$here/packages")
for deb in "$work"/*.deb; do
	dpkg-deb -x "$deb" "$out/root" || die "cannot unpack $deb"
	basename "$deb" .deb
done >"$work/versions"
# Last: its presence says that all is there.
mv "$work/versions" "$out/versions"
