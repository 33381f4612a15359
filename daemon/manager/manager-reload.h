/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration, which is read again while the daemon runs. */
#ifndef EAGERSPLITD_MANAGER_RELOAD_H
#define EAGERSPLITD_MANAGER_RELOAD_H

#include <stdint.h>

struct config;
struct manager;

/*
 * Has the configuration read again, off the event loop: the observer is told of the end with the
 * number that is returned, or a later one. What is asked for while it is being read is done by one
 * more reading, as it may have changed meanwhile.
 */
uint64_t manager_reload(struct manager *m);

/* For the reader of it. */
void manager_on_config_read(void *userdata, int r, struct config *config, const char *error);

#endif /* EAGERSPLITD_MANAGER_RELOAD_H */
