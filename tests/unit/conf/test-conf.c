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

#include "conf/conf.h"
#include "conf/conf-setting.h"

#define NOT_A_RATE "not a rate (a number, then K, M or G, then /s)"

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

static void assert_burst(const char *text, uint64_t burst)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", text);
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config_get_burst(config), burst);
}

/* It follows the rate, of all or of each, unless it is set. */
static void test_burst(void **state)
{
	assert_burst("[Budget]\nTlbiRate=1000000\n", 20000);
	assert_burst("[Budget]\nTlbiRate=10\n", 16);
	assert_burst("[Budget]\nTlbiRate=0\n", 16);
	assert_burst("[Budget]\nTlbiRate=0\nVmTlbiRate=5000\n", 100);
	assert_burst("[Budget]\nTlbiRate=1000000000\n", 20000000);
	assert_burst("[Budget]\nTlbiRate=1000\nTlbiBurst=7\n", 7);
	assert_burst("[Budget]\nTlbiBurst=7\nTlbiBurst=auto\n", 20);
}

static void test_defaults(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_load, 10000);
	assert_int_equal(config->tlbi_rate, 1000);
	assert_int_equal(config_get_burst(config), 20);
	assert_int_equal(config->vm_tlbi_rate, 0);
	assert_int_equal(config->backend, CONFIG_BACKEND_KVM);
	assert_int_equal(config->bbm, CONFIG_BBM_AUTO);
	assert_int_equal(config->method, CONFIG_METHOD_AUTO);
	assert_int_equal(config->vm_pause_rate, 10);
	assert_int_equal(config->scheduled_timeout_sec, 3600);
	assert_true(config->control_group == CONFIG_GROUP_NONE);
	assert_int_equal(config->sim.memory, UINT64_C(64) << 30);
	assert_int_equal(config->sim.block_size, 2 << 20);
	assert_int_equal(config->sim.block_usec, 0);
	assert_int_equal(config->sim.tlbi_usec, 20);
	assert_int_equal(config->sim.batch, 512);
	assert_int_equal(config->sim.vcpu_waits, 250000);
	assert_int_equal(config->sim.bbm_level, 0);
}

static void test_all_settings(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "# all\n"
			     "[Budget]\n"
			     "TlbiLoad=0.25%  # a quarter of a hundredth\n"
			     "TlbiRate=0      # no limit\n"
			     "TlbiBurst = 7 ; so many\n"
			     "VmTlbiRate=1000000000\n"
			     "VmPauseRate=3\n"
			     "\n"
			     "[Split]\n"
			     "Backend=sim\n"
			     "Bbm=off\n"
			     "Method=pause\n"
			     "[Sim]\n"
			     "Memory=3T\n"
			     "BlockSize=1G\n"
			     "BlockUSec=10\n"
			     "TlbiUSec=0\n"
			     "Batch=1\n"
			     "VcpuWaits=100%\n"
			     "BbmLevel=2\n"
			     "Pauses=no");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_load, 2500);
	assert_int_equal(config->tlbi_rate, 0);
	assert_int_equal(config->tlbi_burst, 7);
	assert_int_equal(config->vm_tlbi_rate, 1000000000);
	assert_int_equal(config->backend, CONFIG_BACKEND_SIM);
	assert_int_equal(config->bbm, CONFIG_BBM_OFF);
	assert_int_equal(config->method, CONFIG_METHOD_PAUSE);
	assert_int_equal(config->vm_pause_rate, 3);
	assert_int_equal(config->sim.pauses, 0);
	assert_int_equal(config->sim.memory, UINT64_C(3) << 40);
	assert_int_equal(config->sim.block_size, 1 << 30);
	assert_int_equal(config->sim.block_usec, 10);
	assert_int_equal(config->sim.tlbi_usec, 0);
	assert_int_equal(config->sim.batch, 1);
	assert_int_equal(config->sim.vcpu_waits, 1000000);
	assert_int_equal(config->sim.bbm_level, 2);
}

static void test_bad_lines(void **state)
{
	static const struct {
		const char *text, *where, *reason;
	} samples[] = {
		{ "[Budget]\nTlbiRate=many\n", ":2: ", "TlbiRate=many: " NOT_A_RATE },
		{ "[Budget]\n\nTlbiRate=-1\n", ":3: ", "TlbiRate=-1: " NOT_A_RATE },
		{ "[Budget]\nTlbiRate=\n", ":2: ", "TlbiRate=: " NOT_A_RATE },
		{ "[Budget]\nTlbiRate=5%\n", ":2: ", "TlbiRate=5%: " NOT_A_RATE },
		{ "[Budget]\nTlbiBurst=1K\n", ":2: ", "TlbiBurst=1K: not a number" },
		{ "[Budget]\nTlbiRate=1000000001\n",
		  ":2: ", "TlbiRate=1000000001: not between 0 and 1000000000" },
		{ "[Budget]\nTlbiRate=99999999999999999999\n",
		  ":2: ", "TlbiRate=99999999999999999999: not between 0 and 1000000000" },
		{ "[Budget]\nTlbiBurst=0\n", ":2: ", "TlbiBurst=0: not between 1 and 1000000000" },
		{ "[Split]\nBackend=xen\n", ":2: ", "Backend=xen: not one of kvm, sim" },
		{ "[Split]\nBbm=on\n", ":2: ", "Bbm=on: not one of auto, off" },
		{ "[Sim]\nMemory=64GB\n",
		  ":2: ", "Memory=64GB: not a size (a number, then K, M, G or T)" },
		{ "[Budget]\nTlbiLoad=101%\n", ":2: ", "TlbiLoad=101%: not between 0% and 100%" },
		{ "[Budget]\nTlbiLoad=1\n", ":2: ", "TlbiLoad=1: not a part (a number, then %)" },
		{ "[Sim]\nBatch=513\n", ":2: ", "Batch=513: not between 1 and 512" },
		{ "[Sim]\nMemory=1M\n", ":2: ", "Memory=1M: not between 2M and 64T" },
		{ "[Sim]\nBlockSize=4K\n", ":2: ", "BlockSize=4K: not one of 2M, 1G" },
		{ "[Sim]\nBbmLevel=1\n", ":2: ", "BbmLevel=1: not one of 0, 2" },
		{ "[Budget]\nTlbiRate 5\n", ":2: ", "neither [Section] nor Setting=value" },
		{ "[Budget\nTlbiRate=5\n", ":1: ", "neither [Section] nor Setting=value" },
		{ "[Budget]\nTlbiRate=#5\n", ":2: ", "TlbiRate=: " NOT_A_RATE },
		{ "[Budget] TlbiLoad=0.1% # too much\n",
		  ":1: ", "\"TlbiLoad=0.1%\" behind [Budget]: it needs a line of its own" },
		{ "[Budget]]\n", ":1: ", "\"]\" behind [Budget]: it needs a line of its own" },
		/* The first one counts. */
		{ "[Budget]\nTlbiRate=5\nTlbiRate=x\nTlbiBurst=x\n",
		  ":3: ", "TlbiRate=x: " NOT_A_RATE },
		{ "[Sim]\nTlbiUSec=1 fortnight\n", ":2: ",
		  "TlbiUSec=1 fortnight: not a time (numbers with us, ms, s, min, h or d)" },
		{ "[Sim]\nTlbiUSec=2s\n", ":2: ", "TlbiUSec=2s: not between 0us and 1000000us" },
		{ "[Control]\nGroup=no such group\n",
		  ":2: ", "Group=no such group: there is no such group" },
		{ "[Control]\nGroup=4294967295\n",
		  ":2: ", "Group=4294967295: Numerical result out of range" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_fails(samples[i].text, samples[i].where, samples[i].reason);
}

static void test_lines_that_do_not_fit(void **state)
{
	_cleanup_free_ char *error = NULL;
	struct config *config;
	char text[5000] = "[Budget]\nTlbiRate=";

	memset(text + strlen(text), '1', sizeof(text) - strlen(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_fails(text, ":2: ", "longer than 4095 bytes");

	/* Much shorter ones do, with what is written behind a value. */
	memset(text, ' ', sizeof(text));
	memcpy(text, "[Budget]\nTlbiRate=5 # ", 22);
	strcpy(text + 4000, "\n");
	write_file("c.conf", text);
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 5);
	config_free(config);

	write_bytes("c.conf", "[Budget]\nTlbiRate=5\0x\n", 22);
	assert_true(config_load(&config, path, true, &error) < 0);
	assert_non_null(strstr(error, ":2: holds a NUL byte"));
}

/* Everything that config_read() tells of, a line each. */
struct problems {
	char text[2048];
	size_t n;
};

static void on_problem(void *userdata, bool is_error, const char *message)
{
	struct problems *p = userdata;

	assert_true(strncmp(message, path, strlen(path)) == 0);
	p->n += (size_t)snprintf(p->text + p->n, sizeof(p->text) - p->n, "%s%s\n",
				 is_error ? "E" : "W", message + strlen(path));
	assert_true(p->n < sizeof(p->text));
}

static void assert_problems(const char *text, int r, const char *expected)
{
	_cleanup_(config_freep) struct config *config = NULL;
	struct problems problems = {};

	write_file("c.conf", text);
	assert_int_equal(config_read(&config, path, true, on_problem, &problems), r);
	assert_string_equal(problems.text, expected);
}

/* Warned about, not an error: a newer daemon's file is of use to an older one. */
static void test_unknown_settings(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;
	static const char text[] = "TlbiRate=3\nSun=\n[Budget]\nTlbiRate=5\nColour=blue\n"
				   "[Weather]\nRain=yes\nTlbiRate=x\n[Sim]\nTlbiRate=7\n";

	assert_problems(text, 0,
			"W:1: TlbiRate= belongs in section [Budget], ignored\n"
			"W:2: Sun= before any section, ignored\n"
			"W:5: unknown setting Colour= in section [Budget], ignored\n"
			"W:6: unknown section [Weather], ignored\n"
			"W:10: TlbiRate= belongs in section [Budget], ignored\n");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 5);
	assert_null(error);
}

/* One error does not hide the next. */
static void test_all_problems(void **state)
{
	assert_problems("[Budget]\n"
			"TlbiRate=x\n"
			"  TlbiBurst=0\n"
			"nothing\n"
			"Colour=blue\n"
			"[Split\n"
			"Backend=neither here nor there\n"
			"[Split ; ]\n"
			"[ Sim]\n"
			"[Sim] # the simulated host\n"
			"BbmLevel=1\n"
			"BbmLevel\n"
			"[Weather]Rain=yes\n"
			"[Budget][Sim]#\n"
			"TlbiBurst=0\n",
			-EINVAL,
			"E:2: TlbiRate=x: " NOT_A_RATE "\n"
			"E:3: TlbiBurst=0: not between 1 and 1000000000\n"
			"E:4: neither [Section] nor Setting=value\n"
			"W:5: unknown setting Colour= in section [Budget], ignored\n"
			"E:6: neither [Section] nor Setting=value\n"
			"E:8: neither [Section] nor Setting=value\n"
			"W:9: unknown section [ Sim], ignored\n"
			"E:11: BbmLevel=1: not one of 0, 2\n"
			"E:12: neither [Section] nor Setting=value\n"
			"W:13: unknown section [Weather], ignored\n"
			"E:13: \"Rain=yes\" behind [Weather]: it needs a line of its own\n"
			"E:14: \"[Sim]#\" behind [Budget]: it needs a line of its own\n"
			"E:15: TlbiBurst=0: not between 1 and 1000000000\n");
	/* The first one is what is returned. */
	assert_problems("[Budget]\nTlbiBurst=0\nTlbiRate=x\n", -ERANGE,
			"E:2: TlbiBurst=0: not between 1 and 1000000000\n"
			"E:3: TlbiRate=x: " NOT_A_RATE "\n");
}

/* Each of these lines means the same as without its extras. */
static void test_how_lines_may_look(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_ char *error = NULL;

	write_file("c.conf", "\xef\xbb\xbf[Budget] ; BOM and comment\r\n"
			     "\tTlbiRate = 10K/s # a comment\r\n"
			     "   TlbiBurst=5\r\n"
			     "; TlbiBurst=6\n"
			     " [Split]\n"
			     "ScheduledTimeoutSec=1h 30min\n"
			     "[Sim]\n"
			     "TlbiUSec=1ms\n"
			     "Memory=2GiB\n"
			     "[Control]\n"
			     "Group=0\n");
	assert_int_equal(config_load(&config, path, true, &error), 0);
	assert_int_equal(config->tlbi_rate, 10000);
	assert_int_equal(config->tlbi_burst, 5);
	assert_int_equal(config->scheduled_timeout_sec, 5400);
	assert_int_equal(config->sim.tlbi_usec, 1000);
	assert_int_equal(config->sim.memory, UINT64_C(2) << 30);
	assert_int_equal(config->control_group, 0);
}

/* Less than a second is not never, nor is a small part no limit. */
static void test_a_little_is_rounded_up(void **state)
{
	static const char *const texts[] = {
		"[Split]\nScheduledTimeoutSec=1us\n[Budget]\nTlbiLoad=0.0001%\n",
		"[Split]\nScheduledTimeoutSec=0.0000001\n[Budget]\nTlbiLoad=0.0000001%\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(config_freep) struct config *config = NULL;
		_cleanup_free_ char *error = NULL;

		write_file("c.conf", texts[i]);
		assert_int_equal(config_load(&config, path, true, &error), 0);
		assert_int_equal(config->scheduled_timeout_sec, 1);
		assert_int_equal(config->tlbi_load, 1);
	}
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
	assert_non_null(strstr(error, "c.conf.d/60.conf:4: TlbiRate=x: " NOT_A_RATE));
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
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_settings),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_lines_that_do_not_fit),
		cmocka_unit_test(test_unknown_settings),
		cmocka_unit_test(test_all_problems),
		cmocka_unit_test(test_how_lines_may_look),
		cmocka_unit_test(test_a_little_is_rounded_up),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_drop_ins),
	};

	return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
