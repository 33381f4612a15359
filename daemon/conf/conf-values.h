/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the configuration says, once it is read. */
#ifndef EAGERSPLITD_CONF_VALUES_H
#define EAGERSPLITD_CONF_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/sim-settings.h"

/* The most users that may be trusted by name. */
#define CONFIG_USERS_MAX 32

/* No group. */
#define CONFIG_GROUP_NONE ((gid_t)-1)

enum config_backend {
	CONFIG_BACKEND_KVM,
	CONFIG_BACKEND_SIM,
};

enum config_bbm {
	CONFIG_BBM_AUTO,
	CONFIG_BBM_OFF,
};

enum config_method {
	CONFIG_METHOD_AUTO,
	CONFIG_METHOD_BREAK,
	CONFIG_METHOD_PAUSE,
};

enum config_on_dirty_log {
	CONFIG_ON_DIRTY_LOG_SPLIT,
	CONFIG_ON_DIRTY_LOG_IGNORE,
};

/* Some users, the first @n. */
struct config_users {
	size_t n;
	uid_t uids[CONFIG_USERS_MAX];
};

/**
 * struct config - what the files say
 * @path: the file it was read from
 * @required: it is an error if that file is missing
 * @tlbi_load: time that TLBIs may be under way, in millionths of all time, 0: no limit
 * @tlbi_rate: TLBIs a second for the host, 0: no limit
 * @tlbi_burst: the most at once after a pause, 0: see config_get_burst()
 * @vm_tlbi_rate: ceiling for each VM, 0: none
 * @vm_pause_rate: pauses a second of each VM, where blocks are split by these, 0: no limit
 * @backend: Backend=, or what overrides it
 * @backend_override: enum config_backend from the command line, -1: none
 * @bbm: Bbm=
 * @method: Method=
 * @on_dirty_log: OnDirtyLog=: dirty logging that starts unannounced
 * @scheduled_timeout_sec: ScheduledTimeoutSec=, 0: none
 * @control_group: Group=, whose members may change what is done; CONFIG_GROUP_NONE
 * @trusted_users: TrustedUsers=, whose VMMs are believed what they call their guests
 * @sim: of the simulated host
 */
struct config {
	char *path;
	bool required;
	uint32_t tlbi_load;
	uint64_t tlbi_rate;
	uint64_t tlbi_burst;
	uint64_t vm_tlbi_rate;
	uint64_t vm_pause_rate;
	enum config_backend backend;
	int backend_override;
	enum config_bbm bbm;
	enum config_method method;
	enum config_on_dirty_log on_dirty_log;
	uint64_t scheduled_timeout_sec;
	gid_t control_group;
	struct config_users trusted_users;
	struct sim_settings sim;
};

#endif /* EAGERSPLITD_CONF_VALUES_H */
