/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages for the operator: to the journal, with fields, where standard
 * error leads there, else to standard error as text.
 */
#ifndef EAGERSPLITD_LOG_H
#define EAGERSPLITD_LOG_H

#include <syslog.h>

#include "util.h"

struct vm;

/* Says it at @priority (LOG_ERR...); of @vm, or of the daemon if NULL. */
void log_full(int priority, const struct vm *vm, const char *format, ...) _printf_(3, 4);

#define log_error(...)	 log_full(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)	 log_full(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)	 log_full(LOG_INFO, NULL, __VA_ARGS__)

#define log_vm_error(vm, ...)	log_full(LOG_ERR, vm, __VA_ARGS__)
#define log_vm_warning(vm, ...) log_full(LOG_WARNING, vm, __VA_ARGS__)
#define log_vm_info(vm, ...)	log_full(LOG_INFO, vm, __VA_ARGS__)

#endif /* EAGERSPLITD_LOG_H */
