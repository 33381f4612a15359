// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "vm.h"

#define FIELDS_MAX 24

/* The fields of an entry, "NAME=value" each; one that there is no memory for is left out. */
struct fields {
	struct iovec iov[FIELDS_MAX];
	int n;
};

static void _printf_(2, 3) fields_add(struct fields *fields, const char *format, ...)
{
	char *text;
	va_list ap;
	int length;

	if (fields->n == FIELDS_MAX)
		return;
	va_start(ap, format);
	length = vasprintf(&text, format, ap);
	va_end(ap);
	if (length >= 0)
		fields->iov[fields->n++] =
			(struct iovec){ .iov_base = text, .iov_len = (size_t)length };
}

static void fields_done(const struct fields *fields)
{
	for (int i = 0; i < fields->n; i++)
		free(fields->iov[i].iov_base);
}

static void fields_add_vm(struct fields *fields, const struct vm_info *vm)
{
	fields_add(fields, "EAGERSPLIT_VM=%s", vm->name);
	fields_add(fields, "EAGERSPLIT_PID=%i", (int)vm->pid);
	fields_add(fields, "EAGERSPLIT_MIGRATION=%s", vm_migration_to_string(vm->migration));
	fields_add(fields, "EAGERSPLIT_STAGE=%s", vm_stage_to_string(vm->stage));
	fields_add(fields, "EAGERSPLIT_BLOCKS=%" PRIu64, vm->blocks);
	fields_add(fields, "EAGERSPLIT_BLOCKS_SPLIT=%" PRIu64, vm->blocks_split);
	fields_add(fields, "EAGERSPLIT_TLBIS=%" PRIu64, vm->tlbis);
	if (vm->has_deadline)
		fields_add(fields, "EAGERSPLIT_DEADLINE_USEC=%" PRIu64, vm->deadline_usec);
	if (vm->has_eta)
		fields_add(fields, "EAGERSPLIT_ETA_USEC=%" PRIu64, vm->eta_usec);
	if (vm->error)
		fields_add(fields, "EAGERSPLIT_ERROR=%s", vm->error);
}

/* Whether standard error is the stream that systemd connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Returns 0 or a negative errno. */
static int log_to_journal(const struct log_about *about, const struct vm_info *vm,
			  const char *message)
{
	_cleanup_(fields_done) struct fields fields = { 0 };

	fields_add(&fields, "MESSAGE=%s%s%s", vm ? vm->name : "", vm ? ": " : "", message);
	fields_add(&fields, "PRIORITY=%i", about->priority);
	if (about->id)
		fields_add(&fields, "MESSAGE_ID=%s", about->id);
	if (vm)
		fields_add_vm(&fields, vm);
	if (about->peer) {
		fields_add(&fields, "EAGERSPLIT_PEER_PID=%i", (int)about->peer->pid);
		fields_add(&fields, "EAGERSPLIT_PEER_UID=%u", about->peer->uid);
	}
	return sd_journal_sendv(fields.iov, fields.n);
}

void log_about(const struct log_about *about, const char *format, ...)
{
	const struct vm_info *vm = NULL;
	struct vm_info info;
	char message[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);

	if (about->vm) {
		vm_get_info(about->vm, &info);
		vm = &info;
	}
	if (stderr_is_journal() && log_to_journal(about, vm, message) >= 0)
		return;
	fprintf(stderr, "eagersplitd: %s%s%s\n", vm ? vm->name : "", vm ? ": " : "", message);
}
