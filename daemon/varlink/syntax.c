// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/syntax.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

/* What is being read: each function takes what it knows from the front of it. */
struct text {
	const char *next, *end;
};

static bool at(const struct text *t, char c)
{
	return t->next < t->end && *t->next == c;
}

static bool take(struct text *t, char c)
{
	if (!at(t, c))
		return false;
	t->next++;
	return true;
}

static bool take_one_of(struct text *t, const char *set)
{
	if (t->next == t->end || !*t->next || !strchr(set, *t->next))
		return false;
	t->next++;
	return true;
}

static bool take_word(struct text *t, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(t->end - t->next) < n || memcmp(t->next, word, n) != 0)
		return false;
	t->next += n;
	return true;
}

static void skip_space(struct text *t)
{
	while (take_one_of(t, " \t\n\r"))
		;
}

static bool take_digits(struct text *t)
{
	const char *start = t->next;

	while (take_one_of(t, "0123456789"))
		;
	return t->next > start;
}

static bool take_number(struct text *t)
{
	take(t, '-');
	if (!take(t, '0') && !take_digits(t))
		return false;
	if (take(t, '.') && !take_digits(t))
		return false;
	if (!take_one_of(t, "eE"))
		return true;
	take_one_of(t, "+-");
	return take_digits(t);
}

/* What follows a backslash. */
static bool take_escape(struct text *t)
{
	if (!take(t, 'u'))
		return take_one_of(t, "\"\\/bfnrt");
	for (int i = 0; i < 4; i++) {
		if (!take_one_of(t, "0123456789abcdefABCDEF"))
			return false;
	}
	return true;
}

/* A character of a string, but for those that have to be escaped. */
static bool take_character(struct text *t)
{
	uint32_t c;
	size_t n = utf8_decode(t->next, (size_t)(t->end - t->next), &c);

	t->next += n;
	return n > 0 && c >= ' ';
}

static const char *string_error(struct text *t)
{
	if (!take(t, '"'))
		return "string expected";
	while (!take(t, '"')) {
		if (t->next == t->end)
			return "string not ended";
		if (take(t, '\\')) {
			if (!take_escape(t))
				return "bad escape in a string";
		} else if (!take_character(t)) {
			return "not UTF-8, or a control character";
		}
	}
	return NULL;
}

static const char *scalar_error(struct text *t)
{
	if (at(t, '"'))
		return string_error(t);
	if (take_word(t, "true") || take_word(t, "false") || take_word(t, "null"))
		return NULL;
	return take_number(t) ? NULL : "value expected";
}

/* The name of a member, up to its value. */
static const char *name_error(struct text *t)
{
	const char *error;

	skip_space(t);
	error = string_error(t);
	if (error)
		return error;
	skip_space(t);
	return take(t, ':') ? NULL : "colon expected";
}

/* The objects and arrays that a place in the text is in, by what ends each. */
struct nesting {
	char ends[VARLINK_SYNTAX_DEPTH_MAX];
	unsigned depth, max;
};

/* Goes on to where a value is expected, or, after the last one, to the end of it all. */
static const char *next_error(struct text *t, struct nesting *n)
{
	for (skip_space(t); n->depth > 0; skip_space(t)) {
		if (take(t, ','))
			return n->ends[n->depth - 1] == '}' ? name_error(t) : NULL;
		if (!take(t, n->ends[n->depth - 1]))
			return "comma or end expected";
		n->depth--;
	}
	return t->next == t->end ? NULL : "more than one value";
}

/* Reads a value, or enters the first one in it. */
static const char *value_error(struct text *t, struct nesting *n)
{
	const char *error;
	char end = 0;

	skip_space(t);
	if (take(t, '{'))
		end = '}';
	else if (take(t, '['))
		end = ']';
	if (!end) {
		error = scalar_error(t);
		return error ? error : next_error(t, n);
	}
	if (n->depth == n->max)
		return "nested too deep";
	skip_space(t);
	if (take(t, end))
		return next_error(t, n);
	n->ends[n->depth++] = end;
	return end == '}' ? name_error(t) : NULL;
}

const char *varlink_syntax_error(const char *text, size_t length, unsigned depth_max)
{
	struct text t = { text, text + length };
	struct nesting n = { .max = (unsigned)min_u64(depth_max, VARLINK_SYNTAX_DEPTH_MAX) };
	const char *error;

	do
		error = value_error(&t, &n);
	while (!error && (n.depth > 0 || t.next < t.end));
	return error;
}
