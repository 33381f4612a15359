/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of many is the first, a pairing heap of nodes that are part of what they stand for: needs no
 * memory, adds in constant time, and removes in that of a logarithm, on average.
 */
#ifndef EAGERSPLITD_HEAP_H
#define EAGERSPLITD_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* All zeroes: in no heap. */
struct heap_node {
	struct heap_node *child;
	struct heap_node *next;
	struct heap_node *prev; /* or the parent, of a first child */
	bool linked;
};

/**
 * struct heap - with @less set and the rest zero, an empty one
 * @less: whether @a comes before @b; that stays as long as both are in it
 */
struct heap {
	bool (*less)(const struct heap_node *a, const struct heap_node *b);
	struct heap_node *root;
	size_t n;
};

/* The first one, NULL: it is empty. */
static inline struct heap_node *heap_first(const struct heap *h)
{
	return h->root;
}

/* Adds @node, which is in none. */
void heap_add(struct heap *h, struct heap_node *node);

/* Removes @node, if it is in one; that is then @h. */
void heap_remove(struct heap *h, struct heap_node *node);

#endif /* EAGERSPLITD_HEAP_H */
