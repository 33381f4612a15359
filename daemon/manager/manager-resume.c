// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-resume.h"

#include "base/transient.h"
#include "store/fd-store.h"
#include "manager/manager-found.h"
#include "manager/manager-private.h"
#include "manager/manager-records.h"

/* The splitter that was kept; it is taken in any case. */
static void manager_take_kept(struct manager *m, int fd)
{
	struct backend_vm *host_vm;
	struct kept_record *kept;
	int r;

	r = m->backend->ops->take_vm(m->backend, fd, &host_vm);
	if (r < 0) {
		m->splitters_left = true;
		return;
	}
	r = manager_find_record(m, host_vm->id, &kept);
	if (kept)
		host_vm->uid = kept->record.uid == UINT64_MAX ? -1 : (int64_t)kept->record.uid;
	if (kept && !kept->record.unwanted) {
		r = manager_take_vm(m, host_vm, 0, 0, true);
		if (r == 0)
			return;
	}
	/*
	 * Nothing is known of what it was held for, or nothing wanted: it is found as any other. What cannot
	 * be known for now it goes on being held for.
	 */
	if (error_is_transient(r))
		m->splitters_left = true;
	else
		fd_store_remove(m->notify, host_vm->id);
	m->backend->ops->close_vm(host_vm);
}

void manager_load(struct manager *m)
{
	/* On a host that cannot split, what there is to know stays until it can. */
	if (!m->store || m->store_loaded || !m->host.supported)
		return;
	m->store_loaded = true;
	manager_load_records(m);
	for (size_t i = 0; i < m->n_splitters; i++)
		manager_take_kept(m, m->splitters[i]);
	m->n_splitters = 0;
}
