// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/params.h"

#include "varlink/json.h"

json_object *params_vm(const char *vm)
{
	_cleanup_json_ json_object *params = json_object_new_object();

	if (vm && varlink_json_set(params, "vm", json_object_new_string(vm)) < 0)
		return NULL;
	return TAKE_PTR(params);
}

json_object *params_register(int64_t pid, const char *name)
{
	_cleanup_json_ json_object *params = json_object_new_object();
	int r;

	r = varlink_json_set(params, "pid", json_object_new_int64(pid));
	if (name)
		r |= varlink_json_set(params, "name", json_object_new_string(name));
	return r == 0 ? TAKE_PTR(params) : NULL;
}

json_object *params_migration(const struct ctl *ctl, const char *vm, const char *migration)
{
	_cleanup_json_ json_object *params = json_object_new_object();
	int r;

	r = varlink_json_set(params, "vm", json_object_new_string(vm));
	r |= varlink_json_set(params, "migration", json_object_new_string(migration));
	if (ctl->given & CTL_OPTION_DEADLINE)
		r |= varlink_json_set(params, "deadlineUSec",
				      json_object_new_int64((int64_t)ctl->deadline_usec));
	if (ctl->given & CTL_OPTION_TLBI_RATE)
		r |= varlink_json_set(params, "tlbiRate", json_object_new_int64(ctl->tlbi_rate));
	return r == 0 ? TAKE_PTR(params) : NULL;
}
