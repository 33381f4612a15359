// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/figures.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "ctl/json.h"

/* A family with a sample that is a number or a boolean. */
struct scalar {
	struct metric_family family;
	const char *member; /* of the object that it is told in */
};

#define GAUGE(n, m, h)                                         \
	{                                                      \
		{ "eagersplitd_" n, METRIC_GAUGE, NULL, h }, m \
	}
#define BYTES(n, m, h)                                                     \
	{                                                                  \
		{ "eagersplitd_" n "_bytes", METRIC_GAUGE, "bytes", h }, m \
	}
#define COUNTER(n, m, h)                                         \
	{                                                        \
		{ "eagersplitd_" n, METRIC_COUNTER, NULL, h }, m \
	}
#define GAUGE_FAMILY(n, h)                              \
	{                                               \
		"eagersplitd_" n, METRIC_GAUGE, NULL, h \
	}

static const struct scalar host_scalars[] = {
	GAUGE("supported", "supported", "Whether the kernel has the eager-split ioctls."),
	GAUGE("bbm_level", "bbmLevel",
	      "The FEAT_BBM level that splitting uses: 0 is break-before-make."),
	GAUGE("throttled", "throttled", "Whether splits cost TLBIs of the budget."),
	GAUGE("vm_pause_rate", "vmPauseRate",
	      "Pauses a second that a VM may have where it is split by these, 0: no limit."),
	COUNTER("pauses", "pausesTotal", "Pauses of VMs, to split or recover their blocks."),
	GAUGE("budget_rate", "tlbiRate",
	      "TLBIs a second that splitting may cost the host, 0: no limit."),
	GAUGE("budget_burst", "tlbiBurst", "TLBIs that may be issued at once after a pause."),
};

static const struct scalar metrics_scalars[] = {
	GAUGE("vms", "vms", "VMs that are registered."),
	COUNTER("vms_registered", "vmsRegistered", "VMs that have been registered."),
	GAUGE("vms_not_kept", "vmsNotKept",
	      "VMs of which what is known could not be written for the next daemon."),
	COUNTER("blocks_split", "blocksSplit", "Stage-2 blocks split."),
	COUNTER("blocks_recovered", "blocksRecovered", "Stage-2 tables made blocks again."),
	COUNTER("deadlines_missed", "deadlinesMissed",
		"Migrations with a deadline that were not split by then."),
	COUNTER("reloads", "reloads", "Reloads of the configuration that succeeded."),
	COUNTER("reloads_failed", "reloadsFailed", "Reloads of the configuration that failed."),
};

static const struct scalar queue_scalars[] = {
	GAUGE("budget_granted", "tlbisGranted",
	      "TLBIs of the budget granted to calls that have not come back."),
	GAUGE("threads", "threads", "Threads that make calls into the kernel."),
	GAUGE("calls_running", "running", "Calls into the kernel being made."),
	GAUGE("calls_queued", "queued", "Calls that wait for a thread."),
	GAUGE("vms_waiting", "vmsWaiting", "VMs that wait for the budget."),
	GAUGE("vms_retrying", "vmsRetrying", "VMs that wait after a failure, to try again."),
};

static const struct scalar connections_scalars[] = {
	GAUGE("connections", "current", "Connections to the control socket."),
	COUNTER("connections_accepted", "accepted", "Connections accepted."),
	COUNTER("connections_refused", "refused", "Connections refused: there were too many."),
	COUNTER("connections_dropped", "dropped",
		"Connections closed for what came, or for replies left unread."),
};

static const struct scalar vm_scalars[] = {
	BYTES("vm_memory", "bytes", "Guest memory in memslots."),
	GAUGE("vm_blocks", "blocks", "Blocks left to split."),
	BYTES("vm_block", "blockBytes", "Guest memory that is mapped by blocks."),
	COUNTER("vm_blocks_split", "blocksSplit", "Blocks split of the VM."),
	COUNTER("vm_tlbis", "tlbis", "TLBIs spent on the VM."),
	GAUGE("vm_late", "late", "Whether the VM will be split too late for its deadline."),
};

/* Lists of objects, each of which has a name and counts. */
struct listed {
	struct metric_family family;
	const char *list;
	const char *label;
	const char *key; /* the member that is the label's value */
	const char *member;
};

static const struct listed listed[] = {
	{ { "eagersplitd_tlbis", METRIC_COUNTER, NULL,
	    "Broadcast TLBIs issued: split by break-before-make, flush after splits without, recover." },
	  "tlbis",
	  "kind",
	  "kind",
	  "count" },
	{ { "eagersplitd_calls_failed", METRIC_COUNTER, NULL,
	    "Calls into the kernel that came back with an error." },
	  "calls",
	  "operation",
	  "operation",
	  "failed" },
	{ { "eagersplitd_method_calls", METRIC_COUNTER, NULL, "Calls of the control interface." },
	  "methods",
	  "method",
	  "method",
	  "calls" },
	{ { "eagersplitd_method_errors", METRIC_COUNTER, NULL,
	    "Calls of the control interface that got an error." },
	  "methods",
	  "method",
	  "method",
	  "errors" },
	{ { "eagersplitd_refusals", METRIC_COUNTER, NULL,
	    "Calls of the control interface by the error that they got." },
	  "refusals",
	  "error",
	  "error",
	  "count" },
};

static uint64_t get_scalar(json_object *object, const char *member)
{
	if (json_object_is_type(ctl_json_member(object, member), json_type_boolean))
		return ctl_json_bool(object, member);
	return ctl_json_count(object, member);
}

static void write_scalars(struct metric_writer *w, const struct scalar *scalars, size_t n,
			  json_object *object)
{
	for (size_t i = 0; i < n; i++) {
		metric_begin(w, &scalars[i].family);
		metric_sample(w, NULL, get_scalar(object, scalars[i].member));
	}
}

static void write_listed(struct metric_writer *w, const struct listed *l, json_object *metrics)
{
	json_object *list = ctl_json_member(metrics, l->list);

	metric_begin(w, &l->family);
	for (size_t i = 0; i < ctl_json_length(list); i++) {
		json_object *object = json_object_array_get_idx(list, i);
		const struct metric_label labels[] = {
			{ l->label, ctl_json_string(object, l->key) },
			{ NULL, NULL },
		};

		metric_sample(w, labels, get_scalar(object, l->member));
	}
}

static void write_migrations(struct metric_writer *w, json_object *metrics)
{
	static const struct metric_family family = {
		"eagersplitd_migrations", METRIC_COUNTER, NULL,
		"Migrations that have ended, by how they were prepared, and how they ended."
	};
	json_object *list = ctl_json_member(metrics, "migrations");

	metric_begin(w, &family);
	for (size_t i = 0; i < ctl_json_length(list); i++) {
		json_object *object = json_object_array_get_idx(list, i);
		const struct metric_label labels[] = {
			{ "prepared", ctl_json_string(object, "prepared") },
			{ "outcome", ctl_json_string(object, "outcome") },
			{ NULL, NULL },
		};

		metric_sample(w, labels, ctl_json_count(object, "count"));
	}
}

/* Of an object with count, sumUSec and buckets. Returns 0 or -ENOMEM. */
static int write_histogram(struct metric_writer *w, const struct metric_label *labels,
			   json_object *object)
{
	json_object *list = ctl_json_member(object, "buckets");
	size_t n = ctl_json_length(list);
	_cleanup_free_ struct metric_bucket *buckets = calloc(n ? n : 1, sizeof(*buckets));
	const struct metric_histogram histogram = {
		.buckets = buckets,
		.n_buckets = n,
		.count = ctl_json_count(object, "count"),
		.sum_usec = ctl_json_count(object, "sumUSec"),
	};

	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *bucket = json_object_array_get_idx(list, i);

		buckets[i].le_usec = ctl_json_count(bucket, "leUSec");
		buckets[i].count = ctl_json_count(bucket, "count");
	}
	metric_histogram(w, labels, &histogram);
	return 0;
}

static int write_holds(struct metric_writer *w, json_object *metrics)
{
	static const struct metric_family family = {
		"eagersplitd_hold_seconds", METRIC_HISTOGRAM, "seconds",
		"The longest that each call that split or recovered held the VM's lock at a stretch."
	};

	metric_begin(w, &family);
	return write_histogram(w, NULL, ctl_json_member(metrics, "holds"));
}

static int write_lead(struct metric_writer *w, json_object *metrics)
{
	static const struct metric_family family = {
		"eagersplitd_lead_time_seconds", METRIC_HISTOGRAM, "seconds",
		"How long before dirty logging began migrations were announced."
	};

	metric_begin(w, &family);
	return write_histogram(w, NULL, ctl_json_member(metrics, "lead"));
}

/*
 * A histogram for each object of @list, told apart by the label @name, which is a field of it too.
 * Returns 0 or -ENOMEM.
 */
static int write_histograms(struct metric_writer *w, const struct metric_family *family,
			    const char *name, json_object *list)
{
	int r = 0;

	metric_begin(w, family);
	for (size_t i = 0; r == 0 && i < ctl_json_length(list); i++) {
		json_object *figures = json_object_array_get_idx(list, i);
		const struct metric_label labels[] = {
			{ name, ctl_json_string(figures, name) },
			{ NULL, NULL },
		};

		r = write_histogram(w, labels, figures);
	}
	return r;
}

static int write_stalls(struct metric_writer *w, json_object *metrics)
{
	static const struct metric_family family = {
		"eagersplitd_migration_stall_seconds", METRIC_HISTOGRAM, "seconds",
		"How long in all vCPUs were stalled in a migration: faults waited for page tables."
	};

	return write_histograms(w, &family, "prepared", ctl_json_member(metrics, "stalls"));
}

static int write_calls(struct metric_writer *w, json_object *metrics)
{
	static const struct metric_family family = {
		"eagersplitd_call_duration_seconds", METRIC_HISTOGRAM, "seconds",
		"Time that calls into the kernel took, from entering it to coming back."
	};

	return write_histograms(w, &family, "operation", ctl_json_member(metrics, "calls"));
}

/* Each way to split that there is, 1 for the one in use. */
static void write_method(struct metric_writer *w, json_object *host)
{
	static const struct metric_family family =
		GAUGE_FAMILY("split_method", "How blocks are split.");
	static const char *const methods[] = { "break", "bbm", "pause" };

	metric_begin(w, &family);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		const struct metric_label labels[] = {
			{ "method", methods[i] },
			{ NULL, NULL },
		};

		metric_sample(w, labels, strcmp(ctl_json_string(host, "method"), methods[i]) == 0);
	}
}

static void write_host(struct metric_writer *w, const struct figures *figures)
{
	static const struct metric_family build = { "eagersplitd_build", METRIC_INFO, NULL,
						    "Version and backend of eagersplitd." };
	static const struct metric_family start = { "eagersplitd_start_time_seconds", METRIC_GAUGE,
						    "seconds", "When eagersplitd started." };
	/* Microseconds of a second. */
	static const struct metric_family load = {
		"eagersplitd_budget_load_ratio", METRIC_GAUGE, "ratio",
		"Part of the time that TLBIs may take, 0: no limit."
	};
	static const struct metric_family tlbi = { "eagersplitd_tlbi_seconds", METRIC_COUNTER,
						   "seconds", "Time that broadcast TLBIs took." };
	const struct metric_label labels[] = {
		{ "version", ctl_json_string(figures->host, "version") },
		{ "backend", ctl_json_string(figures->host, "backend") },
		{ NULL, NULL },
	};

	metric_begin(w, &build);
	metric_sample(w, labels, 1);
	metric_begin(w, &start);
	metric_seconds(w, NULL, ctl_json_count(figures->metrics, "startedUSec"));
	write_scalars(w, host_scalars, ARRAY_SIZE(host_scalars), figures->host);
	write_method(w, figures->host);
	metric_begin(w, &load);
	metric_seconds(w, NULL, ctl_json_count(figures->host, "tlbiLoadPpm"));
	metric_begin(w, &tlbi);
	metric_seconds(w, NULL, ctl_json_count(figures->host, "tlbiUSecTotal"));
}

static void write_vm_info(struct metric_writer *w, json_object *vms)
{
	static const struct metric_family family = { "eagersplitd_vm", METRIC_INFO, NULL,
						     "The VM's process." };

	metric_begin(w, &family);
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);
		json_object *pid = ctl_json_member(vm, "pid");
		const struct metric_label labels[] = {
			{ "vm", ctl_json_string(vm, "vm") },
			{ "pid", pid ? json_object_get_string(pid) : "" },
			{ NULL, NULL },
		};

		metric_sample(w, labels, 1);
	}
}

/* A time of each VM that has one. */
static void write_vm_times(struct metric_writer *w, const struct metric_family *family,
			   const char *member, json_object *vms)
{
	metric_begin(w, family);
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);
		const struct metric_label labels[] = {
			{ "vm", ctl_json_string(vm, "vm") },
			{ NULL, NULL },
		};

		if (ctl_json_member(vm, member))
			metric_seconds(w, labels, ctl_json_count(vm, member));
	}
}

/* Each state that there is, 1 for the one that the VM is in; the label is called as the member. */
static void write_vm_states(struct metric_writer *w, const struct metric_family *family,
			    const char *member, const char *const *states, json_object *vms)
{
	metric_begin(w, family);
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);

		for (size_t j = 0; states[j]; j++) {
			const struct metric_label labels[] = {
				{ "vm", ctl_json_string(vm, "vm") },
				{ member, states[j] },
				{ NULL, NULL },
			};

			metric_sample(w, labels,
				      strcmp(ctl_json_string(vm, member), states[j]) == 0);
		}
	}
}

static void write_vm_scalar(struct metric_writer *w, const struct scalar *scalar, json_object *vms)
{
	metric_begin(w, &scalar->family);
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);
		const struct metric_label labels[] = {
			{ "vm", ctl_json_string(vm, "vm") },
			{ NULL, NULL },
		};

		metric_sample(w, labels, get_scalar(vm, scalar->member));
	}
}

static void write_vms(struct metric_writer *w, json_object *vms)
{
	static const char *const stages[] = { "whole",	    "splitting", "split",
					      "recovering", "failed",	 NULL };
	static const char *const migrations[] = { "none",      "scheduled", "active", "completed",
						  "cancelled", "failed",    NULL };
	static const struct metric_family stage =
		GAUGE_FAMILY("vm_stage", "What has been done to the VM's stage 2.");
	static const struct metric_family migration =
		GAUGE_FAMILY("vm_migration", "What is known of the VM's migration.");
	static const struct metric_family eta = { "eagersplitd_vm_eta_seconds", METRIC_GAUGE,
						  "seconds", "Time until the VM is split." };
	static const struct metric_family deadline = { "eagersplitd_vm_deadline_time_seconds",
						       METRIC_GAUGE, "seconds",
						       "When the VM must be split." };

	write_vm_info(w, vms);
	for (size_t i = 0; i < ARRAY_SIZE(vm_scalars); i++)
		write_vm_scalar(w, &vm_scalars[i], vms);
	write_vm_times(w, &eta, "etaUSec", vms);
	write_vm_times(w, &deadline, "deadlineUSec", vms);
	write_vm_states(w, &stage, "stage", stages, vms);
	write_vm_states(w, &migration, "migration", migrations, vms);
}

void figures_write_up(bool up, uint64_t now_usec, struct metric_writer *w)
{
	static const struct metric_family family =
		GAUGE_FAMILY("up", "Whether eagersplitd runs, and answers.");
	static const struct metric_family written = { "eagersplitd_written_time_seconds",
						      METRIC_GAUGE, "seconds",
						      "When these figures were asked for." };

	metric_begin(w, &family);
	metric_sample(w, NULL, up);
	metric_begin(w, &written);
	metric_seconds(w, NULL, now_usec);
}

int figures_write(const struct figures *figures, struct metric_writer *w)
{
	json_object *metrics = figures->metrics;
	int r;

	write_host(w, figures);
	write_scalars(w, metrics_scalars, ARRAY_SIZE(metrics_scalars), metrics);
	write_scalars(w, queue_scalars, ARRAY_SIZE(queue_scalars),
		      ctl_json_member(metrics, "queue"));
	write_scalars(w, connections_scalars, ARRAY_SIZE(connections_scalars),
		      ctl_json_member(metrics, "connections"));
	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		write_listed(w, &listed[i], metrics);
	write_migrations(w, metrics);
	r = write_holds(w, metrics);
	if (r == 0)
		r = write_lead(w, metrics);
	if (r == 0)
		r = write_stalls(w, metrics);
	if (r == 0)
		r = write_calls(w, metrics);
	write_vms(w, figures->vms);
	return r;
}
