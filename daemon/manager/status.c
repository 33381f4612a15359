// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

void status_add(struct status *status, const struct vm_info *info)
{
	status->vms++;
	status->split += info->stage == VM_STAGE_SPLIT;
	status->recovering += info->stage == VM_STAGE_RECOVERING;
	status->failed += info->stage == VM_STAGE_FAILED;
	status->late += info->late;
	if (info->stage != VM_STAGE_SPLITTING)
		return;
	status->splitting++;
	status->name = info->name;
	status->blocks += info->blocks;
	if (info->has_eta)
		status->eta_usec = max_u64(status->eta_usec, info->eta_usec);
}

/* Where a line is being written, and what comes before the next part of it. */
struct line {
	char *buf;
	const char *separator;
};

static void _printf_(2, 3) add(struct line *line, const char *format, ...)
{
	size_t length = strlen(line->buf);
	va_list ap;

	snprintf(line->buf + length, STATUS_SIZE - length, "%s", line->separator);
	length = strlen(line->buf);
	va_start(ap, format);
	vsnprintf(line->buf + length, STATUS_SIZE - length, format, ap);
	va_end(ap);
	line->separator = ", ";
}

static void add_count(struct line *line, size_t n, const char *what)
{
	if (n)
		add(line, "%zu %s", n, what);
}

static void add_splitting(struct line *line, const struct status *status)
{
	uint64_t s = status->eta_usec / USEC_PER_SEC + !!(status->eta_usec % USEC_PER_SEC);

	if (status->splitting == 1)
		add(line, "splitting %s", status->name);
	else
		add(line, "splitting %zu", status->splitting);
	add(line, "%" PRIu64 " block%s left", status->blocks, plural(status->blocks));
	if (s >= 120)
		add(line, "%" PRIu64 "min", (s + 59) / 60);
	else if (s)
		add(line, "%" PRIu64 "s", s);
	line->separator = "; ";
}

char *status_format(char buf[static STATUS_SIZE], const struct status *status,
		    const char *unsupported)
{
	struct line line = { buf, "" };

	*buf = '\0';
	if (unsupported) {
		add(&line, "No splitting: %s", unsupported);
		return buf;
	}
	if (!status->vms) {
		add(&line, "No VMs");
		return buf;
	}
	add(&line, "%zu VM%s", status->vms, plural(status->vms));
	line.separator = ": ";
	if (status->splitting)
		add_splitting(&line, status);
	add_count(&line, status->split, "split");
	add_count(&line, status->recovering, "recovering");
	add_count(&line, status->failed, "failed");
	add_count(&line, status->late, "late");
	add_count(&line, status->unsaved, "not kept for a restart");
	return buf;
}
