# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A kernel configuration, by name or path, and what became of it.

debian_config=${DEBIAN_CONFIG:-/usr/src/${BASE/linux-/linux-config-}/config.arm64_none_arm64.xz}

# Prints the whole configuration that $CONFIG starts from; nothing where that is
# allnoconfig, which has what is asked for and no more.
config_base()
{
	case $CONFIG in
	lab | debug | preempt | net | 16k | 64k) ;;
	debian)
		[ -e "$debian_config" ] ||
			die "$debian_config is missing. For Debian's configuration:" \
				"dpkg --add-architecture arm64 && apt-get update &&" \
				"apt-get install ${BASE/linux-/linux-config-}:arm64." \
				"Or give the host's own: CONFIG=/boot/config-..."
		xzcat "$debian_config"
		;;
	*/*)
		[ -r "$CONFIG" ] || die "CONFIG=$CONFIG: no such file"
		cat "$CONFIG"
		;;
	*) die "CONFIG=$CONFIG: not lab, debug, preempt, net, 16k, 64k, debian or a path" ;;
	esac
}

# Prints the options on top of that, a later one overriding an earlier: a base
# may say in a file of its own what is another one there.
config_options()
{
	local names name

	case $CONFIG in
	lab) names=lab ;;
	debug | preempt | net | 16k | 64k) names="lab $CONFIG" ;;
	*) names=debian ;;
	esac
	for name in $names; do
		cat "$kernel_dir/config/$name.config"
		[ ! -e "$kernel_dir/$BASE/$name.config" ] || cat "$kernel_dir/$BASE/$name.config"
	done | sed -n -e '/^CONFIG_/p' -e '/^# CONFIG_[A-Za-z0-9_]* is not set$/p'
}

# The name of a configuration's object tree
config_name()
{
	local hash

	case $CONFIG in
	*/*) hash=$(config_base | hash_of_stdin) && echo "path-$hash" ;;
	*) echo "$CONFIG" ;;
	esac
}

# image_key PATCH...: of all that an Image is made from
image_key()
{
	{
		toolchain
		config_base
		config_options
		diff_select . '^(Documentation|tools|samples)/' "$@"
	} | hash_of_stdin
}

# config_check OPTIONS RESULT: dies naming each option that RESULT, the
# finished .config, does not have as OPTIONS asks for.
config_check()
{
	local lost

	lost=$(awk '
		function name(line) {
			sub(/^# /, "", line)
			sub(/[ =].*/, "", line)
			return line
		}
		FNR == NR { wanted[name($0)] = $0; next }
		/^CONFIG_/ { got[name($0)] = $0 }
		END {
			for (n in wanted) {
				off = wanted[n] ~ /^#/ || wanted[n] ~ /=n$/
				if (off ? n in got : got[n] != wanted[n])
					print "  " wanted[n]
			}
		}' "$1" "$2" | sort)
	[ -z "$lost" ] ||
		die "CONFIG=$CONFIG: not honoured by this source after olddefconfig:"$'\n'"$lost"
}

# Writes .config of $objects; leaves it alone where it would stay the same, so
# that nothing is built again for its date.
config_make()
{
	local new=$objects/.config.new wanted=$objects/.config.wanted

	config_options >"$wanted"
	config_base >"$new"
	if [ -s "$new" ]; then
		cat "$wanted" >>"$new"
		kernel_make KCONFIG_CONFIG=.config.new olddefconfig
	else
		kernel_make KCONFIG_CONFIG=.config.new KCONFIG_ALLCONFIG="$wanted" allnoconfig
	fi
	config_check "$wanted" "$new"
	if cmp -s "$new" "$objects/.config"; then
		rm -f "$new"
	else
		mv "$new" "$objects/.config"
	fi
}
