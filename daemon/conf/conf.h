/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file and its drop-ins, eagersplitd.conf(5). */
#ifndef EAGERSPLITD_CONF_H
#define EAGERSPLITD_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/util.h"
#include "conf/conf-values.h"

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

/*
 * The most TLBIs at once after a pause: as set, or what the rate is used up with, the host's or else
 * that of each VM, but no less than some.
 */
uint64_t config_get_burst(const struct config *config);

/* Whether user @uid, -1: not known, is one of TrustedUsers=, or whoever runs the daemon. */
bool config_trusts(const struct config *config, int64_t uid);

#define CONFIG_LIMITS_SIZE 80

/*
 * TlbiLoad= and TlbiRate= for people: "TLBIs 1% of the time, at most 1000 a second". Returns
 * @buf.
 */
char *config_format_limits(char buf[static CONFIG_LIMITS_SIZE], uint32_t load, uint64_t rate);

#endif /* EAGERSPLITD_CONF_H */
