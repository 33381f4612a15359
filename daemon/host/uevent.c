// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/uevent.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"

/* What counts of a message's keys. */
enum key {
	KEY_ACTION,
	KEY_DEVPATH,
	KEY_EVENT,
	KEY_PID,
	KEY_MAX_,
};

static const char *const keys[KEY_MAX_] = {
	[KEY_ACTION] = "ACTION=",
	[KEY_DEVPATH] = "DEVPATH=",
	[KEY_EVENT] = "EVENT=",
	[KEY_PID] = "PID=",
};

static const char *const types[] = {
	[UEVENT_VM_CREATED] = "create",
	[UEVENT_VM_DESTROYED] = "destroy",
};

/* Takes note of a KEY=VALUE string. One that counts may be there once. */
static int take_string(const char *s, const char *values[KEY_MAX_])
{
	if (!strchr(s, '='))
		return -EBADMSG;
	for (size_t i = 0; i < KEY_MAX_; i++) {
		size_t n = strlen(keys[i]);

		if (strncmp(s, keys[i], n) != 0)
			continue;
		if (values[i])
			return -EBADMSG;
		values[i] = s + n;
	}
	return 0;
}

static bool is_of_kvm(const char *const values[KEY_MAX_])
{
	return values[KEY_ACTION] && strcmp(values[KEY_ACTION], "change") == 0 &&
	       values[KEY_DEVPATH] && strcmp(values[KEY_DEVPATH], "/devices/virtual/misc/kvm") == 0;
}

static int take_event(const char *const values[KEY_MAX_], struct uevent *ret)
{
	uint64_t tid;

	/* A change of the device that is no VM's: somebody wrote to its uevent file. */
	if (!values[KEY_EVENT])
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(values[KEY_EVENT], types[i]) != 0)
			continue;
		if (!values[KEY_PID] || parse_u64(values[KEY_PID], &tid) < 0 || tid == 0 ||
		    tid > INT_MAX)
			return -EBADMSG;
		*ret = (struct uevent){ .type = (enum uevent_type)i, .tid = (pid_t)tid };
		return 1;
	}
	return 0;
}

int uevent_parse(const void *data, size_t size, struct uevent *ret)
{
	const char *values[KEY_MAX_] = {};
	const char *p = data, *end = p + size;
	int r;

	if (size == 0 || size > UEVENT_MESSAGE_MAX || end[-1] != '\0' || !strchr(p, '@'))
		return -EBADMSG;
	/* Behind the summary, which the keys repeat. */
	for (p += strlen(p) + 1; p < end; p += strlen(p) + 1) {
		r = take_string(p, values);
		if (r < 0)
			return r;
	}
	return is_of_kvm(values) ? take_event(values, ret) : 0;
}
