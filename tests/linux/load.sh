#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Work for a Linux guest's CPUs until a line comes from the console: file systems, pipes, processes,
# sockets, timers. Every round's result is compared with the first round's.

files()
{
	dd if=/dev/zero of="/tmp/f.$1" bs=4096 count=400 2>/dev/null
	md5sum <"/tmp/f.$1"
	cat "/tmp/f.$1" "/tmp/f.$1" | tr '\0' 'a' | md5sum
	mkdir -p "/tmp/d.$1"/a/b/c
	for n in 1 2 3 4 5 6 7 8 9; do echo $n >"/tmp/d.$1"/a/b/c/$n; done
	find "/tmp/d.$1" -type f | sort | xargs cat | md5sum
	rm -r "/tmp/d.$1" "/tmp/f.$1"
}

system()
{
	find /sys/devices/system /proc/self/ -maxdepth 4 2>/dev/null | head -n 300 | wc -l
	dd if=/proc/self/maps of=/dev/null bs=1 2>/dev/null
	dd if=/dev/zero bs=64 count=3000 2>/dev/null | md5sum
	(echo hello; sleep 0.01) | nc -w 1 127.0.0.1 "$1" >/dev/null 2>&1
	find /dev | wc -l
	(for n in 1 2 3 4 5; do sh -c 'exit 3' || echo $?; done) | md5sum
}

work()
{
	good=''
	round=0
	while [ -e /tmp/run ]; do
		now=$(files "$1"; system "$1")
		[ -n "$good" ] || good=$now
		if [ "$now" = "$good" ]; then
			round=$((round + 1))
			echo "$round" >"/tmp/rounds.$1"
		else
			echo "LOAD-BAD worker $1 round $round"
			echo "$now"
		fi
	done
	echo "LOAD-DONE worker $1 rounds $round"
}

mount -t tmpfs tmp /tmp
ifconfig lo 127.0.0.1 up 2>/dev/null
touch /tmp/run
echo 2 >/proc/sys/kernel/panic_on_oops 2>/dev/null
work 1 &
work 2 &
echo "LOAD-BEGIN"
read -r _line
rm /tmp/run
wait
dmesg | grep -E 'WARNING:|BUG:|Oops|lockup|stall|general protection|unexpected' && echo LOAD-BAD kernel
echo "LOAD-END"
