// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/agenda.h"

#include "base/util.h"

static struct agenda_entry *to_entry(const struct heap_node *node)
{
	return container_of(node, struct agenda_entry, node);
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
	return to_entry(a)->at < to_entry(b)->at;
}

void agenda_init(struct agenda *a)
{
	*a = (struct agenda){ .heap.less = is_before };
}

void agenda_set(struct agenda *a, struct agenda_entry *entry, uint64_t at)
{
	heap_remove(&a->heap, &entry->node);
	entry->at = at;
	if (at)
		heap_add(&a->heap, &entry->node);
}

uint64_t agenda_get_next(const struct agenda *a)
{
	const struct heap_node *first = heap_first(&a->heap);

	return first ? to_entry(first)->at : UINT64_MAX;
}

struct agenda_entry *agenda_get_due(const struct agenda *a, uint64_t now)
{
	const struct heap_node *first = heap_first(&a->heap);

	return first && to_entry(first)->at <= now ? to_entry(first) : NULL;
}
