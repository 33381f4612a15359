// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-host.h"

#include <errno.h>

#include "base/log.h"
#include "conf/conf.h"
#include "manager/finder.h"
#include "manager/manager-private.h"
#include "manager/manager-resume.h"
#include "manager/manager-tell.h"
#include "splitting/splitter.h"

enum work_method manager_get_method(const struct manager *m)
{
	const struct config *config = m->config;

	if (config->method == CONFIG_METHOD_PAUSE && m->host.pauses)
		return WORK_PAUSE;
	if (config->method == CONFIG_METHOD_BREAK || config->bbm == CONFIG_BBM_OFF ||
	    m->host.bbm_level < 2)
		return WORK_BREAK;
	return WORK_NO_BREAK;
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
		.vm_pause_rate = m->config->vm_pause_rate,
		.method = manager_get_method(m),
	};
}

/* What was there all along, and could not be split. */
static void manager_take_up(struct manager *m)
{
	log_info("VMs can be split from now on, %s", work_method_describe(manager_get_method(m)));
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
	if (m->host.supported && m->config->method == CONFIG_METHOD_PAUSE && !m->host.pauses)
		log_warning("Method=pause: this kernel cannot, so it is Method=auto");
	if (m->host.supported && !supported)
		manager_take_up(m);
}

int manager_check_host(struct manager *m)
{
	if (!m->host.supported)
		manager_probe(m);
	return m->host.supported ? 0 : -EOPNOTSUPP;
}
