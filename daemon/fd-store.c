// SPDX-License-Identifier: GPL-2.0-or-later
#include "fd-store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#define PREFIX "vm-"

bool fd_store_is_ours(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

void fd_store_add(uint64_t vm_id, int fd)
{
	char message[64];

	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=" PREFIX "%" PRIu64, vm_id);
	/* Where it is not kept, the VM is found anew, and held anew. */
	(void)sd_pid_notify_with_fds(0, 0, message, &fd, 1);
}

void fd_store_remove(uint64_t vm_id)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%" PRIu64, vm_id);
}
