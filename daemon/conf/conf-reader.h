/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the configuration while the daemon runs: in a thread of its own, as the disk may be slow,
 * and so may whoever is asked for users and groups.
 */
#ifndef EAGERSPLITD_CONF_READER_H
#define EAGERSPLITD_CONF_READER_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "base/util.h"

struct config;
struct config_reader;

/*
 * The end of a reading, in the event loop: @config is the listener's. Negative errno @r: there is
 * none, for @error, a message that is the reader's (NULL: out of memory). What else is wrong with it
 * has been logged.
 */
typedef void (*config_read_fn)(void *userdata, int r, struct config *config, const char *error);

/* For the file @path, see config_read(). 0 or a negative errno. */
int config_reader_new(struct config_reader **ret, sd_event *event, const char *path, bool required,
		      config_read_fn read, void *userdata);

/* Nobody is told of anything any more. */
void config_reader_stop(struct config_reader *r);

/* Leaves the thread behind if it is reading. Returns NULL. */
struct config_reader *config_reader_free(struct config_reader *r);
DEFINE_CLEANUP(struct config_reader *, config_reader_free);

/* Has it read, which is not the case now. */
void config_reader_begin(struct config_reader *r);

/* Whether it is being read. */
bool config_reader_is_reading(const struct config_reader *r);

#endif /* EAGERSPLITD_CONF_READER_H */
