/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Unix stream socket for a server in the same process, under a name that the kernel chooses. */
#ifndef LOCAL_SOCKET_H
#define LOCAL_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct local_socket {
	struct sockaddr_un address;
	socklen_t address_length;
};

/* A socket that listens with room for @backlog, the name of which is in @ret; or -1. */
static inline int local_socket_listen(struct local_socket *ret, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	*ret = (struct local_socket){ .address.sun_family = AF_UNIX };
	ret->address_length = sizeof(ret->address);
	if (bind(fd, (struct sockaddr *)&ret->address, sizeof(sa_family_t)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&ret->address, &ret->address_length) == 0 &&
	    listen(fd, backlog) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A socket that is connected to it, or -1. */
static inline int local_socket_connect(const struct local_socket *local)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&local->address, local->address_length) == 0)
		return fd;
	close(fd);
	return -1;
}

#endif /* LOCAL_SOCKET_H */
