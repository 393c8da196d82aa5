#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run programs of this host under real KVM inside an emulated machine (QEMU's software CPU offers
# AMD SVM with nested paging; a stock Debian kernel in it provides /dev/kvm).
set -euo pipefail

usage()
{
	cat <<END
usage: run.sh [OPTIONS] PROGRAM [ARGS...]
       run.sh [OPTIONS] --list FILE

Boots once and runs PROGRAM, or every line of FILE, as root in an emulated 2-CPU machine that has
/dev/kvm. The programs and the shared libraries they need are copied from this host: a relative
path lands below the working directory in there, an absolute path where it is here.

  --timeout S       limit for the whole run, boot included (default 180)
  --each S          limit for one command (default: that of the run)
  --memory MIB      memory of the emulated machine (default 1024)
  --file PATH[:DEST]  copy one more file or folder (repeatable)
  --list FILE       one shell command per line; empty lines and lines that start with # are
                    skipped. After each command a line "RIG STATUS COMMAND" is printed.
  --console FILE    keep the kernel console there

Exit status: of PROGRAM; with --list 0 when every command ended with 0 or 77 (skipped), else 1.
125: the machine did not get that far (no QEMU, no boot, kernel panic, a CPU that stands still,
time limit).
O=DIR is the build folder, as in the Makefile.
END
}

die()
{
	echo "nested: $*" >&2
	exit 125
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
O=${O:-$here/../../build}
cache=$O/nested
limit=180 each='' memory=1024 list='' console=''
files=()
while [ $# -gt 0 ]; do
	case $1 in
	--timeout | --each | --memory | --file | --list | --console)
		[ $# -ge 2 ] || die "$1 needs a value"
		;;
	esac
	case $1 in
	--timeout) limit=$2 ;;
	--each) each=$2 ;;
	--memory) memory=$2 ;;
	--file) files+=("$2") ;;
	--list) list=$2 ;;
	--console) console=$2 ;;
	--help | -h)
		usage
		exit 0
		;;
	--) shift && break ;;
	-*) die "unknown option $1; run.sh --help says what there is" ;;
	*) break ;;
	esac
	shift 2
done
for number in "$limit" "${each:=$limit}" "$memory"; do
	[[ $number =~ ^[1-9][0-9]{0,6}$ ]] || die "'$number' is not a positive number"
done
if [ -n "$list" ]; then
	[ $# -eq 0 ] || die "--list takes no PROGRAM"
	[ -f "$list" ] || die "$list: no such file"
elif [ $# -eq 0 ]; then
	usage >&2
	exit 125
fi
command -v qemu-system-x86_64 >/dev/null ||
	die "qemu-system-x86_64 is missing: apt-get install qemu-system-x86"
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# The same steps as in nested.mk, for use without make.
exec 9>"$cache/lock"
flock 9
[ -f "$cache/qemu.tried" ] || sh "$here/qemu.sh" "$cache" || true
PATH=$cache/bin:$PATH
[ -f "$cache/bzImage" ] || sh "$here/kernel.sh" "$cache" || die "no kernel for the emulated machine"
stale=$([ -f "$cache/base.cpio" ] || echo yes)
for part in "$here/init" "$here/hold.c" "$here/base.sh" "$cache/bzImage"; do
	[ ! "$part" -nt "$cache/base.cpio" ] || stale=yes
done
if [ -n "$stale" ]; then
	sh "$here/base.sh" "$cache" || die "no root file system for the emulated machine"
fi
exec 9>&-

still_s=90 # no sign of life from a CPU for so long: QEMU has lost it
work=$(mktemp -d "$cache/run.XXXXXX")
qemu_pid='' tail_pid='' watch_pid=''
# shellcheck disable=SC2317 # reached through the trap
cleanup()
{
	local pid

	for pid in $watch_pid $qemu_pid $tail_pid; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
root=$work/root
mkdir -p "$root/rig"

# Where a host path lands in there.
inside()
{
	case $1 in
	/*) echo "$root$1" ;;
	*) echo "$root/rig/$1" ;;
	esac
}

copy_libraries()
{
	local lib

	# ldd fails on static programs and on scripts: both need nothing.
	{ ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || true; } | while read -r lib; do
		[ -f "$lib" ] || continue
		mkdir -p "$root$(dirname "$lib")"
		cp -L -u "$lib" "$root$lib"
	done
}

copy_in()
{
	local to=$2

	[ -e "$1" ] || die "$1: no such file"
	mkdir -p "$(dirname "$to")"
	if [ -d "$1" ]; then
		mkdir -p "$to"
		cp -rL "$1/." "$to/"
		return
	fi
	cp -L "$1" "$to"
	if [ -x "$1" ]; then
		copy_libraries "$1"
	fi
}

quote()
{
	local word

	for word in "$@"; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

# copy_program WORD...: the program that a command runs, after "env" and "VAR=value".
copy_program()
{
	local word

	for word in "$@"; do
		case $word in
		env | *=*) continue ;;
		*/*) copy_in "$word" "$(inside "$word")" ;;
		esac
		return
	done
}

if [ -n "$list" ]; then
	grep -v -e '^[[:space:]]*$' -e '^#' "$list" >"$root/rig/list" || die "$list has no command"
	while read -r -a words; do
		copy_program "${words[@]}"
	done <"$root/rig/list"
else
	copy_program "$@"
	quote "$@" >"$root/rig/list"
	echo >>"$root/rig/list"
fi
for file in "${files[@]}"; do
	from=${file%%:*}
	to=$(inside "$from")
	[ "$from" = "$file" ] || to=$(inside "${file#*:}")
	copy_in "$from" "$to"
done
mark="@rig-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')@"
echo "$mark" >"$root/rig/mark"
echo "$each" >"$root/rig/each"
{
	cat "$cache/base.cpio"
	(cd "$root" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet)
} >"$work/initrd"

: >"$work/console"
: >"$work/output"
: >"$work/alive"
# panic=-1 with -no-reboot ends QEMU at once on a panic. Mitigations only slow the emulation down.
# 5-level paging off: a shorter walk for the software CPU.
timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max,la57=off,xsave=off,vgif=off,v-vmsave-vmload=off -machine pc \
	-smp 3 -m "$memory" -nodefaults -no-user-config -display none -no-reboot \
	-serial "file:$work/console" -serial "file:$work/output" \
	-serial "file:$work/alive" \
	-kernel "$cache/bzImage" -initrd "$work/initrd" \
	-append "console=ttyS0 panic=-1 oops=panic mitigations=off nmi_watchdog=0 nosoftlockup quiet" \
	</dev/null >"$work/qemu" 2>&1 &
qemu_pid=$!

# End a machine one of whose CPUs gives no sign of life any more.
watch_life()
{
	local cpu count now
	local -a last=(0 0 0) since=("$SECONDS" "$SECONDS" "$SECONDS")

	while sleep 5; do
		now=$SECONDS
		for cpu in 0 1 2; do
			count=$(grep -ac "^$cpu" "$work/alive" || true)
			# Before the first sign it boots, which the time limit covers.
			if [ "$count" -eq 0 ] || [ "$count" -ne "${last[cpu]}" ]; then
				since[cpu]=$now
			fi
			last[cpu]=$count
			if [ $((now - since[cpu])) -ge $still_s ]; then
				echo "CPU $cpu of the emulated machine stands still" >"$work/frozen"
				kill "$qemu_pid"
				return 0
			fi
		done
	done
}
watch_life &
watch_pid=$!

# Streams the programs' output, turns markers into RIG lines and a status file. `tail` ends with QEMU.
tail -n +1 -f -s 0.1 --pid "$qemu_pid" "$work/output" 2>/dev/null |
	awk -v mark="$mark" -v list="$root/rig/list" -v show="${list:+1}" -v status="$work/status" '
	BEGIN { while ((getline line < list) > 0) command[++count] = line }
	{
		at = index($0, mark)
		if (!at) { print; fflush(); next }
		if (at > 1) print substr($0, 1, at - 1)
		split(substr($0, at + length(mark) + 1), w, " ")
		if (w[1] == "end") {
			print w[2], w[3] > status; fflush(status)
			if (show) print "RIG " w[3] " " command[w[2]]
		} else if (w[1] == "broken" || w[1] == "done") {
			print substr($0, at + length(mark) + 1) > status; fflush(status)
		}
		fflush()
	}' &
tail_pid=$!
qemu_status=0
wait "$qemu_pid" || qemu_status=$?
qemu_pid=''
wait "$tail_pid" || true
tail_pid=''
kill "$watch_pid" 2>/dev/null || true
watch_pid=''
[ -z "$console" ] || cp "$work/console" "$console"

if ! grep -qsx "done" "$work/status" || grep -qs '^broken' "$work/status"; then
	{
		if [ -f "$work/frozen" ]; then
			echo "nested: $(cat "$work/frozen")"
		elif [ "$qemu_status" -eq 124 ] || [ "$qemu_status" -eq 137 ]; then
			echo "nested: the time limit of $limit s is over"
		else
			echo "nested: the emulated machine ended early (QEMU status $qemu_status)"
		fi
		sed -n 's/^broken/nested:/p' "$work/status" 2>/dev/null || true
		head -n 5 "$work/qemu"
		echo "nested: last console lines:"
		tail -n 30 "$work/console" | tr -d '\r'
	} >&2
	exit 125
fi
if grep -aqE '(WARNING:|BUG:|Oops|general protection)' "$work/console"; then
	{
		echo "nested: the kernel complained:"
		grep -aE -A 8 '(WARNING:|BUG:|Oops|general protection)' "$work/console" | tr -d '\r' | head -n 40
	} >&2
	exit 125
fi
if [ -n "$list" ]; then
	awk '/^[0-9]/ && $2 != 0 && $2 != 77 { bad = 1 } END { exit bad }' "$work/status"
	exit
fi
exit "$(awk '/^[0-9]/ { print $2; exit }' "$work/status")"
