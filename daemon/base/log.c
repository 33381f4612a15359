// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/outbox.h"

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

/**
 * struct message - a message, ready to be sent
 * @to_journal: standard error leads there
 * @fields: for the journal
 * @text: for standard error
 */
struct message {
	struct letter letter;
	bool to_journal;
	struct log_fields fields;
	char *text;
};

/* See log_set_outbox(). */
static struct outbox *outbox;

void log_set_outbox(struct outbox *o)
{
	outbox = o;
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

static void message_free(struct letter *letter)
{
	struct message *message = container_of(letter, struct message, letter);

	for (int i = 0; i < message->fields.n; i++)
		free(message->fields.iov[i].iov_base);
	free(message->text);
	free(message);
}

static void message_send(struct letter *letter)
{
	const struct message *message = container_of(letter, struct message, letter);

	if (!message->to_journal || sd_journal_sendv(message->fields.iov, message->fields.n) < 0)
		fprintf(stderr, "eagersplitd: %s\n", message->text);
}

static void message_add_fields(struct message *message, const struct log_about *about)
{
	struct log_fields *fields = &message->fields;

	log_fields_add(fields, "MESSAGE=%s", message->text);
	log_fields_add(fields, "PRIORITY=%i", about->priority);
	if (about->id)
		log_fields_add(fields, "MESSAGE_ID=%s", about->id);
	if (about->add_fields)
		about->add_fields(fields, about->userdata);
	if (about->peer) {
		log_fields_add(fields, "EAGERSPLIT_PEER_PID=%i", (int)about->peer->pid);
		log_fields_add(fields, "EAGERSPLIT_PEER_UID=%u", about->peer->uid);
	}
}

/* NULL: there is no memory for it, and none to say so. */
static struct letter *message_new(const struct log_about *about, const char *format, va_list ap)
{
	struct message *message = calloc(1, sizeof(*message));
	const char *subject = about->subject ?: "";
	char text[1024];

	if (!message)
		return NULL;
	message->letter.send = message_send;
	message->letter.free = message_free;
	message->to_journal = stderr_is_journal();
	vsnprintf(text, sizeof(text), format, ap);
	if (asprintf(&message->text, "%s%s%s", subject, *subject ? ": " : "", text) < 0) {
		message->text = NULL;
		message_free(&message->letter);
		return NULL;
	}
	if (message->to_journal)
		message_add_fields(message, about);
	return &message->letter;
}

static void send_now(struct letter *letter)
{
	letter->send(letter);
	letter->free(letter);
}

void log_about(const struct log_about *about, const char *format, ...)
{
	struct letter *letter;
	va_list ap;

	va_start(ap, format);
	letter = message_new(about, format, ap);
	va_end(ap);
	if (letter && outbox)
		outbox_post(outbox, letter);
	else if (letter)
		send_now(letter);
}

static void _printf_(1, 2) log_now(const char *format, ...)
{
	const struct log_about about = { .priority = LOG_WARNING };
	struct letter *letter;
	va_list ap;

	va_start(ap, format);
	letter = message_new(&about, format, ap);
	va_end(ap);
	if (letter)
		send_now(letter);
}

void log_gap(uint64_t dropped)
{
	log_now("%" PRIu64 " message%s dropped here, since nobody read them", dropped,
		dropped == 1 ? " was" : "s were");
}
