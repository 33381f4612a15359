// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/params.h"

#include "base/util.h"
#include "ctl/text.h"
#include "varlink/json.h"

/* A name of a VM, as it is, or as it is shown. 0 or -ENOMEM. */
static int set_vm(json_object *params, const char *vm)
{
	_cleanup_free_ char *name = text_unescape(vm);

	return varlink_json_set(params, "vm", name ? json_object_new_string(name) : NULL);
}

json_object *params_vm(const char *vm)
{
	json_object *params = json_object_new_object();

	return varlink_json_finish(params, vm ? set_vm(params, vm) : 0);
}

json_object *params_register(int64_t pid, const char *name)
{
	json_object *params = json_object_new_object();
	int r;

	r = varlink_json_set(params, "pid", json_object_new_int64(pid));
	if (name)
		r |= varlink_json_set_string(params, "name", name);
	return varlink_json_finish(params, r);
}

json_object *params_migration(const struct ctl *ctl, const char *vm, const char *migration)
{
	json_object *params = json_object_new_object();
	int r;

	r = set_vm(params, vm);
	r |= varlink_json_set_string(params, "migration", migration);
	if (ctl->given & CTL_OPTION_DEADLINE)
		r |= varlink_json_set(params, "deadlineUSec",
				      json_object_new_int64((int64_t)ctl->deadline_usec));
	if (ctl->given & CTL_OPTION_TLBI_RATE)
		r |= varlink_json_set(params, "tlbiRate", json_object_new_int64(ctl->tlbi_rate));
	return varlink_json_finish(params, r);
}
