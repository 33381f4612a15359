// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that reckons ahead. */
#include "ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"
#include "ctl/cmd-plan.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/plan.h"
#include "varlink/json.h"

#define BLOCK_SIZE_DEFAULT (UINT64_C(2) << 20)

/* As TlbiRate= is unless it is set. */
#define RATE_DEFAULT 1000

static void demand_from_ctl(struct plan_demand *demand, const struct ctl *ctl)
{
	*demand = (struct plan_demand){
		.memory = ctl->memory,
		.block_size = BLOCK_SIZE_DEFAULT,
		.bbm = ctl->given & CTL_OPTION_BBM,
		.batch = PLAN_BATCH_MAX,
		.span_usec = UINT64_MAX,
	};
	if (ctl->given & CTL_OPTION_BLOCK_SIZE)
		demand->block_size = ctl->block_size;
	if (ctl->given & CTL_OPTION_BATCH)
		demand->batch = (uint64_t)ctl->batch;
	if (ctl->given & CTL_OPTION_RATE)
		demand->rate = (uint64_t)ctl->rate;
	if (!(ctl->given & CTL_OPTION_DEADLINE))
		return;
	demand->span_usec = ctl->deadline_usec - ctl->now_usec;
}

/* Why nothing can be planned; deadlines have been checked by then. */
static int report(const struct plan_demand *demand)
{
	if (demand->memory == 0)
		fprintf(stderr, "--memory=0: nothing to split.\n");
	else
		fprintf(stderr, "--block-size=: arm64 has blocks of 2M and 1G, with larger pages "
				"32M or 512M.\n");
	return CTL_USAGE;
}

static void print_cost(const struct plan_demand *demand, const struct plan *plan)
{
	char memory[FORMAT_SIZE], size[FORMAT_SIZE], n[FORMAT_SIZE];

	printf("Memory:       %s in %s block%s of %s\n", format_bytes(memory, demand->memory),
	       format_count(n, plan->blocks), plural(plan->blocks),
	       format_bytes(size, demand->block_size));
	if (demand->bbm)
		printf("TLBIs:        none a block (FEAT_BBM level 2); one of the whole VMID each call\n");
	else
		printf("TLBIs:        %s, one for %s block%s (break-before-make)\n"
		       "              %s where vCPUs wait all the time, one a block\n"
		       "              none on CPUs with FEAT_BBM level 2 (--bbm)\n",
		       format_count(n, plan->tlbis), format_count(size, demand->batch),
		       plural(demand->batch), format_count(memory, plan->most_tlbis));
	printf("Page tables:  %s", format_bytes(size, plan->table_bytes));
	printf(" in %s table%s of %s\n", format_count(n, plan->tables), plural(plan->tables),
	       format_bytes(memory, plan->page_size));
	printf("              charged to the VM's memory cgroup\n");
}

static void print_time(const struct plan_demand *demand, const struct plan *plan)
{
	char n[FORMAT_SIZE], span[FORMAT_SIZE];

	if (demand->bbm) {
		printf("Time:         as fast as the CPU writes the tables; the budget does not count\n");
		return;
	}
	if (demand->span_usec != UINT64_MAX)
		printf("Rate needed:  %s TLBI%s/s, to be split in %s\n",
		       format_count(n, plan->least_rate), plural(plan->least_rate),
		       format_span(span, demand->span_usec));
	if (demand->rate)
		printf("Time:         %s at %s TLBI%s/s%s\n", format_span(span, plan->time_usec),
		       format_count(n, demand->rate), plural(demand->rate),
		       plan->late ? ", past the deadline" : "");
}

/* Without a wish: what there is unless something is configured. */
static void print_time_by_default(const struct plan_demand *demand)
{
	struct plan_demand usual = *demand;
	struct plan plan;
	char n[FORMAT_SIZE], span[FORMAT_SIZE];

	usual.rate = RATE_DEFAULT;
	if (plan_make(&plan, &usual) == 0)
		printf("Time:         %s at %s TLBIs/s, the default\n",
		       format_span(span, plan.time_usec), format_count(n, RATE_DEFAULT));
}

static int print_json(const struct ctl *ctl, const struct plan_demand *demand,
		      const struct plan *plan)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	bool has_deadline = demand->span_usec != UINT64_MAX;
	const struct {
		const char *name;
		uint64_t value;
		bool left_out;
	} members[] = {
		{ "memory", demand->memory, false },
		{ "blockSize", demand->block_size, false },
		{ "pageSize", plan->page_size, false },
		{ "blocks", plan->blocks, false },
		{ "tlbis", plan->tlbis, false },
		{ "mostTlbis", plan->most_tlbis, false },
		{ "tables", plan->tables, false },
		{ "tableBytes", plan->table_bytes, false },
		{ "leastRate", plan->least_rate, !has_deadline },
		{ "rate", demand->rate, !demand->rate },
		{ "timeUSec", plan->time_usec, !demand->rate },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!members[i].left_out)
			r |= varlink_json_set(object, members[i].name,
					      json_object_new_int64((int64_t)members[i].value));
	r |= varlink_json_set_bool(object, "late", plan->late);
	if (r != 0)
		return -ENOMEM;
	ctl_json_print(object);
	ctl->outcome->told = true;
	return 0;
}

int ctl_plan(const struct ctl *ctl, char **args)
{
	const unsigned int wishes = CTL_OPTION_DEADLINE | CTL_OPTION_RATE | CTL_OPTION_BBM;
	struct plan_demand demand;
	struct plan plan;
	bool all = ctl->given & CTL_OPTION_ALL, named = args[0];

	/* Of a guest that there is not, or of those that there are. */
	if (!!(ctl->given & CTL_OPTION_MEMORY) + all + named != 1) {
		fprintf(stderr, "plan needs one of --memory=SIZE, names of VMs, or --all.\n"
				"Try: eagersplitctl plan --help\n");
		return CTL_USAGE;
	}
	if (all || named) {
		if (ctl->given &
		    (CTL_OPTION_BLOCK_SIZE | CTL_OPTION_BATCH | CTL_OPTION_RATE | CTL_OPTION_BBM)) {
			fprintf(stderr,
				"That is known of VMs that there are: --deadline= alone.\n");
			return CTL_USAGE;
		}
		return plan_vms(ctl, args);
	}
	demand_from_ctl(&demand, ctl);
	if (plan_make(&plan, &demand) < 0)
		return report(&demand);
	if (ctl->json) {
		if (print_json(ctl, &demand, &plan) < 0)
			return EXIT_FAILURE;
	} else {
		print_cost(&demand, &plan);
		print_time(&demand, &plan);
		if (!(ctl->given & wishes))
			print_time_by_default(&demand);
	}
	return plan.late ? CTL_LATE : EXIT_SUCCESS;
}
