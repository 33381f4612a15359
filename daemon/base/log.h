/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages for the operator: to the journal, with fields, where standard
 * error leads there, else to standard error as text.
 */
#ifndef EAGERSPLITD_LOG_H
#define EAGERSPLITD_LOG_H

#include <sys/socket.h>
#include <syslog.h>

#include "base/message-id.h"
#include "base/util.h"

struct outbox;

/*
 * Has all messages go by way of @outbox from now on, whose thread waits for the journal; NULL:
 * whoever says something waits himself. Messages have no context to find it in, so this is for the
 * whole process: to be called before and after all that may say something. Borrowed.
 */
void log_set_outbox(struct outbox *outbox);

/* For outbox_new(): says how many messages were dropped. */
void log_gap(uint64_t dropped);

/* The fields of an entry in the journal. */
struct log_fields;

/* Adds one, "NAME=value"; it is left out where there is no memory for it, or no room. */
void log_fields_add(struct log_fields *fields, const char *format, ...) _printf_(2, 3);

/**
 * struct log_about - what a message is about
 * @priority: LOG_ERR...
 * @id: MESSAGE_*, NULL: none of those
 * @peer: the client, NULL: none
 * @subject: what the text begins with, NULL: nothing
 * @add_fields: adds what else the journal is told, NULL: nothing
 * @userdata: of @add_fields
 */
struct log_about {
	int priority;
	const char *id;
	const struct ucred *peer;
	const char *subject;
	void (*add_fields)(struct log_fields *fields, const void *userdata);
	const void *userdata;
};

/* Says it. */
void log_about(const struct log_about *about, const char *format, ...) _printf_(2, 3);

/* The same, of something that is about nobody. */
#define log_full(priority_, id_, ...) \
	log_about(&(const struct log_about){ .priority = (priority_), .id = (id_) }, __VA_ARGS__)

#define log_error(...)	 log_full(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)	 log_full(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)	 log_full(LOG_INFO, NULL, __VA_ARGS__)

#endif /* EAGERSPLITD_LOG_H */
