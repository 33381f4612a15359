/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory whose right content is known at any time, for guests that check
 * themselves. It is included by code that runs on bare metal, as a Linux
 * process and in the VMM.
 *
 * A page is 512 words. Word 0 holds the page's generation, the number of times
 * it was written since it was populated; generation g also rewrites word
 * 1 + g % 510. So the content of a page follows from its number and its
 * generation. The last word holds two RET instructions: each page can be
 * executed.
 */
#ifndef LAB_WORKLOAD_H
#define LAB_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define WORKLOAD_PAGE_SIZE 4096u
#define WORKLOAD_WORDS	   512u
#define WORKLOAD_ROTATING  (WORKLOAD_WORDS - 2)
#define WORKLOAD_RET_WORD  (WORKLOAD_WORDS - 1)
#define WORKLOAD_RET	   0xd65f03c0d65f03c0ull

static inline uint64_t workload_value(uint64_t page, uint32_t word, uint32_t generation)
{
	uint64_t x = (page * WORKLOAD_WORDS + word) * 0x9e3779b97f4a7c15ull;

	x ^= (uint64_t)generation * 0xc2b2ae3d27d4eb4full;
	return x ^ x >> 29;
}

/* The generation that wrote @word last, in a page of generation @generation. */
static inline uint32_t workload_written_by(uint32_t word, uint32_t generation)
{
	uint32_t back = (generation + WORKLOAD_ROTATING - (word - 1)) % WORKLOAD_ROTATING;

	return generation > back ? generation - back : 0;
}

static inline uint64_t workload_expected(uint64_t page, uint32_t word, uint32_t generation)
{
	if (word == 0)
		return generation;
	if (word == WORKLOAD_RET_WORD)
		return WORKLOAD_RET;
	return workload_value(page, word, workload_written_by(word, generation));
}

static inline void workload_populate(volatile uint64_t *words, uint64_t page)
{
	uint32_t word;

	words[0] = 0;
	for (word = 1; word < WORKLOAD_RET_WORD; word++)
		words[word] = workload_value(page, word, 0);
	words[WORKLOAD_RET_WORD] = WORKLOAD_RET;
}

/* Two words change, so that a lost or a torn page shows. */
static inline void workload_write(volatile uint64_t *words, uint64_t page, uint32_t generation)
{
	uint32_t word = 1 + generation % WORKLOAD_ROTATING;

	words[word] = workload_value(page, word, generation);
	words[0] = generation;
}

/* Looks at the generation, the word that it wrote, and one more word. */
static inline bool workload_check(const volatile uint64_t *words, uint64_t page,
				  uint32_t generation, uint32_t word)
{
	uint32_t last = 1 + generation % WORKLOAD_ROTATING;

	return words[0] == generation && words[last] == workload_expected(page, last, generation) &&
	       words[word] == workload_expected(page, word, generation);
}

static inline uint64_t workload_mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ull;
}

/* Of one page; those of several are added. */
static inline uint64_t workload_checksum(const volatile uint64_t *words)
{
	uint64_t sum = 0xcbf29ce484222325ull;
	uint32_t word;

	for (word = 0; word < WORKLOAD_WORDS; word++)
		sum = workload_mix(sum, words[word]);
	return sum;
}

/* What workload_checksum() must be. */
static inline uint64_t workload_expected_checksum(uint64_t page, uint32_t generation)
{
	uint64_t sum = 0xcbf29ce484222325ull;
	uint32_t word;

	for (word = 0; word < WORKLOAD_WORDS; word++)
		sum = workload_mix(sum, workload_expected(page, word, generation));
	return sum;
}

#endif
