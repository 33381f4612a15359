// SPDX-License-Identifier: GPL-2.0-or-later
/* The checks of a host, on hosts that are made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/doctor.h"

/* A host: its files are below a folder of their own, all else is said here. */
struct fake {
	struct doctor doctor;
	char root[64];
	int capability; /* or a negative errno */
	int bus; /* 0 or a negative errno */
	struct unit_state service, socket, timer;
	int connect; /* 0 or a negative errno */
	int answers; /* the same, once there is a connection */
	struct doctor_daemon daemon;
};

static int check_extension(void *userdata, const char *path)
{
	struct fake *fake = userdata;
	char expected[128];

	snprintf(expected, sizeof(expected), "%s/dev/kvm", fake->root);
	assert_string_equal(path, expected);
	return fake->capability;
}

static int get_unit(void *userdata, const char *name, struct unit_state *ret)
{
	struct fake *fake = userdata;

	if (strcmp(name, "eagersplitd-metrics.timer") == 0)
		*ret = fake->timer;
	else
		*ret = strcmp(name, "eagersplitd.socket") == 0 ? fake->socket : fake->service;
	return fake->bus;
}

static int fake_connect(void *userdata)
{
	struct fake *fake = userdata;

	return fake->connect;
}

static int get_host(void *userdata, struct doctor_daemon *ret)
{
	struct fake *fake = userdata;

	*ret = fake->daemon;
	return fake->connect < 0 ? fake->connect : fake->answers;
}

static const struct doctor_ops ops = {
	.check_extension = check_extension,
	.get_unit = get_unit,
	.connect = fake_connect,
	.get_host = get_host,
};

static void fake_run(const struct fake *fake, const char *format)
{
	char command[512];

	snprintf(command, sizeof(command), format, fake->root);
	assert_int_equal(system(command), 0);
}

static void fake_write(const struct fake *fake, const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", fake->root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#define THP   "/sys/kernel/mm/transparent_hugepage/enabled"
#define SMALL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define LARGE "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
#define YAMA  "/proc/sys/kernel/yama/ptrace_scope"

/* A host that has everything. */
static int set_up(void **state)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	*fake = (struct fake){
		.root = "/tmp/eagersplitd-doctor-XXXXXX",
		.capability = 3,
		.service = { "loaded", "active" },
		.socket = { "loaded", "active" },
		.timer = { "loaded", "inactive" },
		.daemon = { PACKAGE_VERSION, "kvm", true, "" },
	};
	assert_non_null(mkdtemp(fake->root));
	fake->doctor = (struct doctor){
		.root = fake->root,
		.machine = "aarch64",
		.release = "6.1.0",
		.socket = "/run/s",
		.kvm_gid = getgid(),
		.ops = &ops,
		.userdata = fake,
	};
	fake_run(
		fake,
		"cd %s && mkdir -p dev proc/sys/kernel/yama sys/kernel/mm/transparent_hugepage "
		"sys/kernel/mm/hugepages/hugepages-2048kB sys/kernel/mm/hugepages/hugepages-1048576kB");
	fake_run(fake, "cd %s && touch dev/kvm && chmod 0660 dev/kvm");
	fake_write(fake, THP, "always [madvise] never\n");
	fake_write(fake, SMALL, "512\n");
	fake_write(fake, LARGE, "0\n");
	*state = fake;
	return 0;
}

static int tear_down(void **state)
{
	fake_run(*state, "rm -r %s");
	free(*state);
	return 0;
}

/* Makes the check of that name, and checks its end; the advice must have that text in it. */
static void check(const struct fake *fake, const char *name, enum check_status status,
		  const char *found, const char *advice)
{
	struct check_result result;
	size_t i = 0;

	do {
		assert_true(i < doctor_count());
		doctor_check(&fake->doctor, i++, &result);
	} while (strcmp(result.name, name) != 0);
	assert_string_equal(check_status_to_string(result.status), check_status_to_string(status));
	if (!strstr(result.found, found))
		fail_msg("%s: found \"%s\"", name, result.found);
	if (advice ? !strstr(result.advice, advice) : *result.advice)
		fail_msg("%s: advice \"%s\"", name, result.advice);
}

static void test_healthy(void **state)
{
	const struct fake *fake = *state;

	for (size_t i = 0; i < doctor_count(); i++) {
		struct check_result result;

		doctor_check(&fake->doctor, i, &result);
		if (result.status != CHECK_OK || *result.advice || !*result.found)
			fail_msg("%s: %s: %s", result.name, result.found, result.advice);
	}
	check(fake, "FEAT_BBM", CHECK_OK, "level 2", NULL);
	check(fake, "huge pages", CHECK_OK, "madvise; reserved: 512 of 2 MiB, 0 of 1 GiB", NULL);
	check(fake, "ptrace", CHECK_OK, "Yama does not", NULL);
}

static void test_architecture(void **state)
{
	struct fake *fake = *state;

	fake->doctor.machine = "x86_64";
	fake->capability = 0;
	check(fake, "architecture", CHECK_FAILED, "x86_64", "--backend=sim");
	/* There, no kernel would do. */
	check(fake, "kernel", CHECK_SKIPPED, "6.1.0", NULL);
}

static void test_kvm(void **state)
{
	struct fake *fake = *state;

	fake_run(fake, "chmod 0600 %s/dev/kvm");
	check(fake, "/dev/kvm", CHECK_FAILED, "mode 0600", "chgrp kvm");
	fake_run(fake, "chmod 0666 %s/dev/kvm");
	fake->doctor.kvm_gid = (gid_t)-1;
	check(fake, "/dev/kvm", CHECK_OK, "may open it", NULL);
	fake_run(fake, "chmod 0660 %s/dev/kvm");
	check(fake, "/dev/kvm", CHECK_FAILED, "mode 0660", "chgrp kvm");
	fake->doctor.kvm_gid = getgid() + 1;
	check(fake, "/dev/kvm", CHECK_FAILED, "mode 0660", "chgrp kvm");
	fake_run(fake, "rm %s/dev/kvm");
	check(fake, "/dev/kvm", CHECK_FAILED, "No such file", "EL2");
}

static void test_capability(void **state)
{
	struct fake *fake = *state;

	fake->capability = 1;
	check(fake, "kernel", CHECK_OK, "6.1.0 has", NULL);
	check(fake, "FEAT_BBM", CHECK_OK, "not used", NULL);
	fake->capability = 0;
	check(fake, "kernel", CHECK_FAILED, "6.1.0 lacks", "make -C kernel debs");
	check(fake, "FEAT_BBM", CHECK_SKIPPED, "not known", NULL);
	fake->capability = -EACCES;
	check(fake, "kernel", CHECK_SKIPPED, "Permission denied", "as root");
	check(fake, "FEAT_BBM", CHECK_SKIPPED, "not known", NULL);
	fake->capability = -ENOENT;
	check(fake, "kernel", CHECK_SKIPPED, "No such file", NULL);
}

static void test_huge_pages(void **state)
{
	struct fake *fake = *state;

	fake_write(fake, THP, "always madvise [never]\n");
	check(fake, "huge pages", CHECK_OK, "never; reserved: 512", NULL);
	fake_write(fake, SMALL, "0\n");
	check(fake, "huge pages", CHECK_WARNING, "never; reserved: 0 of 2 MiB", "nothing to split");
	fake_write(fake, LARGE, "4\n");
	check(fake, "huge pages", CHECK_OK, "4 of 1 GiB", NULL);
	fake_run(fake, "rm -r %s/sys");
	check(fake, "huge pages", CHECK_WARNING, "not built in", "nothing to split");
}

static void test_ptrace(void **state)
{
	struct fake *fake = *state;

	fake_write(fake, YAMA, "2\n");
	check(fake, "ptrace", CHECK_OK, "= 2", NULL);
	fake_write(fake, YAMA, "3\n");
	check(fake, "ptrace", CHECK_FAILED, "= 3", "2 or less");
	fake_run(fake, "rm -r %s/proc");
	check(fake, "ptrace", CHECK_OK, "Yama does not", NULL);
	fake_run(fake, "mkdir -p %s/sys/fs/selinux/booleans");
	fake_write(fake, "/sys/fs/selinux/booleans/deny_ptrace", "0 1");
	check(fake, "ptrace", CHECK_OK, "Yama does not", NULL);
	fake_write(fake, "/sys/fs/selinux/booleans/deny_ptrace", "1 1");
	check(fake, "ptrace", CHECK_FAILED, "deny_ptrace is on", "setsebool");
}

static void test_service(void **state)
{
	struct fake *fake = *state;

	/* The socket alone will do: it starts the service. */
	fake->service = (struct unit_state){ "loaded", "inactive" };
	check(fake, "service", CHECK_OK, "service is inactive, eagersplitd.socket active", NULL);
	fake->socket = (struct unit_state){ "loaded", "inactive" };
	check(fake, "service", CHECK_FAILED, "inactive", "enable --now");
	fake->service = (struct unit_state){ "loaded", "failed" };
	check(fake, "service", CHECK_FAILED, "failed", "journalctl -u eagersplitd");
	fake->service = (struct unit_state){ "not-found", "inactive" };
	check(fake, "service", CHECK_FAILED, "not-found", "Install");
	fake->bus = -ENOENT;
	check(fake, "service", CHECK_SKIPPED, "no systemd", NULL);
}

static void test_metrics(void **state)
{
	struct fake *fake = *state;

	check(fake, "metrics", CHECK_OK, "eagersplitd-metrics.timer is inactive", NULL);
	fake->timer = (struct unit_state){ "loaded", "active" };
	check(fake, "metrics", CHECK_WARNING, "eagersplitd-metrics.timer is active",
	      "node_exporter");
	fake_run(fake, "mkdir -p %s/var/lib/prometheus/node-exporter");
	check(fake, "metrics", CHECK_OK, "eagersplitd-metrics.timer is active", NULL);
	fake->bus = -ENOENT;
	check(fake, "metrics", CHECK_SKIPPED, "no systemd", NULL);
}

static void test_socket_and_daemon(void **state)
{
	struct fake *fake = *state;

	snprintf(fake->daemon.version, sizeof(fake->daemon.version), "0.0");
	check(fake, "daemon", CHECK_WARNING, "version 0.0", "start the daemon anew");
	snprintf(fake->daemon.backend, sizeof(fake->daemon.backend), "sim");
	check(fake, "daemon", CHECK_WARNING, "sim", "simulated");
	strcpy(fake->daemon.not_kept, "No space left on device");
	check(fake, "daemon", CHECK_FAILED, "No space left on device", "df /run/eagersplitd");
	fake->daemon.supported = false;
	check(fake, "daemon", CHECK_FAILED, "sim", "cannot split");
	fake->answers = -ETIMEDOUT;
	check(fake, "socket", CHECK_OK, "/run/s answers", NULL);
	check(fake, "daemon", CHECK_FAILED, "does not answer", "It hangs");
	fake->connect = -ETIMEDOUT;
	check(fake, "socket", CHECK_FAILED, "timed out", "has room for");
	check(fake, "daemon", CHECK_FAILED, "does not answer", "It hangs");
	fake->connect = -ECONNREFUSED;
	check(fake, "socket", CHECK_FAILED, "/run/s: Connection refused",
	      "eagersplitd --socket=/run/s");
	check(fake, "daemon", CHECK_SKIPPED, "cannot be asked", NULL);
	fake->connect = -EACCES;
	check(fake, "socket", CHECK_FAILED, "Permission denied", "join the group");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_healthy),    TEST(test_architecture),	     TEST(test_kvm),
		TEST(test_capability), TEST(test_huge_pages),	     TEST(test_ptrace),
		TEST(test_service),    TEST(test_socket_and_daemon), TEST(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
