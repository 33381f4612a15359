/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors that say nothing of what was to be done: there is too little of something just then, or
 * whoever was asked took too long.
 */
#ifndef EAGERSPLITD_TRANSIENT_H
#define EAGERSPLITD_TRANSIENT_H

#include <errno.h>
#include <stdbool.h>

/* Whether what gave the negative errno @r is worth being tried again later, for as long as it takes. */
static inline bool error_is_transient(int r)
{
	switch (r) {
	case -EAGAIN:
	case -EBUSY:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ENOSPC:
	case -EROFS:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

#endif /* EAGERSPLITD_TRANSIENT_H */
