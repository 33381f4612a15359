// SPDX-License-Identifier: GPL-2.0-or-later
/* That a test which hangs is ended and named: this program runs itself, and hangs there. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void passes(void **state)
{
}

static void hangs(void **state)
{
	for (;;)
		pause();
}

static int hang(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes),
		cmocka_unit_test(hangs),
		cmocka_unit_test(passes),
	};

	return cmocka_run_group_tests_name("hang", tests, NULL, NULL);
}

static void test_stuck_is_named(void **state)
{
	char command[4096 + 64], line[256];
	bool named = false;
	FILE *output;
	ssize_t n;
	int status;

	n = readlink("/proc/self/exe", command, 4096);
	assert_in_range(n, 1, 4095);
	snprintf(command + n, sizeof(command) - (size_t)n, " hang");
	/* For those that pass, too. */
	assert_return_code(setenv("TEST_SECONDS", "5", 1), 0);
	output = popen(command, "r");
	assert_non_null(output);
	while (fgets(line, sizeof(line), output))
		named = named || !strcmp(line, "Bail out! it is stuck: hangs\n");
	status = pclose(output);
	assert_true(named);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stuck_is_named),
	};

	if (argc > 1)
		return hang();
	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
