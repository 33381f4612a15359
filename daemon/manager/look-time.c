// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/look-time.h"

static uint64_t get_taken(const struct look_time *t, size_t i, uint64_t now)
{
	uint64_t halvings = (now - t->users[i].as_of) / LOOK_TIME_HALF_USEC;

	return halvings < 64 ? t->users[i].taken_usec >> halvings : 0;
}

/* Where @uid is; @n_users: nowhere. */
static size_t find(const struct look_time *t, int64_t uid)
{
	size_t i = 0;

	while (i < t->n_users && t->users[i].uid != uid)
		i++;
	return i;
}

/* A place for another user. */
static size_t find_place(struct look_time *t, uint64_t now)
{
	size_t least = 0;

	if (t->n_users < LOOK_TIME_USERS)
		return t->n_users++;
	for (size_t i = 1; i < t->n_users; i++)
		if (get_taken(t, i, now) < get_taken(t, least, now))
			least = i;
	return least;
}

void look_time_add(struct look_time *t, int64_t uid, uint64_t usec, uint64_t now)
{
	size_t i = find(t, uid);
	uint64_t before;

	if (i < t->n_users) {
		before = get_taken(t, i, now);
	} else {
		before = 0;
		i = find_place(t, now);
		t->users[i].uid = uid;
	}
	t->users[i].taken_usec = before + usec;
	/* In whole halvings, or many short looks would have it never be halved. */
	t->users[i].as_of = before ? now - (now - t->users[i].as_of) % LOOK_TIME_HALF_USEC : now;
}

uint64_t look_time_get(const struct look_time *t, int64_t uid, uint64_t now)
{
	size_t i = find(t, uid);

	return i < t->n_users ? get_taken(t, i, now) : 0;
}
