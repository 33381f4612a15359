// SPDX-License-Identifier: GPL-2.0-or-later
#include "meter.h"

#include <math.h>

#include "fuzz.h"

/* Of a TLBI, and of a nanosecond, for what is rounded. */
#define EPSILON_TLBIS 1e-6
#define EPSILON_NSEC  2

static void meter_advance(struct meter *m, uint64_t now)
{
	double elapsed = (double)(now - m->at);

	m->at = now;
	if (m->limits.rate)
		m->tokens =
			fmin((double)m->limits.burst,
			     m->tokens + elapsed * (double)m->limits.rate / (double)NSEC_PER_SEC);
	if (m->tokens >= 0 && !m->excused && !m->overspent)
		m->floor = 0;
	m->debt = fmax(0, m->debt - elapsed * (double)m->limits.load / BUDGET_LOAD_MAX);
}

void meter_set(struct meter *m, const struct budget_limits *limits, uint64_t now, uint64_t granted)
{
	meter_advance(m, now);
	/* Without a limit nothing is saved up; nor is what was granted then taken from what is. */
	if (!m->limits.rate || !limits->rate)
		m->tokens = limits->rate ? (double)granted : 0;
	m->tokens = fmin(m->tokens, (double)limits->burst);
	m->floor = fmin(m->floor, fmin(m->tokens, 0)) - (double)granted;
	if (m->limits.load != limits->load)
		m->debt = 0;
	m->excused = m->excused || granted;
	m->limits = *limits;
}

void meter_begin(struct meter *m, const struct budget_limits *limits, uint64_t now)
{
	meter_set(m, limits, now, 0);
	m->tokens = m->floor = 0;
}

void meter_rest(struct meter *m)
{
	m->excused = m->overspent = false;
}

void meter_spend(struct meter *m, uint64_t now, uint64_t tlbis, uint64_t tlbi_nsec, uint64_t excess)
{
	meter_advance(m, now);
	if (m->limits.rate) {
		m->tokens -= (double)tlbis;
		m->floor -= (double)excess;
		m->overspent = m->overspent || excess;
		check(m->tokens >= m->floor - EPSILON_TLBIS);
	}
	if (!m->limits.load || !tlbis)
		return;
	/* All but what one call takes has been earned. */
	check(m->excused || m->debt <= EPSILON_NSEC);
	m->debt += (double)tlbi_nsec;
}
