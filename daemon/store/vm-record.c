// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/vm-record.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "base/util.h"
#include "host/backend.h"
#include "varlink/json.h"
#include "varlink/message.h"

#define RECORD_VERSION 1

enum field_type {
	FIELD_NUMBER, /* uint64_t; UINT64_MAX, which JSON has no room for, is left out */
	FIELD_INT,
	FIELD_BOOL,
};

static const struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	uint64_t min;
	uint64_t max;
	bool required;
	bool optional; /* UINT64_MAX: there is none */
} fields[] = {
#define FIELD(k, t, f, ...)                                                                       \
	{                                                                                         \
		.key = k, .type = FIELD_##t, .offset = offsetof(struct vm_record, f), __VA_ARGS__ \
	}
	FIELD("pid", INT, pid, .min = 1, .max = INT_MAX, .required = true),
	FIELD("startTime", NUMBER, start_time, .max = INT64_MAX),
	FIELD("number", INT, number, .max = INT_MAX, .required = true),
	FIELD("uid", NUMBER, uid, .max = UINT32_MAX, .optional = true),
	FIELD("vmId", NUMBER, vm_id, .min = 1, .max = INT64_MAX, .required = true),
	FIELD("told", BOOL, told),
	FIELD("registered", BOOL, registered),
	FIELD("unwanted", BOOL, unwanted),
	FIELD("dirtyLogging", BOOL, dirty_logging),
	FIELD("scheduledUSec", NUMBER, told_usec, .max = INT64_MAX),
	FIELD("deadlineUSec", NUMBER, deadline_usec, .max = INT64_MAX, .optional = true),
	FIELD("tlbiRate", NUMBER, tlbi_rate, .max = INT64_MAX),
	FIELD("blocksSplit", NUMBER, blocks_split, .max = INT64_MAX),
	FIELD("tlbis", NUMBER, tlbis, .max = INT64_MAX),
	FIELD("tlbiNSec", NUMBER, tlbi_nsec, .max = INT64_MAX),
	FIELD("announced", BOOL, course.announced),
	FIELD("begunUSec", NUMBER, course.begun_usec, .max = INT64_MAX),
	FIELD("loggingUSec", NUMBER, course.logging_usec, .max = INT64_MAX),
	FIELD("loggingPaused", BOOL, course.logging_paused),
	FIELD("splitUSec", NUMBER, course.split_usec, .max = INT64_MAX),
	FIELD("endedUSec", NUMBER, course.ended_usec, .max = INT64_MAX),
	FIELD("endedBoottimeUSec", NUMBER, course.ended_boottime_usec, .max = INT64_MAX),
	FIELD("endedDeadlineUSec", NUMBER, course.deadline_usec, .max = INT64_MAX),
	FIELD("blocksLeft", NUMBER, course.blocks_left, .max = INT64_MAX),
	FIELD("blocksBefore", NUMBER, course.blocks_before, .max = INT64_MAX),
	FIELD("tlbisBefore", NUMBER, course.tlbis_before, .max = INT64_MAX),
	FIELD("stallsBegun", NUMBER, course.stall_begun.count, .max = INT64_MAX),
	FIELD("stallNSecBegun", NUMBER, course.stall_begun.nsec, .max = INT64_MAX),
	FIELD("stallsLogging", NUMBER, course.stall_logging.count, .max = INT64_MAX),
	FIELD("stallNSecLogging", NUMBER, course.stall_logging.nsec, .max = INT64_MAX),
	FIELD("stallsEnded", NUMBER, course.stall_ended.count, .max = INT64_MAX),
	FIELD("stallNSecEnded", NUMBER, course.stall_ended.nsec, .max = INT64_MAX),
	FIELD("tlbiNSecBefore", NUMBER, course.tlbi_nsec_before, .max = INT64_MAX),
#undef FIELD
};

void vm_record_from_vm(struct vm_record *record, const struct vm *vm)
{
	const char *name;

	*record = (struct vm_record){
		.pid = vm->pid,
		.start_time = vm->start_time,
		.number = vm->number,
		.uid = vm->host_vm->uid < 0 ? UINT64_MAX : (uint64_t)vm->host_vm->uid,
		.vm_id = vm->host_vm->id,
		.told = vm->names.told,
		.registered = vm->table.registered,
		.unwanted = vm->table.unwanted,
		.state = vm->migration.state,
		.stage = vm->progress.stage,
		.dirty_logging = vm->migration.dirty_logging,
		.told_usec = vm->migration.told_usec,
		.deadline_usec = vm->migration.deadline_usec,
		.tlbi_rate = vm->migration.tlbi_rate,
		.blocks_split = vm->progress.blocks_split,
		.tlbis = vm->progress.tlbis,
		.tlbi_nsec = vm->progress.tlbi_nsec,
		.course = vm->course,
	};
	name = vm->names.told ?: vm->names.own ?: vm->names.machine;
	if (name)
		snprintf(record->name, sizeof(record->name), "%s", name);
	memcpy(record->uuid, vm->names.uuid, sizeof(record->uuid));
}

/*
 * Writing
 */

static json_object *field_to_json(const struct vm_record *record, const struct field *field)
{
	const void *value = (const char *)record + field->offset;

	switch (field->type) {
	case FIELD_BOOL:
		return json_object_new_boolean(*(const bool *)value);
	case FIELD_INT:
		return json_object_new_int64(*(const int *)value);
	default:
		return json_object_new_int64((int64_t)min_u64(*(const uint64_t *)value, INT64_MAX));
	}
}

/* What is not known, or not there, is not written. */
static bool field_is_absent(const struct vm_record *record, const struct field *field)
{
	return field->optional &&
	       *(const uint64_t *)((const char *)record + field->offset) == UINT64_MAX;
}

static json_object *record_to_json(const struct vm_record *record)
{
	const char *migration = vm_migration_to_string(vm_state_get_migration(record->state));
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "version", RECORD_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!field_is_absent(record, &fields[i]))
			r |= varlink_json_set(object, fields[i].key,
					      field_to_json(record, &fields[i]));
	if (record->name[0])
		r |= varlink_json_set_string(object, "name", record->name);
	if (record->uuid[0])
		r |= varlink_json_set_string(object, "uuid", record->uuid);
	r |= varlink_json_set_string(object, "migration", migration);
	r |= varlink_json_set_bool(object, "seen", vm_state_is_seen(record->state));
	r |= varlink_json_set_bool(object, "wasScheduled",
				   record->state == VM_STATE_SCHEDULED_SEEN);
	r |= varlink_json_set_string(object, "stage", vm_stage_to_string(record->stage));
	return varlink_json_finish(object, r);
}

int vm_record_format(const struct vm_record *record, char *text)
{
	_cleanup_json_ json_object *object = record_to_json(record);
	const char *string;

	string = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
	/* It is far shorter than the limit: numbers, and a name of VM_NAME_MAX. */
	return string ? snprintf(text, VM_RECORD_MAX, "%s\n", string) : -ENOMEM;
}

/*
 * Reading
 */

static int field_from_json(struct vm_record *record, const struct field *field, json_object *value)
{
	void *to = (char *)record + field->offset;
	int64_t number;

	if (field->type == FIELD_BOOL) {
		if (!json_object_is_type(value, json_type_boolean))
			return -EBADMSG;
		*(bool *)to = json_object_get_boolean(value);
		return 0;
	}
	if (!json_object_is_type(value, json_type_int))
		return -EBADMSG;
	number = json_object_get_int64(value);
	if (number < 0 || (uint64_t)number < field->min || (uint64_t)number > field->max)
		return -EBADMSG;
	if (field->type == FIELD_INT)
		*(int *)to = (int)number;
	else
		*(uint64_t *)to = (uint64_t)number;
	return 0;
}

/* The string of that key; NULL: there is none. */
static const char *get_string(json_object *object, const char *key)
{
	return varlink_json_string(json_object_object_get(object, key));
}

static int state_from_json(struct vm_record *record, json_object *object)
{
	const char *migration = get_string(object, "migration"), *stage;
	json_object *seen, *scheduled = NULL;
	bool is_seen, was_scheduled;

	if (!json_object_object_get_ex(object, "seen", &seen))
		return -EBADMSG;
	is_seen = json_object_get_boolean(seen);
	(void)json_object_object_get_ex(object, "wasScheduled", &scheduled);
	was_scheduled = json_object_get_boolean(scheduled);
	for (int s = 0;; s++) {
		if (s == VM_STATE_MAX_)
			return -EBADMSG;
		record->state = (enum vm_state)s;
		if (vm_migration_from_string(migration) ==
			    (int)vm_state_get_migration(record->state) &&
		    vm_state_is_seen(record->state) == is_seen &&
		    (record->state == VM_STATE_SCHEDULED_SEEN) == was_scheduled)
			break;
	}
	stage = get_string(object, "stage");
	for (int s = 0; stage && s < VM_STAGE_MAX_; s++) {
		record->stage = (enum vm_stage)s;
		if (strcmp(stage, vm_stage_to_string(record->stage)) == 0)
			return 0;
	}
	return -EBADMSG;
}

static int name_from_json(struct vm_record *record, json_object *object)
{
	const char *name = get_string(object, "name");

	if (!json_object_object_get_ex(object, "name", NULL))
		return 0;
	/* An older daemon wrote the id of a VM that has no name. */
	if (name && vm_name_is_id(name))
		return 0;
	if (!name || !vm_name_is_valid(name))
		return -EBADMSG;
	snprintf(record->name, sizeof(record->name), "%s", name);
	return 0;
}

static int uuid_from_json(struct vm_record *record, json_object *object)
{
	const char *uuid = get_string(object, "uuid");

	if (!json_object_object_get_ex(object, "uuid", NULL))
		return 0;
	return uuid && uuid_parse(uuid, record->uuid) == 0 ? 0 : -EBADMSG;
}

static int record_from_json(struct vm_record *record, json_object *object)
{
	json_object *value;
	int r;

	if (!json_object_object_get_ex(object, "version", &value) ||
	    json_object_get_int64(value) != RECORD_VERSION)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (json_object_object_get_ex(object, fields[i].key, &value))
			r = field_from_json(record, &fields[i], value);
		else
			r = fields[i].required ? -EBADMSG : 0;
		if (r < 0)
			return r;
	}
	r = name_from_json(record, object);
	if (r == 0)
		r = uuid_from_json(record, object);
	return r < 0 ? r : state_from_json(record, object);
}

int vm_record_parse(const char *text, size_t size, struct vm_record *ret)
{
	struct vm_record record = { .deadline_usec = UINT64_MAX, .uid = UINT64_MAX };
	_cleanup_json_ json_object *object = NULL;
	const char *why;
	int r;

	if (size == 0 || size > VM_RECORD_MAX)
		return -EBADMSG;
	r = varlink_message_parse(text, size, &object, &why);
	if (r == 0)
		r = record_from_json(&record, object);
	if (r == 0)
		*ret = record;
	return r;
}
