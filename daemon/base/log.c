// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define FIELDS_MAX 24

struct log_fields {
	struct iovec iov[FIELDS_MAX];
	int n;
};

void log_fields_add(struct log_fields *fields, const char *format, ...)
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

static void log_fields_done(const struct log_fields *fields)
{
	for (int i = 0; i < fields->n; i++)
		free(fields->iov[i].iov_base);
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
static int log_to_journal(const struct log_about *about, const char *text)
{
	_cleanup_(log_fields_done) struct log_fields fields = { 0 };

	log_fields_add(&fields, "MESSAGE=%s", text);
	log_fields_add(&fields, "PRIORITY=%i", about->priority);
	if (about->id)
		log_fields_add(&fields, "MESSAGE_ID=%s", about->id);
	if (about->add_fields)
		about->add_fields(&fields, about->userdata);
	if (about->peer) {
		log_fields_add(&fields, "EAGERSPLIT_PEER_PID=%i", (int)about->peer->pid);
		log_fields_add(&fields, "EAGERSPLIT_PEER_UID=%u", about->peer->uid);
	}
	return sd_journal_sendv(fields.iov, fields.n);
}

void log_about(const struct log_about *about, const char *format, ...)
{
	const char *subject = about->subject;
	char message[1024], text[1280];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%s%s%s", subject ? subject : "", subject ? ": " : "",
		 message);
	if (!stderr_is_journal() || log_to_journal(about, text) < 0)
		fprintf(stderr, "eagersplitd: %s\n", text);
}
