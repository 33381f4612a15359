// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-resume.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "fd-store.h"
#include "manager-found.h"
#include "manager-migration.h"
#include "manager-names.h"
#include "manager-private.h"
#include "manager-table.h"
#include "vm-store.h"

/* See vm_store_load(). */
static bool on_record(void *userdata, const struct vm_record *record)
{
	struct manager *m = userdata;
	struct vm_record *more;

	if (m->n_records == MANAGER_VMS_MAX)
		return false;
	more = reallocarray(m->records, m->n_records + 1, sizeof(*more));
	if (!more)
		return false;
	m->records = more;
	m->records[m->n_records++] = *record;
	return true;
}

/* Whether the splitter that was kept is of use; it is taken in any case. */
static bool manager_take_kept(struct manager *m, int fd)
{
	struct backend_vm *host_vm;
	bool recorded = false;

	if (m->backend->ops->take_vm(m->backend, fd, &host_vm) < 0)
		return false;
	for (size_t i = 0; i < m->n_records; i++) {
		const struct vm_record *record = &m->records[i];

		if (record->vm_id != host_vm->id)
			continue;
		host_vm->uid = record->uid == UINT64_MAX ? -1 : (int64_t)record->uid;
		recorded |= !record->unwanted;
	}
	/* Nothing is known of what it was held for, or nothing wanted: it is found as any other. */
	if (recorded && manager_take_vm(m, host_vm, 0, 0, true) == 0)
		return true;
	fd_store_remove(m->notify, host_vm->id);
	m->backend->ops->close_vm(host_vm);
	return false;
}

void manager_drop_records(struct manager *m)
{
	if (!m->store_loaded)
		return;
	while (m->n_records)
		vm_store_remove(m->store, m->records[--m->n_records].vm_id);
	free(m->records);
	m->records = NULL;
}

void manager_load(struct manager *m, int *splitters, size_t n)
{
	int r;

	/* On a host that cannot split, what there is to know stays until it can. */
	if (!m->store || m->store_loaded || !m->host.supported)
		return;
	m->store_loaded = true;
	r = vm_store_load(m->store, on_record, m);
	if (r < 0)
		log_warning("What was kept for a restart cannot be read: %s", strerror(-r));
	for (size_t i = 0; i < n; i++)
		(void)manager_take_kept(m, take_fd(&splitters[i]));
	/* Not before: what others call one VM may be the name that another has had. */
	manager_look_for_names(m);
}
