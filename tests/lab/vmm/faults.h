/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage-2 faults of a thread's vCPU, counted by the kernel at its
 * kvm:kvm_guest_fault tracepoint: exact, nothing is buffered, nothing dropped.
 */
#ifndef LAB_FAULTS_H
#define LAB_FAULTS_H

#include <stdint.h>

enum fault_kind {
	FAULT_TRANSLATION,
	FAULT_PERMISSION,
	FAULT_ACCESS_FLAG,
	FAULT_WRITE, /* of any of the above */
	FAULT_KINDS,
};

struct faults {
	int fds[FAULT_KINDS];
};

/* None are counted: what faults_add() is not for, and faults_close() may be. */
void faults_init(struct faults *faults);

/*
 * Counts the calling thread's faults on addresses from @gpa up.
 * Returns 0, or a negative errno: -ENOENT where tracefs or the event is missing.
 */
int faults_open(struct faults *faults, uint64_t gpa);
void faults_close(struct faults *faults);

/* Adds the faults since faults_open() to @counts. Returns 0 or a negative errno. */
int faults_add(const struct faults *faults, uint64_t counts[FAULT_KINDS]);

#endif
