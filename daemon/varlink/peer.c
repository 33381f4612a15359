// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/peer.h"

#include <errno.h>

#include "base/util.h"

/* Groups in the first try; the kernel then says how many there are, NGROUPS_MAX at the most. */
#define GROUPS 64

int varlink_peer_get(int fd, struct ucred *ret)
{
	socklen_t length = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &length) < 0 ? -errno : 0;
}

static int find_group(const gid_t *groups, socklen_t bytes, gid_t group)
{
	for (size_t i = 0; i < bytes / sizeof(*groups); i++)
		if (groups[i] == group)
			return 1;
	return 0;
}

int varlink_peer_in_group(int fd, gid_t group)
{
	_cleanup_free_ gid_t *many = NULL;
	gid_t few[GROUPS];
	socklen_t length = sizeof(few);
	struct ucred peer;
	int r;

	r = varlink_peer_get(fd, &peer);
	if (r < 0)
		return r;
	if (peer.gid == group)
		return 1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &length) == 0)
		return find_group(few, length, group);
	if (errno != ERANGE)
		return -errno;
	/* They do not change any more, so now there is room. */
	many = malloc(length);
	if (!many)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &length) < 0)
		return -errno;
	return find_group(many, length, group);
}
