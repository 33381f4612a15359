// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/qemu-name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "base/util.h"

/* Command lines are some kilobytes long, and -name is among the first options. */
#define CMDLINE_MAX 65536

/* The argument behind @arg, or NULL. An argument that is cut off is none. */
static const char *next_argument(const char *arg, const char *end)
{
	const char *next = memchr(arg, '\0', (size_t)(end - arg));

	if (!next || ++next >= end || !memchr(next, '\0', (size_t)(end - next)))
		return NULL;
	return next;
}

/* qemu-system-aarch64, qemu-kvm, kvm. */
static bool is_qemu(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	return strncmp(name, "qemu", strlen("qemu")) == 0 || strcmp(name, "kvm") == 0;
}

/* @option: with one dash; QEMU takes two for the same. */
static bool is_option(const char *arg, const char *option)
{
	return strcmp(arg + (arg[0] == '-' && arg[1] == '-'), option) == 0;
}

/* The comma that ends the value at @value, or its end; doubled ones do not. */
static const char *find_value_end(const char *value)
{
	value = strchrnul(value, ',');
	while (value[0] == ',' && value[1] == ',')
		value = strchrnul(value + 2, ',');
	return value;
}

/* Copies a value, its doubled commas made single. */
static int copy_value(const char *value, const char *end, char *name, size_t name_size)
{
	size_t n = 0;

	for (; value < end; value++) {
		if (n + 1 >= name_size)
			return -ENAMETOOLONG;
		name[n++] = *value;
		if (*value == ',')
			value++;
	}
	name[n] = '\0';
	return n ? 0 : -ENOENT;
}

/* Of "guest=NAME", wherever it stands, or of a first value without a key, the name. */
static int parse_option(const char *option, char *name, size_t name_size)
{
	static const char key[] = "guest=";
	const char *value = option, *end;
	bool first = true;

	for (;; value = end + 1, first = false) {
		end = find_value_end(value);
		if (strncmp(value, key, strlen(key)) == 0)
			return copy_value(value + strlen(key), end, name, name_size);
		if (first && !memchr(value, '=', (size_t)(end - value)))
			return copy_value(value, end, name, name_size);
		if (!*end)
			return -ENOENT;
	}
}

/* What comes behind @option, whose value the last one counts, as in QEMU; NULL: nothing. */
static const char *find_value(const char *cmdline, size_t size, const char *option)
{
	const char *end = cmdline + size, *value = NULL;

	if (!memchr(cmdline, '\0', size) || !is_qemu(cmdline))
		return NULL;
	for (const char *arg = next_argument(cmdline, end); arg; arg = next_argument(arg, end)) {
		if (!is_option(arg, option))
			continue;
		arg = next_argument(arg, end);
		if (!arg)
			break;
		value = arg;
	}
	return value;
}

int qemu_name_parse(const char *cmdline, size_t size, char *name, size_t name_size)
{
	const char *value = find_value(cmdline, size, "-name");

	return value ? parse_option(value, name, name_size) : -ENOENT;
}

int uuid_parse(const char *text, char ret[static UUID_SIZE])
{
	sd_id128_t id;

	/* Without hyphens it may as well be a name. */
	if (strlen(text) != UUID_SIZE - 1 || sd_id128_from_string(text, &id) < 0)
		return -EINVAL;
	snprintf(ret, UUID_SIZE, SD_ID128_UUID_FORMAT_STR, SD_ID128_FORMAT_VAL(id));
	return 0;
}

int qemu_uuid_parse(const char *cmdline, size_t size, char ret[static UUID_SIZE])
{
	const char *value = find_value(cmdline, size, "-uuid");

	return value && uuid_parse(value, ret) == 0 ? 0 : -ENOENT;
}

int qemu_names_of_process(pid_t pid, struct guest_names *ret)
{
	_cleanup_free_ char *cmdline = NULL;
	_cleanup_close_ int fd = -1;
	char path[64];
	size_t n = 0;
	ssize_t r;

	*ret = (struct guest_names){};
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cmdline = malloc(CMDLINE_MAX);
	if (!cmdline)
		return -ENOMEM;
	do {
		r = read(fd, cmdline + n, CMDLINE_MAX - n);
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0 && n < CMDLINE_MAX);
	if (r < 0)
		return -errno;
	if (qemu_name_parse(cmdline, n, ret->name, sizeof(ret->name)) < 0)
		ret->name[0] = '\0';
	if (qemu_uuid_parse(cmdline, n, ret->uuid) < 0)
		ret->uuid[0] = '\0';
	return ret->name[0] || ret->uuid[0] ? 0 : -ENOENT;
}
