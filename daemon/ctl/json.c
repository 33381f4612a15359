// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/json.h"

#include <stdio.h>

json_object *ctl_json_member(json_object *object, const char *name)
{
	if (!json_object_is_type(object, json_type_object))
		return NULL;
	return json_object_object_get(object, name);
}

const char *ctl_json_string(json_object *object, const char *name)
{
	json_object *value = ctl_json_member(object, name);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

int64_t ctl_json_int(json_object *object, const char *name)
{
	json_object *value = ctl_json_member(object, name);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

uint64_t ctl_json_count(json_object *object, const char *name)
{
	int64_t value = ctl_json_int(object, name);

	return value > 0 ? (uint64_t)value : 0;
}

bool ctl_json_bool(json_object *object, const char *name)
{
	json_object *value = ctl_json_member(object, name);

	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

void ctl_json_print(json_object *object)
{
	puts(object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
								     JSON_C_TO_STRING_NOSLASHESCAPE)
		    : "{}");
}

void ctl_vm_from_json(struct ctl_vm *vm, json_object *object)
{
	*vm = (struct ctl_vm){
		.uuid = ctl_json_string(object, "uuid"),
		.uid = ctl_json_member(object, "uid") ? ctl_json_int(object, "uid") : -1,
		.pid = ctl_json_int(object, "pid"),
		.migration = ctl_json_string(object, "migration"),
		.stage = ctl_json_string(object, "stage"),
		.bytes = ctl_json_count(object, "bytes"),
		.blocks = ctl_json_count(object, "blocks"),
		.block_bytes = ctl_json_count(object, "blockBytes"),
		.blocks_split = ctl_json_count(object, "blocksSplit"),
		.tlbis = ctl_json_count(object, "tlbis"),
		.has_eta = ctl_json_member(object, "etaUSec"),
		.eta_usec = ctl_json_count(object, "etaUSec"),
		.has_deadline = ctl_json_member(object, "deadlineUSec"),
		.deadline_usec = ctl_json_count(object, "deadlineUSec"),
		.late = ctl_json_bool(object, "late"),
		.error = ctl_json_string(object, "error"),
	};
	text_escape(vm->name, ctl_json_string(object, "vm"));
	text_escape(vm->claimed, ctl_json_string(object, "claimedName"));
}

size_t ctl_json_length(json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}
