// SPDX-License-Identifier: GPL-2.0-or-later
/* A configuration file: read to its end, whatever it says, and in range after it. */
#include <string.h>

#include "budget/budget.h"
#include "conf/conf.h"
#include "conf/conf-setting.h"
#include "fuzz.h"

static void on_problem(void *userdata, bool is_error, const char *message)
{
	bool *failed = userdata;

	check(strncmp(message, "fuzz:", 5) == 0);
	check(message[5] >= '1' && message[5] <= '9');
	*failed |= is_error;
}

static void check_ranges(const struct config *config)
{
	check(config->tlbi_rate <= BUDGET_RATE_MAX);
	check(config_get_burst(config) >= 1 && config_get_burst(config) <= BUDGET_BURST_MAX);
	check(config->vm_tlbi_rate <= BUDGET_RATE_MAX);
	check(config->backend == CONFIG_BACKEND_KVM || config->backend == CONFIG_BACKEND_SIM);
	check(config->sim.memory >= 2 << 20);
	check(config->sim.block_size == 2 << 20 || config->sim.block_size == 1 << 30);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *config = config_new("fuzz", true);
	bool failed = false;
	FILE *file;
	int r;

	/* fmemopen() takes no empty buffer. */
	if (!config || size == 0)
		return 0;
	file = fmemopen((void *)(uintptr_t)data, size, "r");
	check(file);
	r = config_read_stream(config, file, "fuzz", on_problem, &failed);
	check((r < 0) == failed);
	check_ranges(config);
	fclose(file);
	return 0;
}
