// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/process.h"
#include "store/fd-store.h"
#include "manager/manager-found.h"
#include "manager/manager-migration.h"
#include "manager/manager-private.h"
#include "manager/manager-table.h"
#include "store/vm-store.h"

/* Of VMs that there is room for, and of as many that are not wanted, for which none is needed. */
#define RECORDS_MAX (2 * MANAGER_VMS_MAX)

/* See vm_store_load(). */
static bool on_record(void *userdata, const struct vm_record *record)
{
	struct manager *m = userdata;
	struct kept_record *more;

	if (m->n_records == RECORDS_MAX)
		return false;
	more = reallocarray(m->records, m->n_records + 1, sizeof(*more));
	if (!more)
		return false;
	m->records = more;
	m->records[m->n_records++] = (struct kept_record){ .record = *record };
	return true;
}

static int compare_records(const void *a, const void *b)
{
	const struct kept_record *x = a, *y = b;

	return (x->record.vm_id > y->record.vm_id) - (x->record.vm_id < y->record.vm_id);
}

/* Whether the splitter that was kept is of use; it is taken in any case. */
static bool manager_take_kept(struct manager *m, int fd)
{
	const struct kept_record *kept;
	struct backend_vm *host_vm;

	if (m->backend->ops->take_vm(m->backend, fd, &host_vm) < 0) {
		m->splitters_left = true;
		return false;
	}
	kept = manager_find_record(m, host_vm->id);
	if (kept)
		host_vm->uid = kept->record.uid == UINT64_MAX ? -1 : (int64_t)kept->record.uid;
	/* Nothing is known of what it was held for, or nothing wanted: it is found as any other. */
	if (kept && !kept->record.unwanted && manager_take_vm(m, host_vm, 0, 0, true) == 0)
		return true;
	fd_store_remove(m->notify, host_vm->id);
	m->backend->ops->close_vm(host_vm);
	return false;
}

/*
 * Whether the process is there that the VM was of: it may not be looked into, and hand over a splitter yet,
 * as it did before.
 */
static bool record_has_process(const struct vm_record *record)
{
	return record->start_time && process_find_start(record->pid) == record->start_time;
}

void manager_drop_records(struct manager *m)
{
	size_t n = 0;

	/* One that there is no room for yet is there, and is looked for again. */
	if (!m->store_loaded || m->left_out)
		return;
	for (size_t i = 0; i < m->n_records; i++) {
		const struct kept_record *kept = &m->records[i];

		if (kept->taken)
			continue;
		if (record_has_process(&kept->record))
			m->records[n++] = *kept;
		else
			vm_store_remove(m->store, kept->record.vm_id);
	}
	m->n_records = n;
	if (!n)
		free(TAKE_PTR(m->records));
}

void manager_load(struct manager *m)
{
	int r;

	/* On a host that cannot split, what there is to know stays until it can. */
	if (!m->store || m->store_loaded || !m->host.supported)
		return;
	m->store_loaded = true;
	r = vm_store_load(m->store, on_record, m);
	if (r < 0)
		log_warning("What was kept for a restart cannot be read: %s", strerror(-r));
	if (m->n_records)
		qsort(m->records, m->n_records, sizeof(*m->records), compare_records);
	for (size_t i = 0; i < m->n_splitters; i++)
		(void)manager_take_kept(m, m->splitters[i]);
	m->n_splitters = 0;
}
