/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's binary statistics of a VM or a vCPU. */
#ifndef LAB_STATS_H
#define LAB_STATS_H

#include <stdint.h>

/*
 * Calls @each for each statistic of @fd (a VM's or a vCPU's) that is one
 * number. Returns 0 or a negative errno.
 */
int stats_read(int fd, void (*each)(void *data, const char *name, uint64_t value), void *data);

#endif
