/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lab's VMM and the code in its guest agree on: where things lie in
 * the guest physical address space (which the guest maps one to one), and the
 * control block through which a vCPU gets its command and gives its result.
 */
#ifndef LAB_GUEST_ABI_H
#define LAB_GUEST_ABI_H

#include <stdint.h>

#define GUEST_MAX_VCPUS 8

/* No memslot there: a store exits to the VMM. */
#define GUEST_DOORBELL	0x09000000ull
#define GUEST_EXCEPTION 0x09000008ull

/* The control memslot: code, translation table, control blocks, stacks, generations. */
#define GUEST_CONTROL	    0x40000000ull
#define GUEST_CONTROL_BYTES 0x400000ull
/* In the code: where the exception vectors are (guest-start.S, guest.ld). */
#define GUEST_VECTORS_OFFSET 0x800ull
#define GUEST_TABLE	     (GUEST_CONTROL + 0x10000)
#define GUEST_BLOCKS	     (GUEST_CONTROL + 0x20000)
#define GUEST_STACKS	     (GUEST_CONTROL + 0x40000)
/* A level 2 table and a level 3 table, whose first entry maps the window. */
#define GUEST_WINDOW_TABLES (GUEST_CONTROL + 0x60000)
#define GUEST_STACK_BYTES   0x4000ull
/* The last GiB of what is mapped one to one, but for which there is that table. */
#define GUEST_WINDOW	  (511ull << 30)
#define GUEST_GENERATIONS (GUEST_CONTROL + 0x200000)
#define GUEST_MAX_PAGES	  (0x200000u / sizeof(uint32_t))

enum guest_command {
	GUEST_POPULATE = 1,
	GUEST_PASS,
	GUEST_RUN,
	GUEST_CHECKSUM,
	GUEST_REMAP,
};

/* Stage 1 descriptors: to a table, to a page or a block of memory */
#define GUEST_DESC_TABLE 0x3ull
#define GUEST_DESC_BLOCK 0x1ull
#define GUEST_DESC_PAGE	 0x3ull
#define GUEST_DESC_MEMORY \
	(1ull << 10 | 3ull << 8 | 1ull << 2) /* accessed, inner shareable, write-back */

/*
 * @command, @gpa, @pages, @first_page: what to do, on which range; @first_page
 *	is the number, in the VMM's count over all memslots, of the page at @gpa
 * @step: only one in so many pages is looked at, at least 1
 * @write_every, @exec_every: of these many pages one is written, or executed;
 *	0: none; all others are read
 * @stop: ends GUEST_RUN after the page in hand, GUEST_REMAP after the round
 * @round: of GUEST_REMAP, in the first vCPU's block
 * @checksum, @errors, @bad_page: results; @bad_page is the last wrong one's number
 * @done: pages dealt with, counted up while running
 */
struct guest_block {
	uint32_t command;
	uint32_t stop;
	uint64_t round;
	uint64_t gpa;
	uint64_t pages;
	uint64_t first_page;
	uint64_t step;
	uint64_t write_every;
	uint64_t exec_every;
	uint64_t checksum;
	uint64_t errors;
	uint64_t bad_page;
	uint64_t done;
	uint64_t exception[3];
} __attribute__((aligned(4096)));

#endif
