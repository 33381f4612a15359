// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/file-tables.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>

/* A process that stands for the table that it has, and whose it is. */
struct owner {
	pid_t pid;
	int64_t uid;
};

/**
 * struct file_tables - those that have been seen
 * @owners: by user, and in the order of their tables, which is the kernel's, see kcmp(2)
 */
struct file_tables {
	size_t n;
	size_t room;
	struct owner *owners;
};

int file_tables_new(struct file_tables **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct file_tables *file_tables_free(struct file_tables *t)
{
	if (t)
		free(t->owners);
	free(t);
	return NULL;
}

/* 0: the same; 1: the first one comes before, 2: behind; 3: neither; -1: it cannot be told. */
static int compare(const struct owner *a, const struct owner *b)
{
	if (a->uid != b->uid)
		return a->uid < b->uid ? 1 : 2;
	return (int)syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILES, 0, 0);
}

static bool make_room(struct file_tables *t)
{
	size_t room = t->room ? 2 * t->room : 64;
	struct owner *owners;

	if (t->n < t->room)
		return true;
	owners = reallocarray(t->owners, room, sizeof(*owners));
	if (!owners)
		return false;
	t->owners = owners;
	t->room = room;
	return true;
}

bool file_tables_add(struct file_tables *t, pid_t pid, int64_t uid)
{
	const struct owner owner = { .pid = pid, .uid = uid };
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		switch (compare(&owner, &t->owners[middle])) {
		case 0:
			return false;
		case 1:
			high = middle;
			break;
		case 2:
			low = middle + 1;
			break;
		default:
			/* It is gone, or not to be looked into. */
			if (compare(&t->owners[middle], &t->owners[middle]) == 0)
				return true;
			/* Or that is so of the other one, which orders nothing any more. */
			memmove(&t->owners[middle], &t->owners[middle + 1],
				(t->n - middle - 1) * sizeof(*t->owners));
			t->n--;
			high--;
		}
	}
	if (make_room(t)) {
		memmove(&t->owners[low + 1], &t->owners[low], (t->n - low) * sizeof(*t->owners));
		t->owners[low] = owner;
		t->n++;
	}
	return true;
}
