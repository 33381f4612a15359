// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/heap.h"

/* Two heaps without siblings, either of which may be NULL, become one. */
static struct heap_node *meld(const struct heap *h, struct heap_node *a, struct heap_node *b)
{
	struct heap_node *swap = a;

	if (!a || !b)
		return a ? a : b;
	if (h->less(b, a)) {
		a = b;
		b = swap;
	}
	b->prev = a;
	b->next = a->child;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* Takes the first of @list off. */
static struct heap_node *take(struct heap_node **list)
{
	struct heap_node *node = *list;

	if (node) {
		*list = node->next;
		node->next = node->prev = NULL;
	}
	return node;
}

/* Siblings become one heap: in pairs from the first to the last, and those on the way back. */
static struct heap_node *meld_all(const struct heap *h, struct heap_node *list)
{
	struct heap_node *pairs = NULL, *all = NULL, *node;

	while ((node = take(&list))) {
		node = meld(h, node, take(&list));
		node->next = pairs;
		pairs = node;
	}
	while ((node = take(&pairs)))
		all = meld(h, all, node);
	return all;
}

static void cut(struct heap *h, struct heap_node *node)
{
	if (node == h->root)
		h->root = NULL;
	else if (node->prev->child == node)
		node->prev->child = node->next;
	else
		node->prev->next = node->next;
	if (node->next)
		node->next->prev = node->prev;
}

void heap_add(struct heap *h, struct heap_node *node)
{
	*node = (struct heap_node){ .linked = true };
	h->root = meld(h, h->root, node);
	h->n++;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	if (!node->linked)
		return;
	cut(h, node);
	h->root = meld(h, h->root, meld_all(h, node->child));
	h->n--;
	*node = (struct heap_node){};
}
