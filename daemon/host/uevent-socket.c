// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/uevent-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "base/log.h"

/* What the kernel sends to; udev sends to another. */
#define GROUP_KERNEL 1

/* Room for some hundred events: VMs come and go by the dozen. */
#define RECEIVE_BYTES (1 << 20)

struct uevent_socket {
	const struct uevent_socket_ops *ops;
	void *userdata;
	struct nl_sock *socket;
	sd_event_source *source;
};

static bool is_from_kernel(const struct sockaddr_nl *from, const struct ucred *creds)
{
	return from->nl_pid == 0 && from->nl_groups == GROUP_KERNEL && creds && creds->pid == 0 &&
	       creds->uid == 0;
}

/* One message. 1: there may be more; 0: there are none; or a negative errno. */
static int uevent_socket_receive(struct uevent_socket *s)
{
	_cleanup_free_ unsigned char *data = NULL;
	_cleanup_free_ struct ucred *creds = NULL;
	struct sockaddr_nl from = {};
	struct uevent uevent;
	int n, r;

	n = nl_recv(s->socket, &from, &data, &creds);
	if (n == -NLE_AGAIN || n == 0)
		return 0;
	if (n == -NLE_INTR)
		return 1;
	/* ENOBUFS, as libnl calls it: messages were dropped. */
	if (n == -NLE_NOMEM) {
		s->ops->lost(s->userdata);
		return 1;
	}
	if (n < 0)
		return -EIO;
	if (!is_from_kernel(&from, creds))
		return 1;
	r = uevent_parse(data, (size_t)n, &uevent);
	if (r < 0)
		log_warning("A uevent of %d bytes cannot be understood", n);
	else if (r > 0)
		s->ops->received(s->userdata, &uevent);
	return 1;
}

/* A limited number at a time: devices that change all the time keep nobody else waiting. */
#define MESSAGES_AT_ONCE 64

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct uevent_socket *s = userdata;
	int r = 1;

	for (int i = 0; i < MESSAGES_AT_ONCE && r > 0; i++)
		r = uevent_socket_receive(s);
	if (r < 0) {
		log_error("No more uevents: VMs must be registered from now on");
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

static int uevent_socket_open(struct uevent_socket *s)
{
	s->socket = nl_socket_alloc();
	if (!s->socket)
		return -ENOMEM;
	nl_socket_disable_seq_check(s->socket);
	nl_join_groups(s->socket, GROUP_KERNEL);
	if (nl_connect(s->socket, NETLINK_KOBJECT_UEVENT) < 0)
		return errno ? -errno : -EIO;
	/* Fewer than asked for are fine: what does not fit in is looked for. */
	(void)nl_socket_set_buffer_size(s->socket, RECEIVE_BYTES, 0);
	if (nl_socket_set_nonblocking(s->socket) < 0 || nl_socket_set_passcred(s->socket, 1) < 0)
		return -EIO;
	return 0;
}

int uevent_socket_new(struct uevent_socket **ret, sd_event *event,
		      const struct uevent_socket_ops *ops, void *userdata)
{
	_cleanup_(uevent_socket_freep) struct uevent_socket *s = NULL;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->userdata = userdata;
	r = uevent_socket_open(s);
	if (r < 0)
		return r;
	r = sd_event_add_io(event, &s->source, nl_socket_get_fd(s->socket), EPOLLIN, on_readable,
			    s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct uevent_socket *uevent_socket_free(struct uevent_socket *s)
{
	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->source);
	nl_socket_free(s->socket);
	free(s);
	return NULL;
}

uint32_t uevent_socket_get_port(const struct uevent_socket *s)
{
	return nl_socket_get_local_port(s->socket);
}
