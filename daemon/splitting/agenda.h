/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be done at which time, of which there is one timer: the first. Pure. */
#ifndef EAGERSPLITD_AGENDA_H
#define EAGERSPLITD_AGENDA_H

#include <stdint.h>

#include "base/heap.h"

struct agenda {
	struct heap heap;
};

/* Part of what is to be done; all zeroes: not on the agenda. */
struct agenda_entry {
	struct heap_node node;
	uint64_t at;
};

/* Begins with nothing on it. */
void agenda_init(struct agenda *a);

/* Has @entry due at that time, whenever it was before; 0: not at all. */
void agenda_set(struct agenda *a, struct agenda_entry *entry, uint64_t at);

/* When the first is due; UINT64_MAX: there is none. */
uint64_t agenda_get_next(const struct agenda *a);

/* The first, if it is due at @now; it stays where it is. NULL: it is not. */
struct agenda_entry *agenda_get_due(const struct agenda *a, uint64_t now);

#endif /* EAGERSPLITD_AGENDA_H */
