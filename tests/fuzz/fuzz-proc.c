// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files of /proc, whose text is in part what processes like to be called: cmdline as it
 * is, the others as strings. The first byte says which one it is.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "host/proc-parse.h"
#include "host/qemu-name.h"

static void check_cmdline(const char *data, size_t size)
{
	char name[64] = "", uuid[UUID_SIZE] = "";
	int r = qemu_name_parse(data, size, name, sizeof(name));

	check(r == 0 || r == -ENOENT || r == -ENAMETOOLONG);
	if (r == 0)
		check(name[0] && memchr(name, '\0', sizeof(name)));
	r = qemu_uuid_parse(data, size, uuid);
	check(r == -ENOENT || (r == 0 && strlen(uuid) == UUID_SIZE - 1));
}

static void check_stat(const char *text)
{
	uint64_t time;
	int r = proc_parse_start_time(text, &time);

	check(r == 0 || r == -EBADMSG);
}

static void check_status(const char *text)
{
	pid_t pid = proc_parse_pid(text, "Tgid:");

	check(pid > 0 || pid == -ESRCH);
}

static void check_fdinfo(const char *text)
{
	int mount = proc_parse_mount(text);

	check(mount >= -1);
	/* On its own mount it is as plain as on any. */
	check(proc_fdinfo_is_plain(text, mount) == proc_fdinfo_is_plain(text, -1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;

	if (size < 1)
		return 0;
	text = malloc(size);
	check(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4) {
	case 0:
		check_cmdline((const char *)data + 1, size - 1);
		break;
	case 1:
		check_stat(text);
		break;
	case 2:
		check_status(text);
		break;
	default:
		check_fdinfo(text);
	}
	return 0;
}
