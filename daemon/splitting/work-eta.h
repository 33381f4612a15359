/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much is left to be done about a VM, how fast that can go, and when it will be done. */
#ifndef EAGERSPLITD_WORK_ETA_H
#define EAGERSPLITD_WORK_ETA_H

#include <stdbool.h>
#include <stdint.h>

struct vm;
struct work;

/* The TLBIs that it will take to split what is left, by what is known of its batches. */
uint64_t work_count_tlbis(const struct work *work);

/* The most TLBIs a second that it can use, whatever the budget; INFINITY: any number. */
double work_get_limit(const struct work *work);

/* vm->progress.get_eta() */
bool work_get_eta(const struct vm *vm, uint64_t *ret_usec);

#endif /* EAGERSPLITD_WORK_ETA_H */
