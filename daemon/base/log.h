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

struct vm;

/**
 * struct log_about - what a message is about
 * @priority: LOG_ERR...
 * @id: MESSAGE_*, NULL: none of those
 * @vm: the VM, NULL: none
 * @peer: the client, NULL: none
 */
struct log_about {
	int priority;
	const char *id;
	const struct vm *vm;
	const struct ucred *peer;
};

/* Says it. */
void log_about(const struct log_about *about, const char *format, ...) _printf_(2, 3);

/* The same, of something that is about no client. */
#define log_full(priority_, id_, vm_, ...)                                                        \
	log_about(&(const struct log_about){ .priority = (priority_), .id = (id_), .vm = (vm_) }, \
		  __VA_ARGS__)

#define log_error(...)	 log_full(LOG_ERR, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_notice(...)	 log_full(LOG_NOTICE, NULL, NULL, __VA_ARGS__)
#define log_info(...)	 log_full(LOG_INFO, NULL, NULL, __VA_ARGS__)

#define log_vm_error(vm, id, ...)   log_full(LOG_ERR, id, vm, __VA_ARGS__)
#define log_vm_warning(vm, id, ...) log_full(LOG_WARNING, id, vm, __VA_ARGS__)
#define log_vm_info(vm, id, ...)    log_full(LOG_INFO, id, vm, __VA_ARGS__)

#endif /* EAGERSPLITD_LOG_H */
