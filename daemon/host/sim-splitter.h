/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A splitter of the simulated host: a FIFO of its own, in a folder beside the VM's image that has
 * those of VMs of that process and number. It does what one of the kernel does: it can be kept by others, polls, and owns its
 * hold, which is a lock on the open file and ends with the last duplicate of that,
 * however the process that had it ends.
 */
#ifndef EAGERSPLITD_SIM_SPLITTER_H
#define EAGERSPLITD_SIM_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Which VM a splitter is of: in its name, splitter-PID.NUMBER/splitter-PID.NUMBER-ID-PART. */
struct sim_splitter_name {
	pid_t pid;
	int number;
	uint64_t id;
};

/* Makes one in the folder @dir. The descriptor, or a negative errno. */
int sim_splitter_make(int dir, const struct sim_splitter_name *name);

/* Whether @fd is called as one is. Asks nothing of the file behind it. */
bool sim_splitter_looks_like_one(int fd);

/* Whose @fd is. -ENOTTY: it is none of the folder @dir. */
int sim_splitter_parse(int dir, int fd, struct sim_splitter_name *ret);

/* Closes @fd; where there is no other duplicate of it, nothing is left in the folder. */
void sim_splitter_close(int dir, int fd);

/* Holds the VM by @fd, or not. */
int sim_splitter_set_hold(int fd, bool hold);

/* How many splitters hold the VM, or a negative errno; in @ret_own whether @fd is one of them. */
int sim_splitter_count_holders(int dir, int fd, const struct sim_splitter_name *name,
			       bool *ret_own);

/*
 * Has all splitters of the VMs that have had that number become readable: one is gone.
 * Whoever switches dirty logging does the same. 0, or a negative errno: not all of them, maybe.
 */
int sim_splitter_tell_all(int dir, pid_t pid, int number);

/* Removes what nobody has open any more, if @name is that of a folder of splitters. */
void sim_splitter_clean(int dir, const char *name);

/* Reads what made @fd readable. */
void sim_splitter_drain(int fd);

#endif /* EAGERSPLITD_SIM_SPLITTER_H */
