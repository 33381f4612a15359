// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A time limit for each test of a cmocka program: one that is stuck ends the program with its
 * name. Linked with -Wl,--wrap=_cmocka_run_group_tests, which is what cmocka_run_group_tests()
 * expands to; cmocka has no hook that it calls for every test, so this has its own setup called
 * before theirs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <signal.h>

#include <cmocka.h>

/* Late enough for the slowest machine, with sanitizers or valgrind; TEST_SECONDS is another. */
#define LIMIT_SECONDS 300

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown);

/* Neither a setup nor a signal handler is given anything that could be ours. */
static const struct CMUnitTest *group;
static volatile size_t begun;
static unsigned int seconds = LIMIT_SECONDS;

static void say(const char *text)
{
	/* There is nobody else to tell. */
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(2);
}

static void on_alarm(int signum)
{
	say("Bail out! it is stuck: ");
	say(group[begun - 1].name);
	say("\n");
	_exit(1);
}

/* cmocka calls it once for each test, in their order. */
static int begin(void **state)
{
	const struct CMUnitTest *test = &group[begun++];

	alarm(seconds);
	return test->setup_func ? test->setup_func(state) : 0;
}

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const char *given = getenv("TEST_SECONDS");
	struct CMUnitTest *limited;
	int failed;

	limited = malloc(n * sizeof(*limited));
	if (!limited)
		return -1;
	memcpy(limited, tests, n * sizeof(*limited));
	for (size_t i = 0; i < n; i++)
		limited[i].setup_func = begin;
	group = tests;
	begun = 0;
	if (given)
		seconds = (unsigned int)strtoul(given, NULL, 10);
	/* What was said before is seen, however the program ends. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, on_alarm);

	failed = __real__cmocka_run_group_tests(name, limited, n, setup, teardown);
	alarm(0);
	free(limited);
	return failed;
}
