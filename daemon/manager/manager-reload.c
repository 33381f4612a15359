// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-reload.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf-reader.h"
#include "conf/conf.h"
#include "manager/manager-host.h"
#include "manager/manager-migration.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-tell.h"
#include "service/notify.h"

static void manager_apply(struct manager *m)
{
	if (m->backend->ops->configure)
		m->backend->ops->configure(m->backend, &m->config->sim);
	manager_probe(m);
	manager_arm_timeout(m);
	manager_look_for_names(m);
}

static void manager_take_config(struct manager *m, struct config *config)
{
	char limits[CONFIG_LIMITS_SIZE];

	config->backend_override = m->config->backend_override;
	if (config->backend_override >= 0)
		config->backend = (enum config_backend)config->backend_override;
	if (config->backend != m->config->backend)
		log_warning("Backend= takes effect when the daemon is started anew");
	config_free(m->config);
	m->config = config;
	m->reloads++;
	manager_apply(m);
	log_full(LOG_INFO, MESSAGE_RELOADED, "Configuration reloaded: %s, burst %" PRIu64,
		 config_format_limits(limits, config->tlbi_load, config->tlbi_rate),
		 config_get_burst(config));
}

static void manager_read_config(struct manager *m)
{
	m->reloads_begun = m->reloads_asked;
	config_reader_begin(m->config_reader);
}

void manager_on_config_read(void *userdata, int r, struct config *config, const char *error)
{
	struct manager *m = userdata;
	uint64_t number = m->reloads_begun;

	error = error ?: strerror(-r);
	if (r < 0) {
		m->reloads_failed++;
		log_full(LOG_ERR, MESSAGE_RELOAD_FAILED, "Configuration not reloaded: %s", error);
	} else {
		manager_take_config(m, config);
	}
	/* Whoever waits for what has been asked for since is not to take this for it. */
	if (number < m->reloads_asked)
		manager_read_config(m);
	else
		notify_say(m->notify, NOTIFY_READY, "READY=1");
	manager_notify_status(m);
	if (m->observer)
		m->observer->reloaded(m->observer_userdata, number, r, error);
}

uint64_t manager_reload(struct manager *m)
{
	notify_say(m->notify, NOTIFY_RELOADING, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   clock_usec(CLOCK_MONOTONIC));
	m->reloads_asked++;
	if (!config_reader_is_reading(m->config_reader))
		manager_read_config(m);
	return m->reloads_asked;
}
