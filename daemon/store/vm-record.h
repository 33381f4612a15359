/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be known of a VM by the next daemon, as a JSON object. Pure. */
#ifndef EAGERSPLITD_VM_RECORD_H
#define EAGERSPLITD_VM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/vm.h"
#include "vm/vm-state.h"

/* A record is no longer than this, as text. */
#define VM_RECORD_MAX 4096

/**
 * struct vm_record - a VM
 * @vm_id: the host's
 * @name: what it is called, or would be but for others; empty: nothing
 * @told: by who may change something
 * @stage: what was reached
 *
 * The rest is as in struct vm.
 */
struct vm_record {
	pid_t pid;
	uint64_t start_time;
	int number;
	uint64_t uid; /* UINT64_MAX: not known */
	uint64_t vm_id;
	char name[VM_NAME_MAX + 1];
	bool told;
	char uuid[UUID_SIZE];
	bool registered;
	bool unwanted;
	enum vm_state state;
	enum vm_stage stage;
	bool dirty_logging;
	uint64_t told_usec;
	uint64_t deadline_usec;
	uint64_t tlbi_rate;
	uint64_t blocks_split;
	uint64_t tlbis;
	uint64_t tlbi_nsec;
	struct course course;
};

/* What is to be known of @vm. */
void vm_record_from_vm(struct vm_record *record, const struct vm *vm);

/* Writes @record to @text, VM_RECORD_MAX bytes, as a string. Its length, or -ENOMEM. */
int vm_record_format(const struct vm_record *record, char *text);

/*
 * Reads a record of @size bytes. Keys that are not known, as of a later
 * version, are passed over. 0, -EBADMSG: it is none, or it makes no sense, or
 * -ENOMEM.
 */
int vm_record_parse(const char *text, size_t size, struct vm_record *ret);

#endif /* EAGERSPLITD_VM_RECORD_H */
