// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-list.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control/control-json.h"
#include "store/history.h"
#include "manager/manager-table.h"
#include "varlink/connection.h"
#include "varlink/frame.h"
#include "varlink/json.h"

/**
 * struct list - a reply that is under way
 * @member: what the array is called; NULL: that has been said
 * @first: nothing of it has
 * @vms: to be told of; NULL: gone
 * @history: or what of that is, by @numbers, the latest first, found so far
 * @name: of the VM that is wanted of it, NULL: all
 * @unseen: those before it have not been looked at yet
 * @limit: how many at most
 * @n: of @vms or @numbers
 * @told: of these
 */
struct list {
	LIST_ENTRY(list) list;
	struct varlink_connection *connection;
	const char *member;
	bool first;
	struct vm **vms;
	const struct history *history;
	uint64_t *numbers;
	char *name;
	uint64_t unseen;
	size_t limit;
	size_t n;
	size_t told;
};

struct lists {
	LIST_HEAD(list_list, list) lists;
};

static void list_free(struct list *l)
{
	if (l->connection)
		LIST_REMOVE(l, list);
	free(l->vms);
	free(l->numbers);
	free(l->name);
	free(l);
}

static void on_drained(struct varlink_connection *connection, void *userdata);

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	list_free(userdata);
}

static const struct varlink_stream_ops list_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

/* Looks for what is wanted of the history, from its end on; whether all is found. */
static bool list_find(struct list *l)
{
	if (!l->history)
		return true;
	for (size_t i = 0; i < CONTROL_LIST_PIECE; i++) {
		json_object *object;

		if (l->n == l->limit)
			return true;
		l->unseen = history_get_previous(l->history, l->unseen);
		if (!l->unseen)
			return true;
		object = history_get(l->history, l->unseen, l->name);
		if (object)
			l->numbers[l->n++] = l->unseen;
		json_object_put(object);
	}
	return false;
}

/* The next one; NULL, and 0: there is none any more. Or -ENOMEM. */
static json_object *list_next(struct list *l, int *ret)
{
	size_t i = l->told++;
	json_object *object;

	*ret = 0;
	if (l->history)
		return history_get(l->history, l->numbers[l->n - 1 - i], l->name);
	if (!l->vms[i])
		return NULL;
	object = control_vm_to_json(l->vms[i], false);
	*ret = object ? 0 : -ENOMEM;
	return object;
}

static int push(struct varlink_writer *piece, const char *text)
{
	return varlink_writer_push(piece, text, strlen(text));
}

/* @first: none was told before. */
static int push_object(struct varlink_writer *piece, json_object *object, bool first)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	int r = first ? 0 : push(piece, ",");

	if (r == 0)
		r = text ? push(piece, text) : -ENOMEM;
	return r;
}

/* What comes next, as text. 0 or -ENOMEM. */
static int list_make_piece(struct list *l, struct varlink_writer *piece)
{
	int r = 0;

	if (l->member) {
		r = push(piece, "{\"parameters\":{\"");
		r = r ?: push(piece, l->member);
		r = r ?: push(piece, "\":[");
		l->member = NULL;
		l->first = true;
	}
	for (size_t i = 0; i < CONTROL_LIST_PIECE && l->told < l->n && r == 0; i++) {
		_cleanup_json_ json_object *object = list_next(l, &r);

		if (!object)
			continue;
		r = push_object(piece, object, l->first);
		l->first = false;
	}
	if (r == 0 && l->told == l->n)
		/* With the NUL that ends the message. */
		r = varlink_writer_push(piece, "]}}", sizeof("]}}"));
	return r;
}

static void list_go_on(struct list *l)
{
	struct varlink_connection *connection = l->connection;
	struct varlink_writer piece = {};
	bool last;
	int r;

	if (!list_find(l)) {
		varlink_connection_again(connection);
		return;
	}
	r = list_make_piece(l, &piece);
	last = l->told == l->n;
	/* After the last one the connection knows it no more. */
	if (r == 0 && last)
		list_free(l);
	if (r < 0)
		varlink_connection_give_up(connection);
	/* All that it would have told of is gone. */
	else if (!piece.end)
		varlink_connection_again(connection);
	else if (varlink_connection_send_part(connection, piece.data, piece.end, last) == 0 &&
		 !last)
		varlink_connection_again(connection);
	varlink_writer_done(&piece);
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
	list_go_on(userdata);
}

static int list_begin(struct lists *lists, struct list *l, struct varlink_connection *connection)
{
	l->connection = connection;
	LIST_INSERT_HEAD(&lists->lists, l, list);
	varlink_connection_stream(connection, &list_ops, l);
	list_go_on(l);
	return 0;
}

int lists_add_vms(struct lists *lists, struct varlink_connection *connection,
		  struct manager *manager)
{
	struct list *l = calloc(1, sizeof(*l));
	struct vm *vm = NULL;
	size_t n = 0;

	while ((vm = manager_next_vm(manager, vm)))
		n++;
	if (l)
		l->vms = reallocarray(NULL, n + 1, sizeof(*l->vms));
	if (!l || !l->vms) {
		free(l);
		return -ENOMEM;
	}
	l->member = "vms";
	while ((vm = manager_next_vm(manager, vm)))
		l->vms[l->n++] = vm;
	return list_begin(lists, l, connection);
}

int lists_add_history(struct lists *lists, struct varlink_connection *connection,
		      const struct history *history, const char *vm, size_t limit)
{
	struct list *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->numbers = reallocarray(NULL, limit, sizeof(*l->numbers));
	l->name = vm ? strdup(vm) : NULL;
	if (!l->numbers || (vm && !l->name)) {
		list_free(l);
		return -ENOMEM;
	}
	l->member = "migrations";
	l->history = history;
	l->limit = limit;
	l->unseen = UINT64_MAX;
	return list_begin(lists, l, connection);
}

void lists_vm_removed(struct lists *lists, const struct vm *vm)
{
	struct list *l;

	LIST_FOREACH(l, &lists->lists, list)
		for (size_t i = l->told; l->vms && i < l->n; i++)
			if (l->vms[i] == vm)
				l->vms[i] = NULL;
}

int lists_new(struct lists **ret)
{
	struct lists *lists = calloc(1, sizeof(*lists));

	if (!lists)
		return -ENOMEM;
	LIST_INIT(&lists->lists);
	*ret = lists;
	return 0;
}

struct lists *lists_free(struct lists *lists)
{
	struct list *l;

	if (!lists)
		return NULL;
	while ((l = LIST_FIRST(&lists->lists)))
		list_free(l);
	free(lists);
	return NULL;
}
