#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The agent's module in Debian kernels under QEMU's software CPU, asked by the host's own client:
# needs no virtualisation. agent.sh [OPTION...] [PROGRAM [KERNEL-ARGUMENT...]], PROGRAM one of tests/agent.
#   --kernel 6.1|6.12   of what version (6.1)
#   --cpu MODEL         of QEMU's (max)
#   --refusal WORD      for test_refused: a word of the reason that the agent is to give
# O is the build folder; AGENT_CYCLES how often modules come and go.
set -u
O=${O:-build}
kernel=6.1 cpu=max
while [ $# -ge 2 ]; do
	case $1 in
	--kernel) kernel=$2 ;;
	--cpu) cpu=$2 ;;
	--refusal) export HOTRAIL_REFUSAL=$2 ;;
	*) break ;;
	esac
	shift 2
done
test=${1:-$O/tests/agent/test_module}
[ $# -eq 0 ] || shift
arguments="$*"
folder=$O/linux
[ "$kernel" = 6.1 ] || folder=$O/linux-$kernel
command -v qemu-system-x86_64 >/dev/null || {
	echo "SKIP: no qemu-system-x86_64: apt-get install qemu-system-x86"
	exit 77
}
make -s O="$O" "$O/agent/test-$kernel.cpio" "$folder/vmlinuz-cloud" || {
	echo "SKIP: no guest with the agent: its kernel and headers are fetched with apt-get"
	exit 77
}
[ -f "$O/nested/qemu.tried" ] || sh vm-images/nested/qemu.sh "$O/nested" || true
PATH=$(cd "$O/nested" && pwd)/bin:$PATH
work=$(mktemp -d)
trap 'kill "$vm" 2>/dev/null; rm -rf "$work"' EXIT
vm=

# boot KERNEL INITRD: two CPUs, console and port as sockets. QEMU goes on without a client.
boot() {
	rm -f "$work/console" "$work/port"
	qemu-system-x86_64 -M pc -accel tcg,thread=multi -smp 2 -cpu "$cpu" -m 512 \
		-nodefaults -no-user-config -display none -no-reboot -kernel "$1" -initrd "$2" \
		-append "console=ttyS0 quiet spectre_v2=retpoline panic=-1 $arguments" \
		-chardev "socket,id=console,path=$work/console,server=on,wait=off" -serial chardev:console \
		-device virtio-serial-pci -chardev "socket,id=port,path=$work/port,server=on,wait=off" \
		-device virtserialport,chardev=port,name=org.hotrail.agent.0 >"$work/log" 2>&1 &
	vm=$!
}

boot "$folder/vmlinuz-cloud" "$O/agent/test-$kernel.cpio"
HOTRAIL_CONSOLE=$work/console HOTRAIL_PORT=$work/port "$test"
status=$?
[ $status -eq 0 ] || cat "$work/log"
exit $status
