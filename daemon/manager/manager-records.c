// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/transient.h"
#include "host/process.h"
#include "manager/manager-private.h"
#include "manager/manager-table.h"
#include "store/vm-store.h"

/* Of VMs that there is room for, and of as many that are not wanted, for which none is needed. */
#define RECORDS_MAX (2 * MANAGER_VMS_MAX)

/* Behind the others, whatever its id. 0, -EUSERS: there are too many, or -ENOMEM. */
static int manager_add_record(struct manager *m, const struct vm_record *record)
{
	struct kept_record *more;

	if (m->n_records == RECORDS_MAX)
		return -EUSERS;
	more = reallocarray(m->records, m->n_records + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->records = more;
	m->records[m->n_records++] = (struct kept_record){ .record = *record };
	return 0;
}

/* See vm_store_load(). */
static bool on_record(void *userdata, const struct vm_record *record)
{
	struct manager *m = userdata;
	int r = manager_add_record(m, record);

	/* As one that cannot be read for now. */
	m->records_left |= r == -ENOMEM;
	return r != -EUSERS;
}

static int compare_records(const void *a, const void *b)
{
	const struct kept_record *x = a, *y = b;

	return (x->record.vm_id > y->record.vm_id) - (x->record.vm_id < y->record.vm_id);
}

static void manager_sort_records(struct manager *m)
{
	if (m->n_records)
		qsort(m->records, m->n_records, sizeof(*m->records), compare_records);
}

void manager_load_records(struct manager *m)
{
	int r = vm_store_load(m->store, on_record, m);

	m->records_left |= error_is_transient(r);
	if (r < 0)
		log_warning("What was kept for a restart cannot be read%s: %s",
			    error_is_transient(r) ? ", which is tried again for each VM" : "",
			    strerror(-r));
	manager_sort_records(m);
}

/* What is known by now, taken or not. */
static struct kept_record *manager_known_record(const struct manager *m, uint64_t id)
{
	const struct kept_record key = { .record = { .vm_id = id } };

	if (!m->n_records)
		return NULL;
	return bsearch(&key, m->records, m->n_records, sizeof(key), compare_records);
}

/* One that could not be read before. */
static int manager_read_record(struct manager *m, uint64_t id)
{
	struct vm_record record;
	int r = vm_store_read(m->store, id, &record);

	if (error_is_transient(r))
		return r;
	if (r < 0)
		return 0;
	r = manager_add_record(m, &record);
	manager_sort_records(m);
	return r;
}

int manager_find_record(struct manager *m, uint64_t id, struct kept_record **ret)
{
	struct kept_record *known = manager_known_record(m, id);
	int r = 0;

	if (!known && m->records_left) {
		r = manager_read_record(m, id);
		known = manager_known_record(m, id);
	}
	*ret = known && !known->taken ? known : NULL;
	return r;
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
