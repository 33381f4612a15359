/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host can do, and how much of it the configuration lets it. */
#ifndef EAGERSPLITD_MANAGER_HOST_H
#define EAGERSPLITD_MANAGER_HOST_H

#include <stdbool.h>

#include "splitting/work-group.h"

struct manager;

/* How blocks are split: as the configuration has it, as far as the host can. */
enum work_method manager_get_method(const struct manager *m);

/* For the splitter. */
struct work_limits manager_get_limits(const struct manager *m);

/*
 * Asks the host anew what it can do, and goes by it, and by the configuration: once it can split,
 * VMs of the daemon before, and those that are there, are taken up.
 */
void manager_probe(struct manager *m);

/* The same if it could not split. 0, or -EOPNOTSUPP: it cannot. */
int manager_check_host(struct manager *m);

#endif /* EAGERSPLITD_MANAGER_HOST_H */
