// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/dirty-log.h"

#include "base/util.h"
#include "host/survey.h"

/* Bytes of memslots that are alike: of all, and of the largest. */
struct extent {
	uint64_t bytes;
	uint64_t largest;
};

static void extent_add(struct extent *extent, uint64_t bytes)
{
	extent->bytes += bytes;
	extent->largest = max_u64(extent->largest, bytes);
}

enum dirty_log dirty_log_get(const struct survey *survey)
{
	struct extent logged = {}, other = {};
	bool any = false;

	for (size_t i = 0; i < survey->n_slots; i++) {
		const struct memslot *slot = &survey->slots[i];

		any |= slot->dirty_logging;
		/* Firmware: logged on migration as well, and nothing to go by. */
		if (!slot->read_only)
			extent_add(slot->dirty_logging ? &logged : &other, slot->bytes);
	}
	if (logged.bytes > other.bytes || logged.largest > other.largest)
		return DIRTY_LOG_MEMORY;
	return any ? DIRTY_LOG_PART : DIRTY_LOG_NONE;
}
