/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's binary statistics of a VM or a vCPU. */
#ifndef LAB_STATS_H
#define LAB_STATS_H

#include <stdint.h>

/*
 * A descriptor for the statistics of a VM or a vCPU, @fd, which the caller
 * closes; or a negative errno. To be asked for before the vCPU runs: that ioctl
 * waits until it is out of KVM_RUN, and reading does not.
 */
int stats_open(int fd);

/* Calls @each for each statistic that is one number. Returns 0 or a negative errno. */
int stats_read(int stats, void (*each)(void *data, const char *name, uint64_t value), void *data);

#endif
