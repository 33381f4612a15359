/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a migration went, as it is told: when what happened, and what preparing it cost. */
#ifndef EAGERSPLITD_PASSAGE_H
#define EAGERSPLITD_PASSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <json-c/json.h>

/* How a migration ended. */
enum course_outcome {
	COURSE_COMPLETED,
	COURSE_CANCELLED,
	COURSE_FAILED,
	COURSE_GONE, /* the VM is, and nobody has said why */
	COURSE_OUTCOME_MAX_,
};

/* How it was prepared. */
enum course_preparation {
	COURSE_AHEAD, /* all was split before dirty logging began */
	COURSE_PARTLY, /* it was announced, and not all was */
	COURSE_FOUND, /* dirty logging began, and nobody had announced it */
	COURSE_UNUSED, /* dirty logging never began */
	COURSE_PREPARATION_MAX_,
};

/**
 * struct course_stall - faults of the VM's vCPUs that had to wait for its page tables, since it was created
 * @count: how many
 * @nsec: for how long, all of them
 */
struct course_stall {
	uint64_t count;
	uint64_t nsec;
};

/**
 * struct course - of one migration; all zeroes: there is none
 * @announced: and not only noticed when dirty logging began
 * @begun_usec: CLOCK_REALTIME, here and below: when it was announced, or noticed
 * @logging_usec: when dirty logging began, 0: it has not
 * @logging_paused: it has stopped, and may have been for something else
 * @split_usec: when all was split, 0: never
 * @ended_usec: when it ended, 0: it has not
 * @ended_boottime_usec: the same, CLOCK_BOOTTIME, which nobody sets
 * @deadline_usec: 0: none
 * @blocks_left: to be split when dirty logging began
 * @blocks_before: the VM's count of blocks split when it began
 * @tlbis_before: the same of TLBIs
 * @tlbi_nsec_before: and of the time that they took
 * @stall_begun: stalls until it was announced, or noticed, by the last survey before
 * @stall_logging: the same until dirty logging began
 * @stall_ended: the same until it ended
 */
struct course {
	bool announced;
	uint64_t begun_usec;
	uint64_t logging_usec;
	bool logging_paused;
	uint64_t split_usec;
	uint64_t ended_usec;
	uint64_t ended_boottime_usec;
	uint64_t deadline_usec;
	uint64_t blocks_left;
	uint64_t blocks_before;
	uint64_t tlbis_before;
	uint64_t tlbi_nsec_before;
	struct course_stall stall_begun;
	struct course_stall stall_logging;
	struct course_stall stall_ended;
};

/**
 * struct passage - a migration that has ended, as it went
 * @vm: borrowed
 * @blocks_split: for it
 * @tlbis: the same
 * @tlbi_nsec: time that those took
 * @stall_max_nsec: the longest stall of the VM so far
 * @sharer: the user who may have ended it without anybody's word, and so gets no more than a share
 *	    of the history; -1: nobody
 */
struct passage {
	const char *vm;
	pid_t pid;
	struct course course;
	uint64_t blocks_split;
	uint64_t tlbis;
	uint64_t tlbi_nsec;
	uint64_t stall_max_nsec;
	enum course_outcome outcome;
	int64_t sharer;
};

/* How it was prepared. */
enum course_preparation course_get_preparation(const struct course *course);

/* 1: split by its deadline; 0: not; -1: there was none, or it ended before. */
int course_met_deadline(const struct course *course);

/* For how long vCPUs were stalled from when dirty logging began until the end, in nanoseconds. */
uint64_t course_get_stall(const struct course *course);

/* The names in the control interface, never NULL. */
const char *course_outcome_to_string(enum course_outcome outcome);
const char *course_preparation_to_string(enum course_preparation preparation);

/* PastMigration of org.eagersplit.Manager. NULL: no memory. */
json_object *passage_to_json(const struct passage *passage);

#endif /* EAGERSPLITD_PASSAGE_H */
