// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/transient.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "service/worker.h"

/* A line is some 400 bytes long, with the longest name less than twice that. */
#define HISTORY_LINE_MAX 2048U
#define FILE_MAX	 ((size_t)HISTORY_MAX * HISTORY_LINE_MAX)

/* However often something ends, the file is not begun to be written before this has passed. */
#define PAUSE_USEC (1 * USEC_PER_SEC)

/* How long the file is waited for in the end. */
#define END_USEC (5 * USEC_PER_SEC)

/* What the thread does. */
enum task {
	TASK_READ,
	TASK_WRITE,
};

/**
 * struct line - a migration that has ended
 * @number: see history_get_previous()
 * @sharer: see struct passage
 * @text: without its end
 */
struct line {
	uint64_t number;
	int64_t sharer;
	char *text;
};

/**
 * struct history - the lines, a ring
 * @first: the oldest
 * @last: the highest number that there was so far
 * @job: reads the file, once, then writes it anew whenever that is wanted
 * @text: what the thread has read, or is to write
 * @loaded: it has been read
 * @pause: on for a while after that has begun; NULL: not any more
 * @unsaved: there is what it does not have
 * @failed: it could not be written the last time
 */
struct history {
	struct worker_pool *pool;
	char *path;
	struct line lines[HISTORY_MAX];
	size_t first, n;
	uint64_t last;
	struct history_stats stats;
	struct job job;
	enum task task;
	char *text;
	size_t size;
	sd_event_source *pause;
	bool busy;
	bool loaded;
	bool unsaved;
	bool failed;
};

static const uint64_t lead_limits_usec[HISTORY_LEADS] = {
	UINT64_C(1000000),    UINT64_C(5000000),    UINT64_C(15000000),
	UINT64_C(60000000),   UINT64_C(300000000),  UINT64_C(900000000),
	UINT64_C(1800000000), UINT64_C(3600000000), UINT64_C(14400000000),
};

uint64_t history_lead_limit_usec(size_t i)
{
	return lead_limits_usec[i];
}

/*
 * In the thread
 */

/* Returns 0 and @text, which is the caller's, or a negative errno. */
static int read_file(const char *path, char **text, size_t *size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *buffer = NULL;
	ssize_t n;

	if (fd < 0)
		return -errno;
	buffer = malloc(FILE_MAX);
	if (!buffer)
		return -ENOMEM;
	*size = 0;
	while (*size < FILE_MAX && (n = read(fd, buffer + *size, FILE_MAX - *size)) != 0) {
		if (n < 0)
			return -errno;
		*size += (size_t)n;
	}
	*text = TAKE_PTR(buffer);
	return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* In place of the old one, whole. Not synced: it is worth no waiting for the disk. */
static int write_file(const char *path, const char *text, size_t size)
{
	_cleanup_close_ int fd = -1;
	char temporary[PATH_MAX];
	int r;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, size);
	if (r == 0 && renameat(AT_FDCWD, temporary, AT_FDCWD, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	return r;
}

static int run_job(struct job *job)
{
	struct history *h = container_of(job, struct history, job);

	if (h->task == TASK_READ)
		return read_file(h->path, &h->text, &h->size);
	return write_file(h->path, h->text, h->size);
}

/*
 * The ring
 */

static size_t get_place(const struct history *h, size_t i)
{
	return (h->first + i) % HISTORY_MAX;
}

static struct line *get_line(struct history *h, size_t i)
{
	return &h->lines[get_place(h, i)];
}

static void remove_line(struct history *h, size_t i)
{
	free(get_line(h, i)->text);
	for (; i > 0; i--)
		*get_line(h, i) = *get_line(h, i - 1);
	h->first = (h->first + 1) % HISTORY_MAX;
	h->n--;
}

/* How many there are of that sharer (-1: of any), and the oldest of these. */
static size_t count_shared(struct history *h, int64_t sharer, size_t *ret_oldest)
{
	size_t n = 0;

	for (size_t i = h->n; i > 0; i--) {
		const struct line *line = get_line(h, i - 1);

		if (line->sharer < 0 || (sharer >= 0 && line->sharer != sharer))
			continue;
		*ret_oldest = i - 1;
		n++;
	}
	return n;
}

/* Nobody has more than his share, nor all of them together. */
static void make_room(struct history *h, int64_t sharer)
{
	size_t oldest = 0;

	while (sharer >= 0 && (count_shared(h, sharer, &oldest) >= HISTORY_SHARE_MAX ||
			       count_shared(h, -1, &oldest) >= HISTORY_SHARES_MAX))
		remove_line(h, oldest);
	if (h->n == HISTORY_MAX)
		remove_line(h, 0);
}

/* Takes @text, as the latest; the oldest goes if there is no room. */
static void push_line(struct history *h, char *text, int64_t sharer)
{
	make_room(h, sharer);
	*get_line(h, h->n++) = (struct line){ .number = ++h->last, .sharer = sharer, .text = text };
}

/* Puts @line, which it takes, before the oldest. Whether there was room. */
static bool unshift_line(struct history *h, struct line line)
{
	if (h->n == HISTORY_MAX) {
		free(line.text);
		return false;
	}
	line.number = (h->n ? get_line(h, 0)->number : HISTORY_MAX + 1) - 1;
	h->first = (h->first + HISTORY_MAX - 1) % HISTORY_MAX;
	h->n++;
	*get_line(h, 0) = line;
	return true;
}

/*
 * @ret: the caller's. Whether it is one of ours: what people have written into the file is passed
 * over.
 */
static bool parse_line(const char *text, size_t length, struct line *ret)
{
	_cleanup_json_ json_object *object = NULL;
	json_object *sharer;
	const char *why;

	if (length == 0 || length >= HISTORY_LINE_MAX ||
	    varlink_message_parse(text, length, &object, &why) < 0 ||
	    !varlink_json_string(json_object_object_get(object, "vm")))
		return false;
	sharer = json_object_object_get(object, "sharer");
	*ret = (struct line){ .sharer = sharer ? json_object_get_int64(sharer) : -1,
			      .text = strndup(text, length) };
	return ret->text;
}

/* What was in the file comes before what has ended since the start: from its end on. */
static void take_lines(struct history *h, const char *text, size_t size)
{
	while (size > 0) {
		const char *end = text + size, *start;
		struct line line;

		start = memrchr(text, '\n', size - 1);
		start = start ? start + 1 : text;
		size = (size_t)(start - text);
		if (end[-1] == '\n' && parse_line(start, (size_t)(end - 1 - start), &line) &&
		    !unshift_line(h, line))
			return;
	}
}

/*
 * The file
 */

/* All lines, to be written. 0 or -ENOMEM. */
static int make_text(struct history *h)
{
	size_t size = 0;
	FILE *f = open_memstream(&h->text, &size);

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < h->n; i++)
		fprintf(f, "%s\n", get_line(h, i)->text);
	if (fclose(f) != 0)
		return -ENOMEM;
	h->size = size;
	return 0;
}

static void free_text(struct history *h)
{
	free(h->text);
	h->text = NULL;
}

static void report(struct history *h, int r)
{
	/* Once is enough: it will be the same for all. */
	if (r < 0 && !h->failed)
		log_warning("The history of migrations is not kept: %s%s: %s", h->path,
			    h->task == TASK_READ ? " cannot be read, and stays as it is" : "",
			    strerror(-r));
	h->failed = r < 0;
}

static void submit(struct history *h, enum task task)
{
	h->task = task;
	h->busy = true;
	worker_pool_submit(h->pool, &h->job);
}

static bool is_paused(const struct history *h)
{
	return h->pause && sd_event_source_get_enabled(h->pause, NULL) > 0;
}

static void begin_pause(struct history *h)
{
	/* These fail in a forked child only. */
	if (h->pause && sd_event_source_set_time_relative(h->pause, PAUSE_USEC) >= 0)
		(void)sd_event_source_set_enabled(h->pause, SD_EVENT_ONESHOT);
}

/*
 * Has it written, unless that is under way, or was so a moment ago: then once more after that. What
 * is there and has not been read would be lost by that: it is read first, or stays.
 */
static void save(struct history *h)
{
	h->unsaved = true;
	if (!h->path || h->busy || is_paused(h) || (h->loaded && make_text(h) < 0))
		return;
	h->unsaved = !h->loaded;
	begin_pause(h);
	submit(h, h->loaded ? TASK_WRITE : TASK_READ);
}

static int on_pause_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct history *h = userdata;

	if (h->unsaved)
		save(h);
	return 0;
}

/* @r: what reading gave. It is tried again: soon, or not before there is more to be kept. */
static void take_file(struct history *h, int r)
{
	h->loaded = r == 0 || r == -ENOENT;
	if (r == 0)
		take_lines(h, h->text, h->size);
	if (h->loaded)
		return;
	h->unsaved = error_is_transient(r);
	begin_pause(h);
}

static void job_done(struct job *job, int r)
{
	struct history *h = container_of(job, struct history, job);

	h->busy = false;
	if (h->task == TASK_READ)
		take_file(h, r);
	report(h, h->task == TASK_READ && h->loaded ? 0 : r);
	free_text(h);
	if (h->unsaved && h->loaded)
		save(h);
}

int history_new(struct history **ret, sd_event *event)
{
	struct history *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = sd_event_add_time(event, &h->pause, CLOCK_MONOTONIC, UINT64_MAX, 0, on_pause_end, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->pause, SD_EVENT_OFF);
	if (r >= 0)
		r = worker_pool_new(&h->pool, event, 1);
	if (r < 0) {
		sd_event_source_disable_unref(h->pause);
		free(h);
		return r;
	}
	/* What is read from the file goes before the first. */
	h->last = HISTORY_MAX;
	h->job = (struct job){ .run = run_job, .done = job_done };
	*ret = h;
	return 0;
}

int history_open(struct history *h, const char *folder)
{
	if (asprintf(&h->path, "%s/history", folder) < 0) {
		h->path = NULL;
		return -ENOMEM;
	}
	submit(h, TASK_READ);
	return 0;
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	h->pause = sd_event_source_disable_unref(h->pause);
	if (h->unsaved)
		save(h);
	if (!worker_pool_drain(h->pool, END_USEC)) {
		report(h, -ETIMEDOUT);
		return NULL;
	}
	worker_pool_free(h->pool);
	for (size_t i = 0; i < h->n; i++)
		free(get_line(h, i)->text);
	free(h->path);
	free(h);
	return NULL;
}

/*
 * What is told
 */

static void count_lead(struct history_stats *stats, const struct course *c)
{
	uint64_t lead = c->logging_usec - min_u64(c->begun_usec, c->logging_usec);
	size_t i = 0;

	while (i < HISTORY_LEADS && lead > lead_limits_usec[i])
		i++;
	stats->leads[i]++;
	stats->lead_usec += lead;
}

static void count(struct history_stats *stats, const struct passage *passage)
{
	const struct course *c = &passage->course;

	stats->ended[course_get_preparation(c)][passage->outcome]++;
	stats->deadlines_missed += course_met_deadline(c) == 0;
	if (c->announced && c->logging_usec)
		count_lead(stats, c);
	if (c->logging_usec)
		latency_add(&stats->stalls[course_get_preparation(c)], course_get_stall(c));
}

void history_add(struct history *h, const struct passage *passage)
{
	_cleanup_json_ json_object *object = passage_to_json(passage);
	const char *text;
	char *line;

	count(&h->stats, passage);
	text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
	line = text ? strdup(text) : NULL;
	/* Without the memory for it, it is counted, and not kept. */
	if (!line)
		return;
	push_line(h, line, passage->sharer);
	save(h);
}

/* How many lines are before that number. */
static size_t count_before(const struct history *h, uint64_t number)
{
	size_t from = 0, to = h->n;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (h->lines[get_place(h, middle)].number < number)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

uint64_t history_get_previous(const struct history *h, uint64_t number)
{
	size_t n = count_before(h, number);

	return n ? h->lines[get_place(h, n - 1)].number : 0;
}

json_object *history_get(const struct history *h, uint64_t number, const char *vm)
{
	size_t i = count_before(h, number);
	const struct line *line = &h->lines[get_place(h, i)];
	json_object *object = NULL;
	const char *name, *why;

	if (i == h->n || line->number != number)
		return NULL;
	if (varlink_message_parse(line->text, strlen(line->text), &object, &why) < 0)
		return NULL;
	name = varlink_json_string(json_object_object_get(object, "vm"));
	if (!vm || (name && strcmp(name, vm) == 0))
		return object;
	json_object_put(object);
	return NULL;
}

const struct history_stats *history_get_stats(const struct history *h)
{
	return &h->stats;
}
