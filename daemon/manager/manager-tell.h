/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is told of what happens to VMs: the store, the journal, the service manager, the observer. */
#ifndef EAGERSPLITD_MANAGER_TELL_H
#define EAGERSPLITD_MANAGER_TELL_H

#include <stdint.h>

#include <systemd/sd-event.h>

#include "vm/vm.h"

struct manager;

/*
 * Called from the event loop, and from manager_set_migration() before it
 * returns; may call back into the manager except to register or unregister.
 */
struct manager_observer {
	void (*vm_changed)(void *userdata, struct vm *vm, enum vm_change what);
	/* The last call for @vm; it is freed afterwards. */
	void (*vm_removed)(void *userdata, struct vm *vm);
	/* The end of what manager_register() began: @r is as that gives it, @vm NULL on error. */
	void (*vm_registered)(void *userdata, void *caller, int r, struct vm *vm);
	/*
	 * The configuration has been read for all that manager_reload() has numbered up to @number,
	 * and is in force. Negative errno @r: it is not, and all is as it was; @error is why.
	 */
	void (*reloaded)(void *userdata, uint64_t number, int r, const char *error);
};

/*
 * Tells the service manager what systemctl status is to show, and everybody who has become
 * late: in a moment, since it looks at all VMs, and there may be more to tell by then; some times
 * a second at the most.
 */
void manager_notify_status(struct manager *m);

/* That moment. */
int manager_on_status(sd_event_source *source, uint64_t usec, void *userdata);

/* For records that could not be written. */
int manager_on_save_again(sd_event_source *source, uint64_t usec, void *userdata);

/* Tells everybody of a change: the store, the journal, the service manager, the observer. */
void manager_tell(struct manager *m, struct vm *vm, enum vm_change what);

#endif /* EAGERSPLITD_MANAGER_TELL_H */
