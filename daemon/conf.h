/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file and its drop-ins, eagersplitd.conf(5). */
#ifndef EAGERSPLITD_CONF_H
#define EAGERSPLITD_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/util.h"

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

enum config_on_dirty_log {
	CONFIG_ON_DIRTY_LOG_SPLIT,
	CONFIG_ON_DIRTY_LOG_IGNORE,
};

/**
 * struct config - what the files say
 * @path: the file it was read from
 * @required: it is an error if that file is missing
 * @tlbi_load: time that TLBIs may be under way, in millionths of all time, 0: no limit
 * @tlbi_rate: TLBIs a second for the host, 0: no limit
 * @tlbi_burst: the most at once after a pause
 * @vm_tlbi_rate: ceiling for each VM, 0: none
 * @backend: Backend=, or what overrides it
 * @backend_override: enum config_backend from the command line, -1: none
 * @bbm: Bbm=
 * @on_dirty_log: OnDirtyLog=: dirty logging that starts unannounced
 * @scheduled_timeout_sec: ScheduledTimeoutSec=, 0: none
 * @control_group: Group=, whose members may change what is done; CONFIG_GROUP_NONE
 * @sim_memory: bytes of each simulated VM
 * @sim_block_size: bytes of its blocks
 * @sim_tlbi_usec: how long a broadcast TLBI takes there
 * @sim_batch: blocks that have a TLBI in common at the most
 * @sim_vcpu_waits: batches that a vCPU ends early, in millionths of all
 * @sim_bbm_level: FEAT_BBM level of the simulated CPUs, 0 or 2
 */
struct config {
	char *path;
	bool required;
	uint32_t tlbi_load;
	uint64_t tlbi_rate;
	uint64_t tlbi_burst;
	uint64_t vm_tlbi_rate;
	enum config_backend backend;
	int backend_override;
	enum config_bbm bbm;
	enum config_on_dirty_log on_dirty_log;
	uint64_t scheduled_timeout_sec;
	gid_t control_group;
	uint64_t sim_memory;
	uint64_t sim_block_size;
	uint64_t sim_tlbi_usec;
	uint32_t sim_batch;
	uint32_t sim_vcpu_waits;
	int sim_bbm_level;
};

/*
 * Told of what is wrong with the configuration: @message is whole, with file and
 * line where there is one. A warning changes nothing: what it is about is passed
 * over.
 */
typedef void (*config_problem)(void *userdata, bool is_error, const char *message);

/*
 * Reads @path, then the files *.conf in the folder @path.d in order of their names;
 * what is not set has its default. @problem hears of everything that is wrong, to
 * the last line. Negative errno: of the first error that there was.
 */
int config_read(struct config **ret, const char *path, bool required, config_problem problem,
		void *userdata);

/* What config_read() does for one file that is open, called @path in messages. */
int config_read_stream(struct config *config, FILE *file, const char *path, config_problem problem,
		       void *userdata);

/*
 * The same as config_read(), with warnings and all errors but the first logged.
 * Negative errno: @ret_error is the first error, which the caller frees (NULL: out
 * of memory).
 */
int config_load(struct config **ret, const char *path, bool required, char **ret_error);

/* All defaults. @path may be missing unless @required. NULL: out of memory. */
struct config *config_new(const char *path, bool required);

/* Returns NULL. */
struct config *config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free);

/* A Backend= value, or -EINVAL. */
int config_backend_from_string(const char *s);

#define CONFIG_LIMITS_SIZE 80

/*
 * TlbiLoad= and TlbiRate= for people: "TLBIs 1% of the time, at most 1000 a second". Returns
 * @buf.
 */
char *config_format_limits(char buf[static CONFIG_LIMITS_SIZE], uint32_t load, uint64_t rate);

#endif /* EAGERSPLITD_CONF_H */
