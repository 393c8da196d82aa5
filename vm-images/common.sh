# SPDX-License-Identifier: GPL-2.0-only
# What the image scripts share; sourced, not run. `area` names the caller in messages.
# shellcheck shell=sh

die()
{
	echo "${area:-images}: $*" >&2
	exit 1
}

need_tools()
{
	for tool in "$@"; do
		command -v "$tool" >/dev/null || die "$tool is missing: make deps installs what Hotrail needs"
	done
}

# packages_of KIND FILE: names from a list of lines "KIND PACKAGE".
packages_of()
{
	awk -v kind="$1" '$1 == kind { print $2 }' "$2"
}

# debian_download FOLDER PACKAGE...: the versions that the configured sources offer. Nothing is
# installed.
debian_download()
{
	to=$1
	shift
	command -v apt-get >/dev/null || die "apt-get is missing: this needs Debian packages"
	mkdir -p "$to"
	# The sandbox user of apt usually may not write there.
	(cd "$to" && apt-get -q -q -o APT::Sandbox::User=root download "$@" >&2) ||
		die "cannot download all of $*: run apt-get update"
}

# debian_kernel FOLDER META: download the kernel package that META (linux-image-amd64 and the
# like: empty, depends on the versioned one) stands for; prints the file.
debian_kernel()
{
	command -v apt-cache >/dev/null || die "apt-cache is missing: this needs a Debian linux-image package"
	package=$(apt-cache depends "$2" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || die "apt knows no $2: run apt-get update"
	debian_download "$1" "$package"
	for deb in "$1/$package"_*.deb; do :; done
	echo "$deb"
}

# debian_modules ROOT FOLDER MODULE...: copy modules of an unpacked kernel package, named by their
# path without suffix ("kernel/net/core/failover"), unpacked where they are packed. What is built
# into the kernel is passed over.
debian_modules()
{
	from=$1 to=$2
	shift 2
	rm -rf "$to"
	mkdir -p "$to"
	for module in "$@"; do
		name=${module##*/}
		found=$(find "$from" -path "*/$module.ko*" | head -n 1)
		case $found in
		*.ko) cp "$found" "$to/$name.ko" ;;
		*.ko.xz) xz -dc "$found" >"$to/$name.ko" ;;
		*)
			find "$from" -name modules.builtin -exec cat {} + | grep -qx "$module.ko" ||
				die "the kernel package lacks the module $name"
			;;
		esac
	done
}

# skeleton ROOT: folders, busybox with all its applets, users.
skeleton()
{
	busybox=$(command -v busybox) || die "busybox is missing: apt-get install busybox-static"
	if ldd "$busybox" >/dev/null 2>&1; then
		die "$busybox needs shared libraries: apt-get install busybox-static"
	fi
	for dir in bin dev etc proc root run sbin sys tmp usr/bin usr/sbin var/lib; do
		mkdir -p "$1/$dir"
	done
	chmod 755 "$1" # becomes / in there
	cp "$busybox" "$1/bin/busybox"
	"$busybox" --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/sh' >"$1/etc/passwd"
	echo 'root:x:0:
nogroup:x:65534:' >"$1/etc/group"
}

# pack ROOT FILE: an initramfs, not compressed: a software CPU spends longer on unpacking than
# on reading.
pack()
{
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$2.new"
	mv "$2.new" "$2"
}
