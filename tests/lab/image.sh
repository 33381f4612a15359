#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The lab's Debian trees, all arm64 and all made without running any arm64 code:
#
#   image.sh root      the ext4 image that the emulated host boots from
#   image.sh trixie    the same of Debian 13, for its QEMU
#   image.sh libvirt   the first with libvirt, D-Bus, systemd-machined and a network, and dpkg's helpers
#   image.sh libvirt-trixie
#   image.sh sysroot   the folder that the daemon is cross-built against
#
# Each is built once and kept in the cache, under a key made of all that goes into it; the path is
# printed. Packages come from where build-aux/debian finds them.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
debian=$here/../../build-aux/debian
cache=${EAGERSPLITD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/eagersplitd}/lab

# What the emulated host runs: systemd, a stock QEMU, what the daemon links with, and Python for the
# scenarios (python3-minimal alone lacks json).
root_packages=(
	base-files base-passwd bash coreutils dbus findutils grep kmod login mount passwd procps sed
	systemd systemd-sysv udev util-linux qemu-system-arm python3-minimal
	libjson-c5 libnl-3-200 libsystemd0
)
# On top, for two hosts between which libvirt migrates: what the daemon's own package asks for when it is
# installed, and the firmware by which guests have memory plugged.
libvirt_packages=(
	libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients systemd-container
	init-system-helpers perl-base dpkg tar hostname qemu-efi-aarch64
)
sysroot_packages=(
	libc6-dev linux-libc-dev libsystemd-dev libjson-c-dev libnl-3-dev
	libcmocka-dev
)

die()
{
	echo "image.sh: $*" >&2
	exit 1
}

# extract SUITE DIR PACKAGE...: unpacks the packages and what they depend on into DIR.
extract()
{
	local suite=$1 dir=$2

	shift 2
	"$debian" "$suite" "$dir" --variant=extract --architectures=arm64 --include="$(IFS=,; echo "$*")"
}

# Nothing ran in the tree: do by hand the little that the packages' scripts would have done.
configure_root()
{
	local dir=$1 kind=$2 unit python

	ln -sf bash "$dir/bin/sh"
	cp "$dir/usr/share/base-passwd/passwd.master" "$dir/etc/passwd"
	cp "$dir/usr/share/base-passwd/group.master" "$dir/etc/group"
	echo 'messagebus:x:100:101::/nonexistent:/usr/sbin/nologin' >>"$dir/etc/passwd"
	printf '%s\n' 'messagebus:x:101:' 'kvm:x:102:' >>"$dir/etc/group"
	sed 's/:.*/:*:19000:0:99999:7:::/' "$dir/etc/passwd" >"$dir/etc/shadow"
	chmod 600 "$dir/etc/shadow"
	echo lab >"$dir/etc/hostname"
	echo 5af0c2b8e8f54c6f9f3ad8b04b1f52d1 >"$dir/etc/machine-id"
	mkdir -p "$dir/lab" "$dir/dev/hugepages"
	cp "$here/lab.target" "$here/lab.service" "$dir/etc/systemd/system/"
	install "$here/lab-init" "$dir/sbin/lab-init"
	install -m 644 "$here/lab-fstab" "$dir/etc/lab-fstab"
	# Python's own modules, which it would compile in each boot, where this Debian's is the same one:
	# what another one made it passes by.
	python=$dir/usr/lib/$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
	[ ! -d "$python" ] || python3 -m compileall -q --invalidation-mode unchecked-hash -s "$dir" "$python"
	rm -rf "$dir"/usr/share/{doc,man,locale,info,lintian,perl,perl5,bash-completion,zsh,iso-codes,xml} \
		"$dir"/usr/lib/aarch64-linux-gnu/{gconv,perl} "$dir"/var/cache/apt "$dir"/var/lib/apt
	# dpkg's helpers for units are in Perl.
	[ "$kind" = libvirt ] || rm -rf "$dir"/usr/lib/aarch64-linux-gnu/perl-base

	# Not looked at by any scenario, and each costs seconds of an emulator's time, a minute on a
	# debug kernel. Devices are in devtmpfs without udev, users are made by the scenarios.
	for unit in dbus.service dbus.socket systemd-logind.service systemd-timesyncd.service \
		systemd-update-utmp.service systemd-random-seed.service systemd-journal-flush.service \
		systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-network-generator.service \
		e2scrub_reap.service kmod-static-nodes.service ldconfig.service modprobe@.service \
		systemd-binfmt.service systemd-udev-settle.service sys-kernel-config.mount \
		sys-fs-fuse-connections.mount dev-mqueue.mount systemd-ask-password-wall.path \
		systemd-ask-password-console.path systemd-boot-update.service systemd-udevd.service \
		systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
		systemd-sysusers.service systemd-sysctl.service systemd-modules-load.service \
		systemd-remount-fs.service systemd-tmpfiles-setup-dev.service systemd-repart.service \
		systemd-firstboot.service first-boot-complete.target; do
		ln -sf /dev/null "$dir/etc/systemd/system/$unit"
	done
}

# Two hosts that are the same but for their names, which the runner gives them. The network is theirs alone:
# whoever is on it may have libvirt do anything. QEMU runs as Debian's own user.
configure_libvirt()
{
	local dir=$1 unit drivers=$1/usr/lib/aarch64-linux-gnu/libvirt/connection-driver

	echo 'libvirt-qemu:x:64055:102::/var/lib/libvirt:/usr/sbin/nologin' >>"$dir/etc/passwd"
	sed -i 's/^kvm:.*/&libvirt-qemu/' "$dir/etc/group"
	printf '%s\n' 'libvirt:x:103:' 'libvirt-qemu:x:64055:' >>"$dir/etc/group"
	printf '%s\n' 'passwd: files' 'group: files' 'hosts: files' >"$dir/etc/nsswitch.conf"
	printf '%s\n' '127.0.0.1 localhost' '10.0.0.1 host-a' '10.0.0.2 host-b' >"$dir/etc/hosts"
	rm -f "$dir/etc/hostname"
	for unit in dbus.service dbus.socket; do
		rm -f "$dir/etc/systemd/system/$unit"
	done
	# Guests have neither disks nor networks; each driver takes its time to start.
	find "$drivers" -name '*.so' ! -name '*_qemu.so' -delete
	# An emulated host may not answer for long: that is no sign that it is gone.
	cat >"$dir/etc/libvirt/libvirtd.conf" <<-EOF
		auth_tcp = "none"
		auth_unix_rw = "none"
		host_uuid_source = "machine-id"
		keepalive_interval = -1
	EOF
	cat >"$dir/etc/libvirt/qemu.conf" <<-EOF
		security_driver = "none"
		stdio_handler = "file"
		namespaces = [ ]
		keepalive_interval = -1
	EOF
	echo 'LIBVIRTD_ARGS=' >"$dir/etc/default/libvirtd"
	mkdir -p "$dir/var/lib/machines"
	# Where libvirt looks for sockets, its own and D-Bus's
	rm -rf "$dir/var/run"
	ln -s /run "$dir/var/run"
	# A quarter of an hour after the boot, in the midst of it
	ln -s /dev/null "$dir/etc/systemd/system/systemd-tmpfiles-clean.timer"
}

# build_image SUITE PYTHON KIND OUT SCRATCH
build_image()
{
	local tree=$5/tree packages=("${root_packages[@]}" "lib$2-stdlib")

	[ "$3" != libvirt ] || packages+=("${libvirt_packages[@]}")
	extract "$1" "$tree" "${packages[@]}"
	configure_root "$tree" "$3"
	[ "$3" != libvirt ] || configure_libvirt "$tree"
	mke2fs -q -t ext4 -O ^has_journal -m 0 -L lab-root -d "$tree" "$4" \
		"$(($(du -s --apparent-size -BM "$tree" | cut -f1 -dM) * 5 / 4 + 96))M"
}

build_root()
{
	build_image bookworm python3.11 root "$@"
}

build_trixie()
{
	build_image trixie python3.13 root "$@"
}

build_libvirt()
{
	build_image bookworm python3.11 libvirt "$@"
}

build_libvirt-trixie()
{
	build_image trixie python3.13 libvirt "$@"
}

# Absolute links would lead out of the sysroot.
build_sysroot()
{
	local link target

	extract bookworm "$1" "${sysroot_packages[@]}"
	find "$1/lib" "$1/usr/lib" -type l -lname '/*' | while read -r link; do
		target=$(readlink "$link")
		ln -sfr "$1$target" "$link"
	done
}

main()
{
	local kind=${1-} suffix='' key out

	case $kind in
	root | trixie | libvirt | libvirt-trixie) suffix=.ext4 ;;
	sysroot) ;;
	*) die "usage: image.sh root|trixie|libvirt|libvirt-trixie|sysroot" ;;
	esac
	key=$(cat "$debian" "$here"/image.sh "$here"/lab.target "$here"/lab.service "$here"/lab-init "$here"/lab-fstab | sha256sum | cut -c1-16)
	out=$cache/$kind-$key$suffix
	mkdir -p "$cache"
	if [ ! -e "$out" ]; then
		exec 9>"$cache/$kind.lock"
		flock 9
	fi
	if [ ! -e "$out" ]; then
		[ "$(id -u)" = 0 ] || die "making the lab's image needs root"
		scratch=$(mktemp -d "$cache/build.XXXXXX")
		trap 'rm -rf "$scratch"' EXIT
		"build_$kind" "$scratch/out$suffix" "$scratch" >&2
		# What a run of another tree began with days ago, it may use still.
		find "$cache" -maxdepth 1 -name "$kind-[0-9a-f]*" -mtime +6 -exec rm -rf {} +
		mv "$scratch/out$suffix" "$out"
	fi
	# It may be another user's.
	touch -c "$out" 2>/dev/null || :
	echo "$out"
}

main "$@"
