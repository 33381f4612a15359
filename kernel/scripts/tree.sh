# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The one unpacked source tree of a kernel base, which all object trees share,
# and its way from one set of patches to another.

source_dir=$work_dir/source
# Paths that a patch has touched since the source was unpacked; of those that
# the tarball has, a copy as they were
touched_list=$work_dir/touched
pristine_dir=$work_dir/pristine

# Unpacks the source where this has not been done, or not for this version.
tree_unpack()
{
	local version tarball

	version=$(source_version)
	[ "$(cat "$work_dir/version" 2>/dev/null)" != "$version" ] || return 0
	need xz xz-utils
	tarball=$(source_tarball)
	say "kernel: unpacking $tarball ($version)"
	rm -rf "$work_dir/version" "$work_dir"/{unpacking,source,pristine,touched} \
		"$work_dir"/objects-*
	mkdir -p "$work_dir/unpacking"
	tar -C "$work_dir/unpacking" --strip-components=1 -xJf "$tarball"
	mkdir -p "$pristine_dir"
	: >"$touched_list"
	mv "$work_dir/unpacking" "$source_dir"
	replace_file "$work_dir/version" <<<"$version"
}

# replace_file FILE: stdin becomes its content, at once or not at all.
replace_file()
{
	cat >"$1.new"
	mv "$1.new" "$1"
}

# Keeps the pristine copy of a file that is about to be touched first.
tree_keep_pristine()
{
	local path=$1

	if [ -e "$source_dir/$path" ]; then
		mkdir -p "$pristine_dir/$(dirname "$path")"
		cp -p "$source_dir/$path" "$pristine_dir/$path"
	fi
	echo "$path" >>"$touched_list"
}

# tree_set PATCH...: makes the source the tarball's with these patches and no
# others. The patches are applied to copies, and only files that come out
# different from what is there are written: what need not be built again keeps
# its date, and an interruption at any point is mended by the next call.
tree_set()
{
	local stage path patch

	for path in $(diff_paths "$@"); do
		grep -qxF "$path" "$touched_list" || tree_keep_pristine "$path"
	done
	stage=$work_dir/stage
	rm -rf "$stage"
	cp -a "$pristine_dir" "$stage"
	for patch in "$@"; do
		apply_patch "$stage" "$patch"
	done
	while read -r path; do
		if [ ! -e "$stage/$path" ]; then
			rm -f "$source_dir/$path"
		elif ! cmp -s "$stage/$path" "$source_dir/$path"; then
			mkdir -p "$source_dir/$(dirname "$path")"
			cp --preserve=mode "$stage/$path" "$source_dir/$path.new"
			mv "$source_dir/$path.new" "$source_dir/$path"
		fi
	done <"$touched_list"
	rm -rf "$stage"
}

# apply_patch FOLDER PATCH: without fuzz, or dies naming the patch.
apply_patch()
{
	local output

	output=$(patch -d "$1" -p1 -F0 --batch --forward --no-backup-if-mismatch \
		--reject-file=- <"$2" 2>&1) ||
		die "$(basename "$2") does not apply to $BASE:"$'\n'"$output"
}

# objects_enter NAME: sets "objects" to the object tree of that name. One whose
# last make did not live to end by itself may hold half-written objects with a
# new date; it is given up.
objects_enter()
{
	objects=$work_dir/objects-$1
	if [ -e "$objects/.making" ]; then
		say "kernel: the last build in $objects was killed: starting afresh"
		rm -rf "$objects"
	fi
	mkdir -p "$objects"
}

# logged_make ARGUMENT...: make, with its output in a log of $objects, of which
# an error shows the end
logged_make()
{
	local status=0 log=$objects/build.log

	: >"$objects/.making"
	make -s -j"$JOBS" "$@" >"$log" 2>&1 || status=$?
	rm -f "$objects/.making"
	[ $status -eq 0 ] || {
		tail -n 40 "$log" >&2
		die "make $* failed; the whole log: $log"
	}
}

# kernel_make ARGUMENT...: the kernel's make, in $objects
kernel_make()
{
	logged_make -C "$source_dir" O="$objects" "$@"
}

# keep FOLDER: what "$objects/result" holds becomes FOLDER, at once.
keep()
{
	rm -rf "$1"
	mkdir -p "$(dirname "$1")"
	mv "$objects/result" "$1"
}

# What each build starts with
prepare_build()
{
	need make make
	need patch patch
	need flex flex
	need bison bison
	need bc bc
	lock_cache
	tree_unpack
}
