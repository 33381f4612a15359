/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migrations that have ended: counted since the start, and the last of them kept, a line
 * of JSON each, also over restarts of daemon and host. The file is read and written by a
 * thread of its own, once a second at the most: nobody else waits for the disk.
 */
#ifndef EAGERSPLITD_HISTORY_H
#define EAGERSPLITD_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "base/util.h"
#include "base/latency.h"
#include "vm/passage.h"

/* So many are kept; and of those of one sharer, and of all, see struct passage. */
#define HISTORY_MAX	   1000U
#define HISTORY_SHARE_MAX  100U
#define HISTORY_SHARES_MAX 500U

/* The limits of how far ahead migrations were announced. */
#define HISTORY_LEADS 9

/**
 * struct history_stats - counts, since the start
 * @ended: by how they were prepared, and how they ended
 * @deadlines_missed: not split by then
 * @leads: of those that were announced and began, by how long before; each alone, the last
 *	   is for what is above all limits
 * @lead_usec: in sum
 * @stalls: of those that began: how long vCPUs were stalled in each, by how it was prepared
 */
struct history_stats {
	uint64_t ended[COURSE_PREPARATION_MAX_][COURSE_OUTCOME_MAX_];
	uint64_t deadlines_missed;
	uint64_t leads[HISTORY_LEADS + 1];
	uint64_t lead_usec;
	struct latency stalls[COURSE_PREPARATION_MAX_];
};

/* The limit of bucket @i below HISTORY_LEADS, which belongs to it, in microseconds. */
uint64_t history_lead_limit_usec(size_t i);

struct history;

/* 0 or a negative errno. */
int history_new(struct history **ret, sd_event *event);

/*
 * Writes what has not been written yet, and waits for it, but not for long: then the thread is left
 * behind. Returns NULL.
 */
struct history *history_free(struct history *h);
DEFINE_CLEANUP(struct history *, history_free);

/*
 * Keeps them in the file "history" of @folder from now on, once it has been read. To be
 * called once. 0 or -ENOMEM.
 */
int history_open(struct history *h, const char *folder);

/* Counts and keeps one. */
void history_add(struct history *h, const struct passage *passage);

/*
 * Each has a number, which is higher than that before it. That of the last one that is kept of those
 * before @number (UINT64_MAX: of all); 0: there is none.
 */
uint64_t history_get_previous(const struct history *h, uint64_t number);

/*
 * The one of that number, if it is of the VM of that name (NULL: of whichever). NULL: it is not, or
 * not kept any more, or makes no sense, or there is no memory.
 */
json_object *history_get(const struct history *h, uint64_t number, const char *vm);

const struct history_stats *history_get_stats(const struct history *h);

#endif /* EAGERSPLITD_HISTORY_H */
