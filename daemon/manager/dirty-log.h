/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the dirty logging of a VM's memslots says of its migration. Pure. */
#ifndef EAGERSPLITD_DIRTY_LOG_H
#define EAGERSPLITD_DIRTY_LOG_H

struct survey;

/* What KVM logs the dirty pages of. */
enum dirty_log {
	DIRTY_LOG_NONE,
	DIRTY_LOG_PART, /* of some memslot, as of a framebuffer that is shown */
	DIRTY_LOG_MEMORY, /* of the VM's memory: it is being migrated */
};

/*
 * A VMM that migrates a VM logs all of its memory; one that shows a framebuffer logs
 * that, for as long as it does. Memory it is where more than half of what the guest
 * can write to is logged, or a memslot that is larger than each that is not: device
 * memory that a VM was passed, which is never logged, may be more than all its own.
 */
enum dirty_log dirty_log_get(const struct survey *survey);

#endif /* EAGERSPLITD_DIRTY_LOG_H */
