// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "host/process.h"
#include "varlink/peer.h"

static int make_address(struct sockaddr_un *ret, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length + 1);
	*ret = address;
	return 0;
}

/*
 * Whether the daemon that listens at the other end has ended, and only processes that have its
 * descriptors, too, keep it open: see strangers.h.
 */
static bool listener_is_gone(int fd)
{
	struct ucred listener;
	uint64_t start;

	return varlink_peer_get(fd, &listener) == 0 &&
	       process_get_start_time(listener.pid, &start) == -ESRCH;
}

/* Removes a socket that its daemon left behind. */
static int remove_stale(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its backlog is full, so somebody does listen. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0
		    ? !listener_is_gone(fd)
		    : errno != ECONNREFUSED)
		return -EADDRINUSE;
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int control_listen(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	int r;

	r = make_address(&address, path);
	if (r < 0)
		return r;
	r = remove_stale(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Linux makes the socket's file with the mode of the socket: nobody gets in before. */
	if (fchmod(fd, 0660) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	/* Again, for the umask took its part. */
	if (chmod(path, 0660) < 0 || listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	return take_fd(&fd);
}
