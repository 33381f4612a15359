/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The helper's side: it looks into other processes, which takes CAP_SYS_PTRACE and may hang,
 * since what is behind a stranger's descriptor, and how long a stranger's memory is locked, is
 * up to him. What it hands out are splitters and names.
 */
#ifndef EAGERSPLITD_FETCH_SERVER_H
#define EAGERSPLITD_FETCH_SERVER_H

/* Answers what comes from @socket, one after the other, until that ends. 0 or a negative errno. */
int fetch_serve(int socket);

#endif /* EAGERSPLITD_FETCH_SERVER_H */
