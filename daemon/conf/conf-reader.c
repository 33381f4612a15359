// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/conf-reader.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "conf/conf.h"
#include "service/worker.h"

/* So many problems are told of; of what is beyond them, that there is more. */
#define PROBLEMS_MAX 100

struct problem {
	bool is_error;
	STAILQ_ENTRY(problem) link;
	char message[];
};

STAILQ_HEAD(problem_list, problem);

/**
 * struct config_reader - the file, and what came of reading it
 * @read: told of it, NULL: nobody is
 * @error: the first one
 * @problems: the others, up to some, of @n_problems
 */
struct config_reader {
	struct worker_pool *pool;
	char *path;
	bool required;
	config_read_fn read;
	void *userdata;
	struct job job;
	bool reading;
	struct config *config;
	char *error;
	struct problem_list problems;
	size_t n_problems;
};

/* What is said from a thread might be said when the log has ended: it is left to the loop. */
static void on_problem(void *userdata, bool is_error, const char *message)
{
	struct config_reader *r = userdata;
	struct problem *problem;

	if (is_error && !r->error) {
		r->error = strdup(message);
		return;
	}
	if (r->n_problems++ >= PROBLEMS_MAX)
		return;
	problem = malloc(sizeof(*problem) + strlen(message) + 1);
	if (!problem)
		return;
	problem->is_error = is_error;
	memcpy(problem->message, message, strlen(message) + 1);
	STAILQ_INSERT_TAIL(&r->problems, problem, link);
}

/* In the thread. */
static int reader_run(struct job *job)
{
	struct config_reader *r = container_of(job, struct config_reader, job);

	return config_read(&r->config, r->path, r->required, on_problem, r);
}

static struct problem *reader_take_problem(struct config_reader *r)
{
	struct problem *problem = STAILQ_FIRST(&r->problems);

	if (problem)
		STAILQ_REMOVE_HEAD(&r->problems, link);
	return problem;
}

static void reader_log_problems(struct config_reader *r)
{
	struct problem *problem;

	while ((problem = reader_take_problem(r))) {
		log_full(problem->is_error ? LOG_ERR : LOG_WARNING, NULL, "%s", problem->message);
		free(problem);
	}
	if (r->n_problems > PROBLEMS_MAX)
		log_warning("%s: more is wrong, which eagersplitd --check-config prints", r->path);
	r->n_problems = 0;
}

/* Whoever is told may begin anew. */
static void reader_done(struct job *job, int result)
{
	struct config_reader *r = container_of(job, struct config_reader, job);
	_cleanup_free_ char *error = TAKE_PTR(r->error);

	r->reading = false;
	if (!r->read)
		return;
	reader_log_problems(r);
	r->read(r->userdata, result, TAKE_PTR(r->config), error);
}

int config_reader_new(struct config_reader **ret, sd_event *event, const char *path, bool required,
		      config_read_fn read, void *userdata)
{
	_cleanup_(config_reader_freep) struct config_reader *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->path = strdup(path);
	r->required = required;
	r->read = read;
	r->userdata = userdata;
	r->job = (struct job){ .run = reader_run, .done = reader_done };
	STAILQ_INIT(&r->problems);
	if (!r->path)
		return -ENOMEM;
	e = worker_pool_new(&r->pool, event, 1);
	if (e < 0)
		return e;
	*ret = TAKE_PTR(r);
	return 0;
}

void config_reader_stop(struct config_reader *r)
{
	r->read = NULL;
}

struct config_reader *config_reader_free(struct config_reader *r)
{
	struct problem *problem;

	if (!r)
		return NULL;
	config_reader_stop(r);
	if (r->pool && !worker_pool_drain(r->pool, 0))
		return NULL;
	worker_pool_free(r->pool);
	while ((problem = reader_take_problem(r)))
		free(problem);
	config_free(r->config);
	free(r->error);
	free(r->path);
	free(r);
	return NULL;
}

void config_reader_begin(struct config_reader *r)
{
	r->reading = true;
	worker_pool_submit(r->pool, &r->job);
}

bool config_reader_is_reading(const struct config_reader *r)
{
	return r->reading;
}
