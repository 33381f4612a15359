// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that writes metrics. */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/client.h"
#include "ctl/figures.h"
#include "ctl/json.h"
#include "ctl/openmetrics.h"
#include "ctl/unit.h"

#define GET_METRICS "org.eagersplit.Metrics.GetMetrics"

/* What the three calls answered; each may be NULL: all of them, if nobody did. */
struct answers {
	json_object *host;
	json_object *vms;
	json_object *metrics;
};

static void answers_done(const struct answers *answers)
{
	json_object_put(answers->host);
	json_object_put(answers->vms);
	json_object_put(answers->metrics);
}

/* Returns 0 or -1. */
static int ask(struct client *client, struct answers *answers)
{
	answers->host = client_ask(client, "GetHost", json_object_new_object());
	if (answers->host)
		answers->vms = client_ask(client, "ListVms", json_object_new_object());
	if (answers->vms)
		answers->metrics = client_ask(client, GET_METRICS, json_object_new_object());
	return answers->metrics ? 0 : -1;
}

/* What node_exporter's textfile collector reads ends in .prom, and is in the older format. */
static enum metric_format get_format(const struct ctl *ctl)
{
	const char *suffix = ctl->given & CTL_OPTION_OUTPUT ? strrchr(ctl->output, '.') : NULL;

	if (ctl->given & CTL_OPTION_FORMAT)
		return ctl->format;
	return suffix && strcmp(suffix, ".prom") == 0 ? METRIC_FORMAT_PROMETHEUS
						      : METRIC_FORMAT_OPENMETRICS;
}

static int write_answers(const struct ctl *ctl, const struct answers *answers, FILE *f)
{
	const struct figures figures = {
		.host = ctl_json_member(answers->host, "host"),
		.vms = ctl_json_member(answers->vms, "vms"),
		.metrics = ctl_json_member(answers->metrics, "metrics"),
	};
	struct metric_writer writer = { .f = f, .format = get_format(ctl) };
	int r = 0;

	figures_write_up(answers->metrics, ctl->now_usec, &writer);
	if (answers->metrics)
		r = figures_write(&figures, &writer);
	metric_end(&writer);
	return r;
}

/* What open() would give a new file: mkostemp() gives it to its owner alone. */
static mode_t new_file_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* Writes all, and closes the file, also on error. Returns 0 or a negative errno. */
static int write_to_fd(const struct ctl *ctl, const struct answers *answers, int fd)
{
	FILE *f = fdopen(fd, "w");
	int r;

	if (!f) {
		r = -errno;
		close(fd);
		return r;
	}
	r = fchmod(fd, new_file_mode()) < 0 ? -errno : write_answers(ctl, answers, f);
	if (r == 0 && fflush(f) != 0)
		r = -errno;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

/*
 * Puts a new file in the place of an old one, if any: whoever reads it sees the one or the
 * other whole. No fsync(): after a crash the figures would be old anyhow.
 */
static int write_to_file(const struct ctl *ctl, const struct answers *answers)
{
	_cleanup_free_ char *temporary = NULL;
	int fd, r;

	/* The collector reads what ends in .prom: this does not. */
	if (asprintf(&temporary, "%s.XXXXXX", ctl->output) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_to_fd(ctl, answers, fd);
	if (r == 0 && rename(temporary, ctl->output) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

static int print_answers(const struct ctl *ctl, const struct answers *answers)
{
	int r;

	if (ctl->json) {
		ctl_json_print(answers->metrics);
		return 0;
	}
	if (!(ctl->given & CTL_OPTION_OUTPUT))
		return write_answers(ctl, answers, stdout);
	r = write_to_file(ctl, answers);
	if (r < 0)
		fprintf(stderr, "Cannot write %s: %s\n", ctl->output, strerror(-r));
	return r;
}

/*
 * Whether eagersplitd runs. To connect to the socket that systemd listens on would start it,
 * which is not what whoever only measures wants.
 */
static bool is_stopped(const struct ctl *ctl)
{
	return strcmp(ctl->socket, EAGERSPLITD_SOCKET) == 0 &&
	       unit_is_stopped("eagersplitd.service");
}

/* A file says that nobody answers: figures of a daemon that is gone look like its own. */
static int write_down(const struct ctl *ctl)
{
	const struct answers none = { 0 };

	return print_answers(ctl, &none) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ctl_metrics(const struct ctl *ctl, char **args)
{
	_cleanup_(answers_done) struct answers answers = { 0 };
	_cleanup_(client_freep) struct client *client = NULL;
	bool to_file = ctl->given & CTL_OPTION_OUTPUT;

	if (ctl->json && to_file) {
		fprintf(stderr, "--output= writes the formats of --format=, not JSON.\n");
		return CTL_USAGE;
	}
	if (to_file && is_stopped(ctl))
		return write_down(ctl);
	if (client_connect(&client, ctl) == 0 && ask(client, &answers) == 0)
		return print_answers(ctl, &answers) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (to_file && ctl->outcome->status == CTL_NO_DAEMON)
		(void)write_down(ctl);
	return EXIT_FAILURE;
}
