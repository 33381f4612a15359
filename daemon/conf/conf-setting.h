/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings that there are: their names, defaults and what they may be set to. */
#ifndef EAGERSPLITD_CONF_SETTING_H
#define EAGERSPLITD_CONF_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

enum setting_type {
	SETTING_NUMBER,
	SETTING_SIZE, /* bytes, see parse_size() */
	SETTING_RATE, /* a second, see parse_rate() */
	SETTING_PERCENT, /* see parse_percent() */
	SETTING_TIME, /* see parse_duration() */
	SETTING_CHOICE, /* one of some words */
	SETTING_GROUP, /* a group's id, see parse_group(); empty: CONFIG_GROUP_NONE */
	SETTING_USERS, /* a struct config_users, see parse_users() */
};

/* What a SETTING_CHOICE may be: text, and what it is stored as. */
struct choice {
	const char *text;
	uint64_t value;
};

/**
 * struct setting - one that there is
 * @initial: its default, as text
 * @offset: of its field in struct config
 * @bytes: size of that field
 * @min: the lowest value; not of a choice or a group
 * @max: the highest
 * @zero: a word that is stored as 0, whatever @min; NULL: none
 * @unit_usec: of a SETTING_TIME: what the field, and text without a unit, counts
 * @choices: of a SETTING_CHOICE, ended by one without text
 */
struct setting {
	const char *section;
	const char *name;
	const char *initial;
	enum setting_type type;
	size_t offset;
	size_t bytes;
	uint64_t min;
	uint64_t max;
	const char *zero;
	uint64_t unit_usec;
	const struct choice *choices;
};

/* The @i-th setting, in the order of the sections; NULL: there are no more. */
const struct setting *setting_get(size_t i);

/* The setting of that name, which in another section would be another; or NULL. */
const struct setting *setting_find(const char *section, const char *name);

/* The section that has a setting of that name, or NULL. */
const char *setting_find_section(const char *name);

/* Whether any setting stands in that section. */
bool setting_section_exists(const char *section);

/*
 * Stores what @text says in @config. -EINVAL, -ERANGE, -ESRCH: not possible;
 * @ret_reason says why, and the caller frees it (NULL: out of memory).
 */
int setting_set(const struct setting *setting, struct config *config, const char *text,
		char **ret_reason);

/* Sets every setting to its default. */
void setting_set_defaults(struct config *config);

/* The value of that word, or -EINVAL. */
int choice_find(const struct choice *choices, const char *text, uint64_t *ret);

#endif /* EAGERSPLITD_CONF_SETTING_H */
