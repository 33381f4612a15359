// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/fd-store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/notify.h"

#define PREFIX "vm-"

/* Room for a name, whatever the id. */
#define NAME_SIZE 32

bool fd_store_is_ours(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

static void format_name(char buf[static NAME_SIZE], uint64_t vm_id)
{
	snprintf(buf, NAME_SIZE, PREFIX "%" PRIu64, vm_id);
}

void fd_store_add(struct notify *notify, uint64_t vm_id, int fd)
{
	char name[NAME_SIZE];

	format_name(name, vm_id);
	notify_keep(notify, name, fd);
}

void fd_store_remove(struct notify *notify, uint64_t vm_id)
{
	char name[NAME_SIZE];

	format_name(name, vm_id);
	notify_forget(notify, name);
}
