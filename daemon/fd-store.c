// SPDX-License-Identifier: GPL-2.0-or-later
#include "fd-store.h"

#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/util.h"
#include "host/process.h"

#define PREFIX "vmm-"

bool fd_store_claim(const char *name)
{
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return true;
}

void fd_store_add(pid_t pid, int pidfd)
{
	char message[64];

	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=" PREFIX "%d", (int)pid);
	/* Where it is not kept, the process is known by its start time. */
	(void)sd_pid_notify_with_fds(0, 0, message, &pidfd, 1);
}

void fd_store_remove(pid_t pid)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%d", (int)pid);
}

int fd_store_take(int *pidfds, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (pidfds[i] >= 0 && process_get_pid(pidfds[i]) == pid)
			return take_fd(&pidfds[i]);
	return -1;
}
