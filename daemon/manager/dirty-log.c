// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/dirty-log.h"

#include "host/survey.h"

enum dirty_log dirty_log_get(const struct survey *survey)
{
	const struct memslot_extent *logged = &survey->sums.logged, *other = &survey->sums.other;

	if (logged->bytes > other->bytes || logged->largest > other->largest)
		return DIRTY_LOG_MEMORY;
	return survey->sums.any_logged ? DIRTY_LOG_PART : DIRTY_LOG_NONE;
}
