// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM's record in the state folder: it may have been cut off, or be another version's.
 * What is taken makes sense, and is written and read again as the same.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "store/vm-record.h"

static void check_record(const struct vm_record *record)
{
	check(record->pid > 0 && record->number >= 0);
	check(record->vm_id > 0 && record->vm_id <= INT64_MAX);
	check(!record->name[0] || vm_name_is_valid(record->name));
	check((unsigned int)record->state < VM_STATE_MAX_);
	check((unsigned int)record->stage < VM_STAGE_MAX_);
	check(record->deadline_usec <= INT64_MAX || record->deadline_usec == UINT64_MAX);
}

static void check_round_trip(const struct vm_record *record)
{
	char text[VM_RECORD_MAX], again[VM_RECORD_MAX];
	struct vm_record read;
	int n = vm_record_format(record, text);

	check(n > 0 && n < VM_RECORD_MAX && strlen(text) == (size_t)n);
	check(vm_record_parse(text, (size_t)n, &read) == 0);
	check(vm_record_format(&read, again) == n);
	check(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_record record;
	int r = vm_record_parse((const char *)data, size, &record);

	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check_record(&record);
		check_round_trip(&record);
	}
	return 0;
}
