// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf.h"

static char dir[] = "/tmp/test-conf.XXXXXX";
static char path[64];

static void write_bytes(const char *name, const char *text, size_t n)
{
	char file[256];
	FILE *f;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	f = fopen(file, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void write_file(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

/* Loading @text fails with that message, @where and @reason behind the path. */
static void assert_fails(const char *text, const char *where, const char *reason)
{
	_cleanup_free_ char *error = NULL, *expected = NULL;
	struct config *config;

	write_file("c.conf", text);
	assert_true(config_load(&config, path, true, &error) < 0);
	assert_true(asprintf(&expected, "%s%s%s", path, where, reason) > 0);
	assert_string_equal(error, expected);
}

static void test_defaults(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 1000);
	assert_int_equal(config->tlbi_burst, 16);
	assert_int_equal(config->vm_tlbi_rate, 0);
	assert_int_equal(config->backend, CONFIG_BACKEND_KVM);
	assert_int_equal(config->bbm, CONFIG_BBM_AUTO);
	assert_int_equal(config->sim_memory, UINT64_C(64) << 30);
	assert_int_equal(config->sim_block_size, 2 << 20);
	assert_int_equal(config->sim_tlbi_usec, 20);
	assert_int_equal(config->sim_bbm_level, 0);
}

static void test_all_settings(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "# all\n"
			     "[Budget]\n"
			     "TlbiRate=0      # no limit\n"
			     "TlbiBurst = 7 ; so many\n"
			     "VmTlbiRate=1000000000\n"
			     "\n"
			     "[Split]\n"
			     "Backend=sim\n"
			     "Bbm=off\n"
			     "[Sim]\n"
			     "Memory=3T\n"
			     "BlockSize=1G\n"
			     "TlbiUSec=0\n"
			     "BbmLevel=2");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 0);
	assert_int_equal(config->tlbi_burst, 7);
	assert_int_equal(config->vm_tlbi_rate, 1000000000);
	assert_int_equal(config->backend, CONFIG_BACKEND_SIM);
	assert_int_equal(config->bbm, CONFIG_BBM_OFF);
	assert_int_equal(config->sim_memory, UINT64_C(3) << 40);
	assert_int_equal(config->sim_block_size, 1 << 30);
	assert_int_equal(config->sim_tlbi_usec, 0);
	assert_int_equal(config->sim_bbm_level, 2);
}

static void test_bad_lines(void **state)
{
	static const struct {
		const char *text, *where, *reason;
	} samples[] = {
		{ "[Budget]\nTlbiRate=many\n", ":2: ", "TlbiRate=many: not a number" },
		{ "[Budget]\n\nTlbiRate=-1\n", ":3: ", "TlbiRate=-1: not a number" },
		{ "[Budget]\nTlbiRate=\n", ":2: ", "TlbiRate=: not a number" },
		{ "[Budget]\nTlbiRate=1K\n", ":2: ", "TlbiRate=1K: not a number" },
		{ "[Budget]\nTlbiRate=1000000001\n",
		  ":2: ", "TlbiRate=1000000001: not between 0 and 1000000000" },
		{ "[Budget]\nTlbiRate=99999999999999999999\n",
		  ":2: ", "TlbiRate=99999999999999999999: not between 0 and 1000000000" },
		{ "[Budget]\nTlbiBurst=0\n", ":2: ", "TlbiBurst=0: not between 1 and 1000000000" },
		{ "[Split]\nBackend=xen\n", ":2: ", "Backend=xen: not one of kvm, sim" },
		{ "[Split]\nBbm=on\n", ":2: ", "Bbm=on: not one of auto, off" },
		{ "[Sim]\nMemory=64GB\n",
		  ":2: ", "Memory=64GB: not a size (a number, then K, M, G or T)" },
		{ "[Sim]\nMemory=1M\n",
		  ":2: ", "Memory=1M: not between 2097152 and 70368744177664" },
		{ "[Sim]\nBlockSize=4K\n", ":2: ", "BlockSize=4K: not one of 2M, 1G" },
		{ "[Sim]\nBbmLevel=1\n", ":2: ", "BbmLevel=1: not one of 0, 2" },
		{ "[Budget]\nTlbiRate 5\n", ":2: ", "neither [Section] nor Setting=value" },
		{ "[Budget\nTlbiRate=5\n", ":1: ", "neither [Section] nor Setting=value" },
		/* The first one counts. */
		{ "[Budget]\nTlbiRate=5\nTlbiRate=x\nTlbiBurst=x\n",
		  ":3: ", "TlbiRate=x: not a number" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_fails(samples[i].text, samples[i].where, samples[i].reason);
}

static void test_lines_that_do_not_fit(void **state)
{
	_cleanup_free_ char *error = NULL;
	struct config *config;
	char text[1000] = "[Budget]\nTlbiRate=";

	memset(text + strlen(text), '1', sizeof(text) - strlen(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_fails(text, ":2: ", "longer than 199 bytes");

	write_bytes("c.conf", "[Budget]\nTlbiRate=5\0x\n", 22);
	assert_true(config_load(&config, path, true, &error) < 0);
	assert_non_null(strstr(error, ":2: holds a NUL byte"));
}

/* Warned about, not an error: a newer daemon's file is of use to an older one. */
static void test_unknown_settings(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "[Budget]\nTlbiRate=5\nColour=blue\n[Weather]\nRain=yes\n"
			     "[Sim]\nTlbiRate=7\n");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 5);
	assert_null(error);
}

static void test_missing_file(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	unlink(path);
	assert_int_equal(config_load(&config, path, true, &error), -ENOENT);
	assert_non_null(strstr(error, "c.conf: No such file or directory"));
	free(TAKE_PTR(error));
	assert_int_equal(config_load(&config, path, false, &error), 0);
	assert_int_equal(config->tlbi_rate, 1000);
}

static void test_drop_ins(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL, *folder = NULL;

	assert_true(asprintf(&folder, "%s.d", path) > 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_file("c.conf", "[Budget]\nTlbiRate=1\nTlbiBurst=1\nVmTlbiRate=1\n");
	write_file("c.conf.d/50-b.conf", "[Budget]\nTlbiRate=50\nTlbiBurst=50\n");
	write_file("c.conf.d/9-a.conf", "[Budget]\nTlbiRate=9\n");
	write_file("c.conf.d/.hidden.conf", "[Budget]\nTlbiRate=x\n");
	write_file("c.conf.d/99.conf.bak", "[Budget]\nTlbiRate=x\n");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 9);
	assert_int_equal(config->tlbi_burst, 50);
	assert_int_equal(config->vm_tlbi_rate, 1);
	config = config_free(config);

	write_file("c.conf.d/60.conf", "\n\n[Budget]\nTlbiRate=x\n");
	assert_true(config_load(&config, path, true, &error) < 0);
	assert_non_null(strstr(error, "c.conf.d/60.conf:4: TlbiRate=x: not a number"));
}

static int remove_entry(const char *file, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(file);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/c.conf", dir);
	return 0;
}

static int teardown(void **state)
{
	return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_settings),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_lines_that_do_not_fit),
		cmocka_unit_test(test_unknown_settings),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_drop_ins),
	};

	return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
