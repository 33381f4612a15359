// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/proc-parse.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"

/* Of /proc/PID/stat, "state" being the first field behind the name. */
#define STAT_FIRST     3
#define STAT_STARTTIME 22

/* The digits at @s behind white space, if nothing but white space follows in the line. */
static int parse_field(const char *s, uint64_t *ret)
{
	char digits[32];
	size_t n;

	s += strspn(s, " \t");
	n = strspn(s, "0123456789");
	if (n >= sizeof(digits) || !strchr(" \t\n", s[n]))
		return -EBADMSG;
	memcpy(digits, s, n);
	digits[n] = '\0';
	return parse_u64(digits, ret) < 0 ? -EBADMSG : 0;
}

/* Behind @name where a line begins with it, or NULL. */
static const char *find_line(const char *text, const char *name)
{
	size_t n = strlen(name);

	while (text && strncmp(text, name, n) != 0) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? text + n : NULL;
}

/* The number in the line that begins with @name, or -1. */
static int find_number(const char *text, const char *name)
{
	const char *line = find_line(text, name);
	uint64_t number;

	if (!line || parse_field(line, &number) < 0 || number > INT_MAX)
		return -1;
	return (int)number;
}

pid_t proc_parse_pid(const char *text, const char *name)
{
	int number = find_number(text, name);

	return number > 0 ? number : -ESRCH;
}

int64_t proc_parse_uid(const char *text)
{
	const char *line = find_line(text, "Uid:");
	uint64_t uid;

	/* Four of them, the real one first. */
	return line && parse_field(line, &uid) == 0 && uid <= UINT32_MAX ? (int64_t)uid : -ESRCH;
}

int proc_parse_start_time(const char *text, uint64_t *ret)
{
	/* The name is in brackets and may hold anything, brackets too. */
	const char *p = strrchr(text, ')');

	for (int field = STAT_FIRST; p && field <= STAT_STARTTIME; field++)
		p = strchr(p + 1, ' ');
	return p ? parse_field(p, ret) : -EBADMSG;
}

int proc_parse_mount(const char *text)
{
	return find_number(text, "mnt_id:");
}

bool proc_fdinfo_is_plain(const char *text, int mount)
{
	static const char *const common[] = { "pos:", "flags:", "mnt_id:", "ino:", "lock:" };

	if (mount >= 0 && proc_parse_mount(text) >= 0 && proc_parse_mount(text) != mount)
		return false;
	/* The last line may be cut off. */
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(common); i++)
			known |= strncmp(text, common[i], strlen(common[i])) == 0;
		if (!known)
			return false;
	}
	return true;
}
