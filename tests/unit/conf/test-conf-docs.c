// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The settings that the daemon knows, those that conf/eagersplitd.conf shows, and
 * those that eagersplitd.conf(5) explains are the same, in the same order, with the
 * same defaults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/conf-setting.h"

/* One setting as a text has it. */
struct entry {
	char section[32];
	char name[64];
	char value[64];
};

static FILE *open_source(const char *name)
{
	const char *dir = getenv("SRCDIR");
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	file = fopen(path, "r");
	if (!file)
		print_error("%s: cannot be opened; SRCDIR is where the sources are\n", path);
	assert_non_null(file);
	return file;
}

static void assert_agrees(const struct setting *setting, const struct entry *entry)
{
	assert_non_null(setting);
	assert_string_equal(entry->section, setting->section);
	assert_string_equal(entry->name, setting->name);
	assert_string_equal(entry->value, setting->initial);
}

/* In the configuration file: "#Name=default" below "[Section]". */
static void test_configuration_file(void **state)
{
	FILE *file = open_source("conf/eagersplitd.conf");
	struct entry entry = {};
	char line[256];
	size_t i = 0;

	while (fgets(line, sizeof(line), file)) {
		entry.value[0] = '\0';
		if (sscanf(line, "[%31[^]]]", entry.section) == 1)
			continue;
		if (line[0] == '#' && line[1] != ' ' && strchr(line, '=') &&
		    sscanf(line, "#%63[A-Za-z0-9]=%63[^\n]", entry.name, entry.value) >= 1)
			assert_agrees(setting_get(i++), &entry);
	}
	fclose(file);
	assert_true(i > 0);
	assert_null(setting_get(i));
}

/* In the manual page: "*Name=*" below "# [Section]", and "Default: VALUE." behind it. */
static void test_manual_page(void **state)
{
	FILE *file = open_source("man/eagersplitd.conf.5.scd");
	struct entry entry = {};
	char text[65536], *save, *line, *at;
	size_t i = 0;

	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		(void)sscanf(line, "# [%31[^]]]", entry.section);
		if (line[0] == '*' && sscanf(line, "*%63[A-Za-z0-9]=*", entry.name) == 1) {
			/* The one before had its default. */
			assert_true(i == 0 || entry.value[0]);
			entry.value[0] = '\0';
		}
		at = strstr(line, "Default:");
		if (!at)
			continue;
		at += strlen("Default:");
		/* The value may have come onto the next line. */
		if (!at[strspn(at, " ")])
			at = strtok_r(NULL, "\n", &save);
		assert_non_null(at);
		assert_int_equal(sscanf(at, " %63[^\n]", entry.value), 1);
		assert_true(entry.value[strlen(entry.value) - 1] == '.');
		entry.value[strlen(entry.value) - 1] = '\0';
		if (entry.value[0] == '*') {
			memmove(entry.value, entry.value + 1, strlen(entry.value));
			entry.value[strlen(entry.value) - 1] = '\0';
		}
		if (strcmp(entry.value, "empty") == 0) {
			entry.value[0] = '\0';
			assert_agrees(setting_get(i++), &entry);
			strcpy(entry.value, "empty");
		} else {
			assert_agrees(setting_get(i++), &entry);
		}
	}
	assert_true(i > 0);
	assert_null(setting_get(i));
}

/* What the file shows is what there is without it, and has no problem. */
static void on_problem(void *userdata, bool is_error, const char *message)
{
	print_error("%s\n", message);
	fail();
}

static void test_shown_defaults_are_taken(void **state)
{
	_cleanup_(config_freep) struct config *config = config_new("x", false);
	char text[65536];
	size_t n = 0;
	FILE *file;

	assert_non_null(config);
	for (size_t i = 0; setting_get(i); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[%s]\n%s=%s\n",
				      setting_get(i)->section, setting_get(i)->name,
				      setting_get(i)->initial);
	file = fmemopen(text, n, "r");
	assert_non_null(file);
	assert_int_equal(config_read_stream(config, file, "defaults", on_problem, NULL), 0);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_file),
		cmocka_unit_test(test_manual_page),
		cmocka_unit_test(test_shown_defaults_are_taken),
	};

	return cmocka_run_group_tests_name("conf-docs", tests, NULL, NULL);
}
