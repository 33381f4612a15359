// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/file-tables.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>

/**
 * struct file_tables - processes that stand for the tables that they have
 * @pids: in the order of their tables, which is the kernel's, see kcmp(2)
 */
struct file_tables {
	size_t n;
	size_t room;
	pid_t *pids;
};

int file_tables_new(struct file_tables **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct file_tables *file_tables_free(struct file_tables *t)
{
	if (t)
		free(t->pids);
	free(t);
	return NULL;
}

/* 0: the same; 1: the first one comes before, 2: behind; 3: neither; -1: it cannot be told. */
static int compare(pid_t a, pid_t b)
{
	return (int)syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0);
}

static bool make_room(struct file_tables *t)
{
	size_t room = t->room ? 2 * t->room : 64;
	pid_t *pids;

	if (t->n < t->room)
		return true;
	pids = reallocarray(t->pids, room, sizeof(*pids));
	if (!pids)
		return false;
	t->pids = pids;
	t->room = room;
	return true;
}

bool file_tables_add(struct file_tables *t, pid_t pid)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		switch (compare(pid, t->pids[middle])) {
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
			if (compare(t->pids[middle], t->pids[middle]) == 0)
				return true;
			/* Or that is so of the other one, which orders nothing any more. */
			memmove(&t->pids[middle], &t->pids[middle + 1],
				(t->n - middle - 1) * sizeof(*t->pids));
			t->n--;
			high--;
		}
	}
	if (make_room(t)) {
		memmove(&t->pids[low + 1], &t->pids[low], (t->n - low) * sizeof(*t->pids));
		t->pids[low] = pid;
		t->n++;
	}
	return true;
}
