#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The part of the rig's root file system that no test changes: base.sh OUTDIR
set -eu

out=${1:?usage: base.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
area=nested
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
cc=${CC:-gcc}
need_tools "$cc" cpio

root=$out/base.tmp
rm -rf "$root"
trap 'rm -rf "$root"' EXIT
skeleton "$root"
mkdir -p "$root/lib/rig" "$root/rig"
cp "$out"/modules/*.ko "$root/lib/rig/"
cp "$here/init" "$root/init"
"$cc" -O2 -Wall -Wextra -static -o "$root/lib/rig/hold" "$here/hold.c"
chmod 755 "$root/init"
pack "$root" "$out/base.cpio"
