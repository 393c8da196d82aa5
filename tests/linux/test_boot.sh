#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Unmodified Debian kernels under our monitor: two CPUs up, every way such a guest ends, and what
# is refused. Needs /dev/kvm with hardware virtualisation: HOTRAIL is the program,
# HOTRAIL_LINUX a folder with vmlinuz-cloud, vmlinuz-standard and initrd.cpio.
set -u
hotrail=${HOTRAIL:-build/hotrail}
files=${HOTRAIL_LINUX:-build/linux}
limit=${GUEST_LIMIT_S:-150} # of one guest; an emulated host is slow
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

skip()
{
	echo "SKIP: $*"
	exit 77
}
[ -c /dev/kvm ] || skip "no /dev/kvm"
for f in vmlinuz-cloud initrd.cpio; do
	[ -f "$files/$f" ] || skip "$files/$f is missing"
done

# check NAME CONDITION...
check()
{
	name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok: $name"
	else
		failed=$((failed + 1))
		echo "FAILED: $name: $*; exit code $code; last lines:"
		tail -n 15 "$work/out"
	fi
}

has()
{
	grep -aq -e "$1" "$work/out"
}
clean()
{
	! grep -aqE 'WARNING:|BUG:|Oops|general protection|lockup|stall|ACPI.*[Ee]rror' "$work/out"
}
code_is()
{
	[ "$code" -eq "$1" ]
}

# guest KERNEL CMDLINE [OPTION...]: the output goes to $work/out, standard input is the caller's
guest()
{
	kernel=$1 cmdline=$2
	shift 2
	"$hotrail" run --kernel "$kernel" --initrd "$files/initrd.cpio" --vcpus 2 --mem 256M --time "$limit" \
		--cmdline "console=ttyS0 panic=-1 $cmdline" "$@" >"$work/out" 2>&1
	code=$?
}

cloud=$files/vmlinuz-cloud
cat >"$work/in" <<'END'
echo sum=$((6*7))
dmesg | grep -i spectre
cat /sys/devices/system/clocksource/*/current*
exit
END
for kernel in "$cloud" "$files/vmlinuz-standard"; do
	[ -f "$kernel" ] || continue
	begin=$(cut -d' ' -f1 /proc/uptime)
	guest "$kernel" "HOTRAIL_DO=shell" <"$work/in"
	end=$(cut -d' ' -f1 /proc/uptime)
	[ "$code" -ne 4 ] || skip "$(tail -n 1 "$work/out")"
	grep -a HOTRAIL-GUEST "$work/out" | tr -d '\r'
	echo "from launch to power-off: $(awk "BEGIN { print $end - $begin }") s"
	check "${kernel##*/}: two CPUs reach user space" has 'HOTRAIL-GUEST cpus=2'
	check "${kernel##*/}: nothing on its console that a kernel should not say" clean
	check "${kernel##*/}: input reaches its shell" has 'sum=42'
	check "${kernel##*/}: it runs on kvm-clock" has '^kvm-clock'
	check "${kernel##*/}: power-off is a good end" code_is 0
done

guest "$cloud" "quiet HOTRAIL_DO=reboot" </dev/null
check "a reboot ends the run" code_is 1
check "and says so" has 'asked for a reset'
guest "$cloud" "quiet HOTRAIL_DO=panic" </dev/null
check "a panic shows" has 'Kernel panic'
check "and ends the run as a reboot" code_is 1
guest "$cloud" "quiet HOTRAIL_DO=hang" --time 20 </dev/null
check "a guest that hangs is ended" code_is 0

head -c 3000000 "$cloud" >"$work/short"
guest "$work/short" "" </dev/null
check "a truncated kernel is refused" has 'truncated'
check "with exit code 1" code_is 1
guest "$files/initrd.cpio" "" </dev/null
check "an initrd is no kernel" has 'not a Linux kernel'
guest "$cloud" "" --mem 32M </dev/null
check "too little RAM is refused" has 'too little'
check "with exit code 2" code_is 2
guest "$cloud" "" --machine process </dev/null
check "the process backend is refused" code_is 4

echo "linux-boot: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
