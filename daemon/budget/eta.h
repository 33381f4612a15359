/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a VM will be split, and whether that is too late. Pure: what time it is, is said by the caller. */
#ifndef EAGERSPLITD_ETA_H
#define EAGERSPLITD_ETA_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct eta_demand - what it depends on; speeds are TLBIs a second, INFINITY: any
 * @tlbis: that it will take to split what is left
 * @share: what it gets of the budget as that is divided now
 * @speed: what calls get done
 * @rate: what it and those before it get together, by deadlines; INFINITY: it has none
 * @limit: the most it can use of that
 * @ahead: TLBIs of those before it
 */
struct eta_demand {
	uint64_t tlbis;
	double share;
	double speed;
	double rate;
	double limit;
	uint64_t ahead;
};

/* In how many microseconds it will be done. False: that cannot be told. */
bool eta_estimate(const struct eta_demand *demand, uint64_t *ret_usec);

/*
 * Whether what is to be done by @deadline_usec (UINT64_MAX: at any time), and takes @eta_usec
 * from @now_usec on, will be late; all of one clock. 0 for what cannot be told: then it is
 * when the deadline has passed.
 */
bool eta_is_late(uint64_t eta_usec, uint64_t deadline_usec, uint64_t now_usec);

#endif /* EAGERSPLITD_ETA_H */
