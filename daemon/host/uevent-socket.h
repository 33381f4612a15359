/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Receives the kernel's uevents, and nobody else's. */
#ifndef EAGERSPLITD_UEVENT_SOCKET_H
#define EAGERSPLITD_UEVENT_SOCKET_H

#include <systemd/sd-event.h>

#include "base/util.h"
#include "host/uevent.h"

struct uevent_socket;

/**
 * struct uevent_socket_ops - whom it tells
 * @received: of an event
 * @lost: that some may have been lost: the socket's buffer ran over
 */
struct uevent_socket_ops {
	void (*received)(void *userdata, const struct uevent *uevent);
	void (*lost)(void *userdata);
};

/* Begins to receive on @event. @ops outlives the socket. 0 or a negative errno. */
int uevent_socket_new(struct uevent_socket **ret, sd_event *event,
		      const struct uevent_socket_ops *ops, void *userdata);

/* Returns NULL. */
struct uevent_socket *uevent_socket_free(struct uevent_socket *s);
DEFINE_CLEANUP(struct uevent_socket *, uevent_socket_free);

/* The port of the socket, for those who want to send it something. */
uint32_t uevent_socket_get_port(const struct uevent_socket *s);

#endif /* EAGERSPLITD_UEVENT_SOCKET_H */
