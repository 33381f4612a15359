// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-json.h"

#include "varlink/json.h"

json_object *control_host_to_json(const struct host_info *info)
{
	json_object *host = json_object_new_object();
	int r;

	r = varlink_json_set_string(host, "version", info->version);
	r |= varlink_json_set_string(host, "backend", info->backend);
	r |= varlink_json_set_bool(host, "supported", info->supported);
	r |= varlink_json_set_u64(host, "bbmLevel", (uint64_t)info->bbm_level);
	r |= varlink_json_set_bool(host, "throttled", info->throttled);
	r |= varlink_json_set_u64(host, "tlbiRate", info->tlbi_rate);
	r |= varlink_json_set_u64(host, "tlbiBurst", info->tlbi_burst);
	r |= varlink_json_set_u64(host, "tlbisTotal", info->tlbis_total);
	r |= varlink_json_set_u64(host, "blocksTotal", info->blocks_total);
	r |= varlink_json_set_u64(host, "tlbiLoadPpm", info->tlbi_load);
	r |= varlink_json_set_u64(host, "tlbiUSecTotal", info->tlbi_nsec_total / NSEC_PER_USEC);
	r |= varlink_json_set_string(host, "method", work_method_to_string(info->method));
	r |= varlink_json_set_u64(host, "vmPauseRate", info->vm_pause_rate);
	r |= varlink_json_set_u64(host, "pausesTotal", info->pauses_total);
	if (info->store_error)
		r |= varlink_json_set_string(host, "notKept", info->store_error);
	return varlink_json_finish(host, r);
}

static json_object *memslot_to_json(const struct memslot *memslot)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "slot", memslot->slot);
	r |= varlink_json_set_u64(object, "gpa", memslot->gpa);
	r |= varlink_json_set_u64(object, "bytes", memslot->bytes);
	r |= varlink_json_set_u64(object, "blocks", memslot->blocks);
	r |= varlink_json_set_u64(object, "blockBytes", memslot->block_bytes);
	r |= varlink_json_set_bool(object, "dirtyLogging", memslot->dirty_logging);
	return varlink_json_finish(object, r);
}

static json_object *memslots_to_json(const struct memslot *memslots, uint64_t n)
{
	json_object *array = json_object_new_array();
	int r = 0;

	for (uint64_t i = 0; i < n && i < CONTROL_MEMSLOTS_MAX; i++)
		r |= varlink_json_append(array, memslot_to_json(&memslots[i]));
	return varlink_json_finish(array, r);
}

/* What is not known is left out: that is how the interface's ?type is said to be absent. */
static int set_optional(json_object *object, const struct vm_info *info)
{
	int r = 0;

	if (info->has_eta)
		r |= varlink_json_set_u64(object, "etaUSec", info->eta_usec);
	if (info->has_deadline)
		r |= varlink_json_set_u64(object, "deadlineUSec", info->deadline_usec);
	if (info->uid >= 0)
		r |= varlink_json_set_u64(object, "uid", (uint64_t)info->uid);
	if (info->uuid)
		r |= varlink_json_set_string(object, "uuid", info->uuid);
	if (info->claimed)
		r |= varlink_json_set_string(object, "claimedName", info->claimed);
	if (info->error)
		r |= varlink_json_set_string(object, "error", info->error);
	return r;
}

json_object *control_vm_to_json(const struct vm *vm, bool memslots)
{
	json_object *object = json_object_new_object();
	struct vm_info info;
	int r;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	r = varlink_json_set_string(object, "vm", info.name);
	r |= varlink_json_set_u64(object, "pid", (uint64_t)info.pid);
	r |= varlink_json_set_string(object, "migration", vm_migration_to_string(info.migration));
	r |= varlink_json_set_string(object, "stage", vm_stage_to_string(info.stage));
	r |= varlink_json_set_u64(object, "bytes", info.bytes);
	r |= varlink_json_set_u64(object, "blocks", info.blocks);
	r |= varlink_json_set_u64(object, "blockBytes", info.block_bytes);
	r |= varlink_json_set_u64(object, "blocksSplit", info.blocks_split);
	r |= varlink_json_set_u64(object, "tlbis", info.tlbis);
	r |= varlink_json_set_u64(object, "tlbiUSec", info.tlbi_nsec / NSEC_PER_USEC);
	r |= varlink_json_set_bool(object, "late", info.late);
	r |= set_optional(object, &info);
	if (memslots)
		r |= varlink_json_set(object, "memslots",
				      memslots_to_json(info.memslots, info.n_memslots));
	if (memslots && info.n_memslots > CONTROL_MEMSLOTS_MAX)
		r |= varlink_json_set_u64(object, "memslotsLeftOut",
					  info.n_memslots - CONTROL_MEMSLOTS_MAX);
	return varlink_json_finish(object, r);
}

json_object *control_vm_reply(const struct vm *vm, bool memslots)
{
	json_object *parameters = json_object_new_object();
	int r;

	r = varlink_json_set(parameters, "vm", control_vm_to_json(vm, memslots));
	return varlink_json_finish(parameters, r);
}
