// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What runs in the lab VMM's guests, on bare metal at EL1: each vCPU waits at
 * the doorbell for a command, works through its range of pages, and comes back.
 */
#include "../workload.h"
#include "guest-abi.h"

void guest_main(struct guest_block *block) __attribute__((noreturn));
void guest_exception(uint64_t esr, uint64_t elr, uint64_t far) __attribute__((noreturn));

static volatile uint32_t *const generations = (volatile uint32_t *)GUEST_GENERATIONS;

/* Exits to the VMM; comes back with the next command in the block. */
static void ring(uint64_t where, uint64_t value)
{
	asm volatile("dsb sy\n\tstr %0, [%1]\n\tdsb sy" : : "r"(value), "r"(where) : "memory");
}

void guest_exception(uint64_t esr, uint64_t elr, uint64_t far)
{
	for (;;) {
		ring(GUEST_EXCEPTION, esr);
		ring(GUEST_EXCEPTION, elr);
		ring(GUEST_EXCEPTION, far);
	}
}

static void execute(volatile uint64_t *words)
{
	uint64_t code = (uint64_t)&words[WORKLOAD_RET_WORD];

	asm volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0\n\tdsb ish\n\tisb\n\tblr %0"
		     :
		     : "r"(code)
		     : "x30", "memory");
}

static void check(struct guest_block *block, volatile uint64_t *words, uint64_t page, uint32_t word)
{
	if (workload_check(words, page, generations[page], word))
		return;
	block->bad_page = page;
	block->errors++;
}

/* One page of a pass. The order is fixed, so that the faults that it takes are. */
static void visit(struct guest_block *block, uint64_t index, uint32_t word)
{
	volatile uint64_t *words = (volatile uint64_t *)(block->gpa + index * WORKLOAD_PAGE_SIZE);
	uint64_t page = block->first_page + index;

	if (block->exec_every && index % block->exec_every == 0)
		execute(words);
	if (block->write_every && index % block->write_every == 0) {
		workload_write(words, page, generations[page] + 1);
		generations[page]++;
	}
	check(block, words, page, word);
	*(volatile uint64_t *)&block->done += 1;
	/* For an emulator whose CPUs take turns; nothing otherwise. */
	asm volatile("yield");
}

static void pass(struct guest_block *block, uint32_t round)
{
	uint64_t index;

	for (index = 0; index < block->pages; index += block->step) {
		if (*(volatile uint32_t *)&block->stop)
			break;
		visit(block, index, (index + round) % WORKLOAD_WORDS);
	}
}

static void run(struct guest_block *block)
{
	uint32_t round = 0;

	while (!*(volatile uint32_t *)&block->stop)
		pass(block, round++);
}

/* Has the window show another page, by the book: no vCPU may see the one before any more. */
static void move_window(uint64_t page_address, uint64_t round)
{
	volatile uint64_t *entry = (volatile uint64_t *)(GUEST_WINDOW_TABLES + WORKLOAD_PAGE_SIZE);

	*entry = 0;
	asm volatile("dsb ishst" : : : "memory");
	if (round % 2)
		asm volatile("tlbi vmalle1is" : : : "memory");
	else
		asm volatile("tlbi vaae1is, %0" : : "r"(GUEST_WINDOW >> 12) : "memory");
	asm volatile("dsb ish" : : : "memory");
	*entry = page_address | GUEST_DESC_PAGE | GUEST_DESC_MEMORY;
	asm volatile("dsb ishst\n\tisb" : : : "memory");
}

/*
 * Two vCPUs take turns: each looks if the window shows what the other has mapped there and
 * written through it, maps another page of the memory that both share, and writes to it.
 */
static void remap(struct guest_block *block)
{
	struct guest_block *first = (struct guest_block *)GUEST_BLOCKS;
	volatile uint64_t *window = (volatile uint64_t *)GUEST_WINDOW;
	uint64_t pages = first[0].pages + first[1].pages, page = 0, round;

	while (!*(volatile uint32_t *)&block->stop) {
		round = __atomic_load_n(&first->round, __ATOMIC_ACQUIRE);
		if (&first[round % 2] != block) {
			asm volatile("yield");
			continue;
		}
		page = first->first_page + (round - 1) * 977 % pages;
		if (round)
			check(block, window, page, round % WORKLOAD_WORDS);
		page = first->first_page + round * 977 % pages;
		move_window(first->gpa + round * 977 % pages * WORKLOAD_PAGE_SIZE, round);
		check(block, window, page, round % WORKLOAD_WORDS);
		workload_write(window, page, generations[page] + 1);
		generations[page]++;
		*(volatile uint64_t *)&block->done += 1;
		__atomic_store_n(&first->round, round + 1, __ATOMIC_RELEASE);
	}
}

static void populate(struct guest_block *block)
{
	uint64_t index;

	for (index = 0; index < block->pages; index += block->step) {
		generations[block->first_page + index] = 0;
		workload_populate((void *)(block->gpa + index * WORKLOAD_PAGE_SIZE),
				  block->first_page + index);
		block->done++;
	}
}

static void checksum(struct guest_block *block)
{
	uint64_t index;

	for (index = 0; index < block->pages; index += block->step) {
		block->checksum +=
			workload_checksum((void *)(block->gpa + index * WORKLOAD_PAGE_SIZE));
		block->done++;
	}
}

void guest_main(struct guest_block *block)
{
	for (;;) {
		ring(GUEST_DOORBELL, 0);
		switch (block->command) {
		case GUEST_POPULATE:
			populate(block);
			break;
		case GUEST_PASS:
			pass(block, 0);
			break;
		case GUEST_RUN:
			run(block);
			break;
		case GUEST_CHECKSUM:
			checksum(block);
			break;
		case GUEST_REMAP:
			remap(block);
			break;
		}
	}
}
