/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds what has a key, among some thousands: nodes that are part of what they stand for, in a
 * number of chains that never changes, so it needs no memory. Whether one that is found is the one
 * that is meant is for its user to look at, as other keys may hash to the same.
 */
#ifndef EAGERSPLITD_HASH_H
#define EAGERSPLITD_HASH_H

#include <stdbool.h>
#include <stdint.h>

#define HASH_CHAINS 1024

/* All zeroes: in no hash. */
struct hash_node {
	struct hash_node *next;
	struct hash_node **link; /* what points to it; NULL: nothing */
	uint64_t hash;
};

/* All zeroes: nothing in it. */
struct hash {
	struct hash_node *chains[HASH_CHAINS];
};

/* Hashes of keys, which are well spread. */
uint64_t hash_of_number(uint64_t key);
uint64_t hash_of_string(const char *key);

/* Adds @node, which is in none. The last to be added is the first to be found. */
void hash_add(struct hash *h, struct hash_node *node, uint64_t hash);

/* Removes @node, if it is in one. */
void hash_remove(struct hash_node *node);

/* The first node with that hash, and the next after @node; NULL: none. */
struct hash_node *hash_first(const struct hash *h, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *node);

#endif /* EAGERSPLITD_HASH_H */
