# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the scripts of this folder share: their parameters, the cache folder and
# its lock, the patches of a series and the keys under which results are kept.

set -euo pipefail

kernel_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

BASE=${BASE:-linux-6.1}
SERIES=${SERIES-eager-split}
CONFIG=${CONFIG:-lab}
JOBS=${JOBS:-$(nproc)}

cache_dir=${EAGERSPLITD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/eagersplitd}/kernel
work_dir=$cache_dir/$BASE

# The kernel's makefiles take these from the environment, and whoever calls us
# may have set them for something else.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES KBUILD_OUTPUT KCFLAGS KAFLAGS \
	LOCALVERSION CFLAGS CPPFLAGS LDFLAGS LDLIBS CC LD AR O V W C
export ARCH=arm64 CROSS_COMPILE=${CROSS_COMPILE:-aarch64-linux-gnu-}
# The same input gives the same Image.
export KBUILD_BUILD_USER=eagersplitd KBUILD_BUILD_HOST=localhost \
	KBUILD_BUILD_VERSION=1 KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:00 UTC'
export LC_ALL=C
# ccache, where installed, is found under the compiler's own name, so that the
# commands, which kbuild compares, stay the same with and without it.
[ ! -x "/usr/lib/ccache/${CROSS_COMPILE}gcc" ] || export PATH="/usr/lib/ccache:$PATH"
# By the dependencies that the compiler writes anyway, it saves a preprocessing.
export CCACHE_BASEDIR=$cache_dir CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "kernel: error: $*"
	exit 1
}

# need COMMAND PACKAGE: dies unless the command is there.
need()
{
	command -v "$1" >/dev/null ||
		die "$1 is missing; install it: apt-get install $2"
}

# A make that ends by itself leaves nothing half-written: on a signal, which it
# gets too, it is waited for.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

hash_of_stdin()
{
	sha256sum | cut -c 1-16
}

# Only one of us changes the cache folder at a time. The children inherit the
# lock, so that it also outlives a killed script for as long as a compiler of
# its still writes.
lock_cache()
{
	mkdir -p "$work_dir"
	exec 9>"$work_dir/lock"
	flock --nonblock 9 || {
		say "kernel: waiting for another build in $work_dir"
		flock 9
	}
}

# --- The series ---

# The series that lie below a series, itself last: those of a base whose folders
# have numbers are each on top of those before it. "all" are all of them. In the
# debug configuration, bbm and vmid have on top what only tests have a use for.
series_stack()
{
	local name numbered=()

	for name in "$kernel_dir/$BASE"/[0-9][0-9]-*/; do
		[ ! -d "$name" ] || numbered+=("$(basename "$name")")
	done
	case $1 in
	none) ;;
	all)
		[ ! -d "$kernel_dir/$BASE/vmid" ] || echo eager-split bbm vmid
		printf '%s\n' "${numbered[@]}"
		;;
	bbm)
		echo eager-split bbm
		[ "$CONFIG" != debug ] || echo debug
		;;
	vmid)
		echo eager-split bbm vmid
		[ "$CONFIG" != debug ] || echo debug debug-vmid
		;;
	[0-9][0-9]-*)
		for name in "${numbered[@]}"; do
			[[ $name > $1 ]] || echo "$name"
		done
		;;
	*) echo "$1" ;;
	esac
}

# Sets the array "patches" to those of $SERIES, in order.
load_patches()
{
	local series folder

	patches=()
	for series in $(series_stack "$SERIES"); do
		folder=$kernel_dir/$BASE/$series
		compgen -G "$folder/*.patch" >/dev/null ||
			die "no patches in $folder (BASE=$BASE SERIES=$SERIES)"
		patches+=("$folder"/*.patch)
	done
}

# diff_select ONLY EXCEPT PATCH...: see diff-select.awk
diff_select()
{
	local only=$1 except=$2

	shift 2
	[ $# -eq 0 ] || awk -f "$kernel_dir/scripts/diff-select.awk" \
		-v only="$only" -v except="$except" "$@"
}

# The paths that patches touch
diff_paths()
{
	[ $# -eq 0 ] || awk -f "$kernel_dir/scripts/diff-select.awk" \
		-v only=. -v list=1 "$@" | sort -u
}

# --- The source ---

source_package=${BASE/linux-/linux-source-}
installed_tarball=/usr/src/$source_package.tar.xz
# Those that this Debian has no package of: PACKAGE_VERSION.tar.xz; see "source"
fetched_dir=$cache_dir/sources
source_missing="the kernel source is missing; install it: apt-get install $source_package,\
 or where this Debian does not have it: make -C kernel source BASE=$BASE"

# The tarball that was fetched, the latest; fails where there is none.
fetched_tarball()
{
	local newest

	newest=$(compgen -G "$fetched_dir/${source_package}_*.tar.xz" | sort -V | tail -n 1) || :
	[ -n "$newest" ] && echo "$newest"
}

# The tarball that a base is unpacked from; fails where there is none.
source_tarball()
{
	if [ -e "$installed_tarball" ]; then
		echo "$installed_tarball"
	else
		fetched_tarball
	fi
}

# --- Keys ---

# The version of Debian's source package
source_version()
{
	local tarball version

	if version=$(dpkg-query -W -f '${Version}' "$source_package" 2>/dev/null) &&
		[ -n "$version" ] && [ -e "$installed_tarball" ]; then
		echo "$version"
	elif tarball=$(fetched_tarball); then
		tarball=${tarball##*_}
		echo "${tarball%.tar.xz}"
	else
		die "$source_missing"
	fi
}

compiler_version()
{
	need "${CROSS_COMPILE}gcc" gcc-aarch64-linux-gnu
	"${CROSS_COMPILE}gcc" --version | head -n 1
}

# What each key starts with
toolchain()
{
	source_version
	compiler_version
}
