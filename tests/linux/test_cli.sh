#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest as a user has it: disks, network and entropy under real drivers; detached, promoted,
# verified and undone by the CLI. The environment is that of test_boot.sh.
set -u
hotrail=${HOTRAIL:-build/hotrail}
files=${HOTRAIL_LINUX:-build/linux}
limit=${GUEST_LIMIT_S:-150}
work=$(mktemp -d)
name=linux-$$
tap=hr$$
passed=0 failed=0

cleanup()
{
	"$hotrail" stop "$name" >/dev/null 2>&1
	{ ip tuntap del dev "$tap" mode tap || tunctl -d "$tap"; } >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT

skip()
{
	echo "SKIP: $*"
	exit 77
}
[ -c /dev/kvm ] || skip "no /dev/kvm"
for f in vmlinuz-cloud devices.cpio load.cpio; do
	[ -f "$files/$f" ] || skip "$files/$f is missing"
done

check()
{
	what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok: $what"
	else
		failed=$((failed + 1))
		echo "FAILED: $what: $*; last lines:"
		tail -n 20 "$work/out"
	fi
}
has() { grep -aq -e "$1" "$work/out"; }
clean() { ! grep -aqE 'WARNING:|BUG:|Oops|general protection|lockup|stall' "$work/out"; }
do_hotrail()
{
	"$hotrail" "$@" >"$work/out" 2>&1
	code=$?
}
code_is() { [ "$code" -eq "$1" ]; }
# value KEY: a number of the status document
value() { "$hotrail" status "$name" -j | sed -n "s/^ *\"$1\": \([0-9.]*\),\{0,1\}$/\1/p" | head -n 1; }

# --- devices ---
dd if=/dev/zero of="$work/disk" bs=1M count=8 2>/dev/null
echo hello-from-host | dd of="$work/disk" conv=notrunc 2>/dev/null
dd if=/dev/zero of="$work/ro" bs=1M count=1 2>/dev/null
set -- --disk "$work/disk" --disk "$work/ro:ro"
net=
if { ip tuntap add dev "$tap" mode tap || tunctl -t "$tap"; } >/dev/null 2>&1 && ip addr add 10.77.0.1/24 dev "$tap" &&
	ip link set "$tap" up; then
	net=yes
	set -- "$@" --net "$tap"
fi
do_hotrail run --kernel "$files/vmlinuz-cloud" --initrd "$files/devices.cpio" --mem 256M --time "$limit" \
	--cmdline "console=ttyS0 panic=-1 quiet" "$@" </dev/null
[ "$code" -ne 4 ] || skip "$(tail -n 1 "$work/out")"
check "the guest powers off well" code_is 0
check "it reads what the host wrote" has 'first=hello-from-host'
check "it writes" has '^wrote'
check "the host reads what it wrote" grep -aq guest-was-here "$work/disk"
check "disks have serials, a read-only one says so" has 'serial=hotrail-0 readonly=1'
check "4 MiB come back as they were written" has '^same'
check "entropy comes from the host" has 'rng=virtio_rng.0 bytes=64'
check "the agent's port is found by its name, the host says hello there" has 'agent=HTRL'
[ -z "$net" ] || check "packets go both ways" has '3 packets received'
check "its console is clean" clean
[ -n "$net" ] || echo "not tried: no tap device can be made here"
do_hotrail run --kernel "$files/vmlinuz-cloud" --disk "$work/nowhere" </dev/null
check "a missing disk is named" has "$work/nowhere"

# --- promotion by the CLI ---
do_hotrail run --kernel "$files/vmlinuz-cloud" --initrd "$files/load.cpio" --mem 256M --detach --name "$name" \
	--promote off --cmdline "console=ttyS0 panic=-1 quiet"
check "a detached Linux guest runs" code_is 0
do_hotrail promote "$name" --auto
check "promoting during boot is refused as busy, or boot was over" test "$code" -eq 3 -o "$code" -eq 0
waited=0
while [ $waited -lt "$limit" ] && ! "$hotrail" status "$name" -j | grep -q '"waiting": null'; do
	sleep 1
	waited=$((waited + 1))
done
sleep 3
do_hotrail promote "$name" --auto
check "its hot sites are promoted" has '^applied'
check "some of them" test "$(value promoted)" -ge 5
check "sites have names" has '[a-z_]*+0x[0-9a-f]*'
do_hotrail verify "$name"
check "memory agrees with the journal" code_is 0
do_hotrail demote "$name" --all
check "everything is undone" test "$(value promoted)" -eq 0
do_hotrail verify "$name"
check "and memory agrees" code_is 0
do_hotrail set-nothing "$name"
check "an unknown command is refused" code_is 2
do_hotrail stop "$name"
check "it stops" code_is 0

echo "linux-cli: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
