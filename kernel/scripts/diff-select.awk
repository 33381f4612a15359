# SPDX-License-Identifier: GPL-2.0-or-later
#
# Of patches as git format-patch writes them, the diffs of the files whose path
# matches the regular expression "only" and does not match "except". Mail
# headers, messages and index lines are dropped: they do not change a file.
#
#   awk -f diff-select.awk -v only='^include/' -v except='' PATCH...

# A diff starts after the message's end, which "---" marks.
FNR == 1 { in_diffs = 0; selected = 0 }

!in_diffs && $0 == "---" { in_diffs = 1; next }

in_diffs && /^diff --git a\// {
	path = $NF
	sub(/^b\//, "", path)
	selected = path ~ only && (except == "" || path !~ except)
	selected_paths = selected_paths (selected ? path "\n" : "")
}

selected && !list && !/^index [0-9a-f]+\.\.[0-9a-f]+/

END { if (list) printf "%s", selected_paths }
