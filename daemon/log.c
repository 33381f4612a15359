// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "vm.h"

/* Whether standard error is the stream that systemd connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static int log_to_journal(int priority, const struct vm_info *vm, const char *message)
{
	if (!vm)
		return sd_journal_send("MESSAGE=%s", message, "PRIORITY=%i", priority, NULL);
	return sd_journal_send("MESSAGE=%s: %s", vm->name, message, "PRIORITY=%i", priority,
			       "EAGERSPLIT_VM=%s", vm->name, "EAGERSPLIT_PID=%i", (int)vm->pid,
			       "EAGERSPLIT_MIGRATION=%s", vm_migration_to_string(vm->migration),
			       "EAGERSPLIT_STAGE=%s", vm_stage_to_string(vm->stage),
			       "EAGERSPLIT_TLBIS=%" PRIu64, vm->tlbis, NULL);
}

void log_full(int priority, const struct vm *vm, const char *format, ...)
{
	struct vm_info info;
	char message[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);

	if (vm)
		vm_get_info(vm, &info);
	if (stderr_is_journal() && log_to_journal(priority, vm ? &info : NULL, message) >= 0)
		return;
	fprintf(stderr, "eagersplitd: %s%s%s\n", vm ? info.name : "", vm ? ": " : "", message);
}
