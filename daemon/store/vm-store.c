// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/vm-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/transient.h"

#define RECORD_NAME_MAX 64

/**
 * struct vm_store - the folder
 * @path: where the next daemon looks for it
 * @dir: what was there the last time, -1: nothing
 * @error: why what may be there could not be opened, a negative errno; -ENOENT: nothing is there
 */
struct vm_store {
	char *path;
	int dir;
	int error;
};

static void format_name(char name[RECORD_NAME_MAX], uint64_t vm_id)
{
	snprintf(name, RECORD_NAME_MAX, "%" PRIu64, vm_id);
}

/* Whether what is open is what is there. */
static bool is_there(const struct vm_store *s)
{
	struct stat open, there;

	return s->dir >= 0 && fstat(s->dir, &open) == 0 && lstat(s->path, &there) == 0 &&
	       open.st_ino == there.st_ino && open.st_dev == there.st_dev;
}

int vm_store_open(struct vm_store *s)
{
	if (is_there(s))
		return 0;
	closep(&s->dir);
	s->dir = -1;
	s->error = -ENOENT;
	if (mkdirat(AT_FDCWD, s->path, 0700) < 0 && errno != EEXIST)
		return -errno;
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->dir >= 0)
		return 1;
	s->error = -errno;
	return s->error;
}

int vm_store_new(struct vm_store **ret, const char *folder)
{
	struct vm_store *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dir = -1;
	if (asprintf(&s->path, "%s/vms", folder) < 0) {
		free(s);
		return -ENOMEM;
	}
	/* Whoever uses it is told. */
	(void)vm_store_open(s);
	*ret = s;
	return 0;
}

struct vm_store *vm_store_free(struct vm_store *s)
{
	if (!s)
		return NULL;
	closep(&s->dir);
	free(s->path);
	free(s);
	return NULL;
}

bool vm_store_contradicts(const struct vm_store *s, uint64_t vm_id)
{
	char name[RECORD_NAME_MAX];

	if (faccessat(s->dir, ".", W_OK, 0) == 0)
		return false;
	format_name(name, vm_id);
	return faccessat(s->dir, name, F_OK, 0) == 0;
}

static int write_file(int dir, const char *name, const char *text, size_t size)
{
	_cleanup_close_ int fd = -1;
	ssize_t n;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOSPC;
}

/* Not synced: the folder lives in memory, and is to outlive the daemon, not the host. */
static int replace_file(int dir, const char *name, const char *text, size_t size)
{
	char temporary[RECORD_NAME_MAX + 8];
	int r;

	snprintf(temporary, sizeof(temporary), ".%s.new", name);
	r = write_file(dir, temporary, text, size);
	if (r == 0 && renameat(dir, temporary, dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, temporary, 0);
	return r;
}

int vm_store_save(struct vm_store *s, const struct vm_record *record)
{
	char name[RECORD_NAME_MAX], text[VM_RECORD_MAX];
	int n, r;

	format_name(name, record->vm_id);
	n = vm_record_format(record, text);
	r = n < 0 ? n : replace_file(s->dir, name, text, (size_t)n);
	if (r == 0)
		return 0;
	/* What it says is no longer so; and where it was there may be room now. */
	if (unlinkat(s->dir, name, 0) == 0 && n >= 0)
		r = replace_file(s->dir, name, text, (size_t)n);
	return r;
}

void vm_store_remove(struct vm_store *s, uint64_t vm_id)
{
	char name[RECORD_NAME_MAX];

	format_name(name, vm_id);
	(void)unlinkat(s->dir, name, 0);
}

static int read_record(int dir, const char *name, struct vm_record *ret)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[VM_RECORD_MAX + 1], expected[RECORD_NAME_MAX];
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return -errno;
	r = vm_record_parse(text, (size_t)n, ret);
	if (r < 0)
		return r;
	format_name(expected, ret->vm_id);
	return strcmp(name, expected) == 0 ? 0 : -EBADMSG;
}

int vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret)
{
	char name[RECORD_NAME_MAX];

	format_name(name, vm_id);
	return s->dir < 0 ? s->error : read_record(s->dir, name, ret);
}

/* 0, or why it could not be read for now. */
static int load_one(struct vm_store *s, const char *name,
		    bool (*found)(void *userdata, const struct vm_record *record), void *userdata)
{
	struct vm_record record;
	int r;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	/* What was being written when the daemon ended. */
	r = name[0] == '.' ? 0 : read_record(s->dir, name, &record);
	if (r < 0)
		log_warning("The record of VM %s cannot be used: %s", name, strerror(-r));
	else if (name[0] != '.' && found(userdata, &record))
		return 0;
	/* It may be read once there is more of whatever there was too little of. */
	if (error_is_transient(r))
		return r;
	(void)unlinkat(s->dir, name, 0);
	return 0;
}

int vm_store_load(struct vm_store *s, bool (*found)(void *userdata, const struct vm_record *record),
		  void *userdata)
{
	struct dirent **entries;
	int n, e, r = 0;

	/* Whoever opens it is told of what else is in the way. */
	if (s->dir < 0)
		return error_is_transient(s->error) ? s->error : 0;
	n = scandirat(s->dir, ".", &entries, NULL, versionsort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		e = load_one(s, entries[i]->d_name, found, userdata);
		r = r ?: e;
		free(entries[i]);
	}
	free(entries);
	return r;
}
