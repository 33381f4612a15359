// SPDX-License-Identifier: GPL-2.0-or-later
/* In place of daemon/base/log.c: millions of runs would say the same. Formats all the same. */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

void log_about(const struct log_about *about, const char *format, ...)
{
	char message[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
}

void log_fields_add(struct log_fields *fields, const char *format, ...)
{
	/* Nothing asks for them. */
}
