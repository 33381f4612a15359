/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_PEER_H
#define EAGERSPLITD_VARLINK_PEER_H

/* Who is at the other end of a Unix socket: what the kernel noted when it connected. */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Returns 0 or a negative errno. */
int varlink_peer_get(int fd, struct ucred *ret);

/*
 * Whether the peer was in the group, by its group id or by its supplementary groups
 * (SO_PEERGROUPS). 1: yes; 0: no; negative errno: the kernel does not tell.
 */
int varlink_peer_in_group(int fd, gid_t group);

#endif /* EAGERSPLITD_VARLINK_PEER_H */
