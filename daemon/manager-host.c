// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-host.h"

#include <errno.h>

#include "base/log.h"
#include "conf.h"
#include "finder.h"
#include "manager-private.h"
#include "manager-resume.h"
#include "manager-tell.h"
#include "splitter.h"

bool manager_is_throttled(const struct manager *m)
{
	return m->host.bbm_level < 2 || m->config->bbm == CONFIG_BBM_OFF;
}

struct work_limits manager_get_limits(const struct manager *m)
{
	return (struct work_limits){
		.host = {
			.load = m->config->tlbi_load,
			.rate = m->config->tlbi_rate,
			.burst = config_get_burst(m->config),
		},
		.batch = m->host.batch,
		.vm_rate = m->config->vm_tlbi_rate,
		.throttled = manager_is_throttled(m),
	};
}

/* What was there all along, and could not be split. */
static void manager_take_up(struct manager *m)
{
	log_info("VMs can be split from now on, %s break-before-make",
		 manager_is_throttled(m) ? "by" : "without");
	manager_load(m);
	finder_scan_all(m->finder);
	manager_notify_status(m);
}

void manager_probe(struct manager *m)
{
	bool supported = m->host.supported;
	struct work_limits limits;

	m->backend->ops->probe(m->backend, &m->host);
	limits = manager_get_limits(m);
	splitter_set_limits(m->splitter, &limits);
	if (m->host.supported && !supported)
		manager_take_up(m);
}

int manager_check_host(struct manager *m)
{
	if (!m->host.supported)
		manager_probe(m);
	return m->host.supported ? 0 : -EOPNOTSUPP;
}
