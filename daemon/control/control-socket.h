/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_SOCKET_H
#define EAGERSPLITD_CONTROL_SOCKET_H

/*
 * Makes the listening control socket at path, mode 0660, for a daemon that was not
 * given one by systemd; the folder must be there. A socket that nobody listens on any
 * more is replaced. Returns its fd, non-blocking; -EADDRINUSE: another daemon listens
 * there, or it is no socket; -ENAMETOOLONG; or what a system call failed with.
 */
int control_listen(const char *path);

#endif /* EAGERSPLITD_CONTROL_SOCKET_H */
