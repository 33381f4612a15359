/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_WAIT_H
#define EAGERSPLITD_CTL_WAIT_H

/* Waiting for a VM, and showing how far it is. */

#include "ctl/ctl.h"
#include "ctl/json.h"

/*
 * Waits until the VM is split. @vm: what it was when that was asked for, at @since_nsec of
 * CLOCK_MONOTONIC; @behind: another one has been waited for since. Returns 0, CTL_LATE if it was so
 * only after --deadline=, or another exit status, after saying why. When it was so, while another
 * one was waited for, is not known: that it was late is not said then.
 */
int wait_until_split(const struct ctl *ctl, const struct ctl_vm *vm, uint64_t since_nsec,
		     bool behind);

/* The same until the VM is no longer held, and its blocks are back. */
int wait_until_whole(const struct ctl *ctl, const struct ctl_vm *vm, uint64_t since_nsec,
		     bool behind);

#endif /* EAGERSPLITD_CTL_WAIT_H */
