/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients' sockets, and descriptors that clients have sent over them, are let go of by processes of
 * their own. Whoever does that may wait for who is behind a file, for as long as he likes and
 * beyond SIGKILL even: as a descriptor is closed, as one is dropped that came with bytes, and as a
 * socket is closed with one unread. These processes have the daemon's very table of descriptors,
 * so that it is they who let go of it, too, where the daemon itself is killed. One at the most has
 * to do with what is a user's at a time: who makes it wait keeps nobody but himself, unless as much
 * of his waits for it as there is room for, when nobody connects, or he is as many users as there
 * are processes. What they receive is in that table, too, until it is closed; the daemon itself does
 * not touch it.
 */
#ifndef EAGERSPLITD_STRANGERS_H
#define EAGERSPLITD_STRANGERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/util.h"

struct strangers;
struct stranger_job;

/* The most bytes that are received at once. */
#define STRANGERS_BYTES_MAX (64UL * 1024UL)

/* A descriptor came that is not one of those that are wanted, or more than one; it is closed. */
#define STRANGERS_UNWANTED (-2)

/*
 * What was received: @result bytes at @bytes, 0 at the end of the stream, or a negative errno;
 * @descriptor, now the callee's, -1: none, or STRANGERS_UNWANTED.
 */
typedef void (*strangers_received_fn)(void *userdata, ssize_t result, const void *bytes,
				      int descriptor);

/*
 * @wanted: whether a descriptor is one that may be taken, and be closed by anybody; called in such
 * a process, with what @userdata was here when it began. 0 or a negative errno.
 */
int strangers_new(struct strangers **ret, sd_event *event, bool (*wanted)(int fd, void *userdata),
		  void *userdata);

/* Gives what is to be closed a moment; what takes longer is left behind. Returns NULL. */
struct strangers *strangers_free(struct strangers *s);
DEFINE_CLEANUP(struct strangers *, strangers_free);

/* Whether others may connect: not too much waits to be closed yet. */
bool strangers_have_room(const struct strangers *s);

/* Takes @fd, that came from user @uid, and closes it after what was asked for earlier. */
void strangers_close(struct strangers *s, uid_t uid, int fd);

/*
 * Receives up to @size bytes from @fd, a socket that stays the caller's, with a descriptor that came
 * along, and has @received called once. NULL: no memory.
 */
struct stranger_job *strangers_receive(struct strangers *s, uid_t uid, int fd, size_t size,
				       strangers_received_fn received, void *userdata);

/* @received is not called any more. */
void strangers_forget(struct stranger_job *job);

#endif /* EAGERSPLITD_STRANGERS_H */
