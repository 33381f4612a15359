// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/survey.h"

#include <stdlib.h>

void survey_done(struct survey *survey)
{
	free(survey->slots);
	*survey = (struct survey){};
}

static bool memslot_is_same(const struct memslot *a, const struct memslot *b)
{
	return a->slot == b->slot && a->gpa == b->gpa && a->bytes == b->bytes &&
	       a->blocks == b->blocks && a->block_bytes == b->block_bytes &&
	       a->read_only == b->read_only && a->dirty_logging == b->dirty_logging;
}

bool survey_is_same(const struct survey *a, const struct survey *b)
{
	if (a->held != b->held || a->n_slots != b->n_slots)
		return false;
	for (size_t i = 0; i < a->n_slots; i++)
		if (!memslot_is_same(&a->slots[i], &b->slots[i]))
			return false;
	return true;
}

uint64_t survey_count_blocks(const struct survey *survey)
{
	uint64_t n = 0;

	for (size_t i = 0; i < survey->n_slots; i++)
		n += survey->slots[i].blocks;
	return n;
}
