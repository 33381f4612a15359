// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <linux/kvm_eager_split.h>

#include "base/util.h"

#define KVM_DEVICE "/dev/kvm"

static void _printf_(3, 4)
	found(struct check_result *result, enum check_status status, const char *format, ...)
{
	va_list ap;

	result->status = status;
	va_start(ap, format);
	vsnprintf(result->found, sizeof(result->found), format, ap);
	va_end(ap);
}

static void _printf_(2, 3) advise(struct check_result *result, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(result->advice, sizeof(result->advice), format, ap);
	va_end(ap);
}

/* The path below the root. Returns buf. */
static const char *below_root(const struct doctor *d, char *buf, size_t size, const char *path)
{
	snprintf(buf, size, "%s%s", d->root, path);
	return buf;
}

/* The first line of a file. Returns 0 or a negative errno. */
static int read_line(const struct doctor *d, const char *path, char *line, size_t size)
{
	char full[512];
	FILE *f = fopen(below_root(d, full, sizeof(full), path), "re");

	if (!f)
		return -errno;
	if (!fgets(line, (int)size, f))
		*line = '\0';
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

static bool is_arm64(const struct doctor *d)
{
	return strcmp(d->machine, "aarch64") == 0;
}

static void check_architecture(const struct doctor *d, struct check_result *result)
{
	if (is_arm64(d)) {
		found(result, CHECK_OK, "%s", d->machine);
		return;
	}
	found(result, CHECK_FAILED, "%s", d->machine);
	advise(result,
	       "Stage-2 blocks are split on arm64 alone. To try eagersplitd here, run it by "
	       "hand, in a folder of its own, with \"--backend=sim "
	       "--socket=FOLDER/control.sock\".");
}

static void check_kvm(const struct doctor *d, struct check_result *result)
{
	char path[512];
	struct stat st;

	if (stat(below_root(d, path, sizeof(path), KVM_DEVICE), &st) < 0) {
		found(result, CHECK_FAILED, "%s", strerror(errno));
		advise(result, "The host must boot Linux at EL2, with CONFIG_KVM: \"dmesg | grep "
			       "kvm\" says why there is no KVM.");
		return;
	}
	if ((st.st_mode & 0006) == 0006 ||
	    ((st.st_mode & 0060) == 0060 && d->kvm_gid != (gid_t)-1 && st.st_gid == d->kvm_gid)) {
		found(result, CHECK_OK, "there, and eagersplitd may open it");
		return;
	}
	found(result, CHECK_FAILED, "mode %04o, group %u: eagersplitd may not open it",
	      st.st_mode & 07777, st.st_gid);
	advise(result,
	       "The daemon is in the group kvm: \"chgrp kvm " KVM_DEVICE "; chmod 0660 " KVM_DEVICE
	       "\", or the udev rules of systemd (50-udev-default.rules), which do so.");
}

static void check_capability(const struct doctor *d, struct check_result *result)
{
	char path[512];
	int mask =
		d->ops->check_extension(d->userdata, below_root(d, path, sizeof(path), KVM_DEVICE));

	if (mask < 0) {
		found(result, CHECK_SKIPPED, "Linux %s: " KVM_DEVICE ": %s", d->release,
		      strerror(-mask));
		if (mask == -EACCES || mask == -EPERM)
			advise(result, "Run it again as root, or as a member of the group kvm.");
	} else if (mask & KVM_ARM_EAGER_SPLIT_FD) {
		found(result, CHECK_OK, "Linux %s has KVM_CAP_ARM_EAGER_SPLIT", d->release);
	} else if (!is_arm64(d)) {
		found(result, CHECK_SKIPPED, "Linux %s, not of arm64", d->release);
	} else {
		found(result, CHECK_FAILED, "Linux %s lacks KVM_CAP_ARM_EAGER_SPLIT", d->release);
		advise(result,
		       "Build a kernel with the eager-split patches, \"make -C kernel debs\" "
		       "in the source of eagersplitd, install and boot it.");
	}
}

static void check_bbm(const struct doctor *d, struct check_result *result)
{
	char path[512];
	int mask =
		d->ops->check_extension(d->userdata, below_root(d, path, sizeof(path), KVM_DEVICE));

	if (mask < 0 || !(mask & KVM_ARM_EAGER_SPLIT_FD))
		found(result, CHECK_SKIPPED, "not known without KVM_CAP_ARM_EAGER_SPLIT");
	else if (mask & KVM_ARM_EAGER_SPLIT_NO_BREAK)
		found(result, CHECK_OK, "level 2: a split costs no TLBI, nothing is throttled");
	else
		found(result, CHECK_OK, "not used: a split costs a TLBI of the budget");
}

/* "always [madvise] never": what stands in brackets. */
static void take_bracketed(char *line)
{
	char *start = strchr(line, '['), *end = start ? strchr(start, ']') : NULL;

	if (!end)
		return;
	*end = '\0';
	memmove(line, start + 1, strlen(start + 1) + 1);
}

static void check_huge_pages(const struct doctor *d, struct check_result *result)
{
	char thp[64] = "", small[32] = "0", large[32] = "0";
	bool transparent;

	if (read_line(d, "/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp)) == 0)
		take_bracketed(thp);
	else
		snprintf(thp, sizeof(thp), "not built in");
	read_line(d, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", small,
		  sizeof(small));
	read_line(d, "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", large,
		  sizeof(large));
	transparent = strcmp(thp, "always") == 0 || strcmp(thp, "madvise") == 0;
	found(result, CHECK_OK, "transparent: %s; reserved: %s of 2 MiB, %s of 1 GiB", thp, small,
	      large);
	if (transparent || strcmp(small, "0") != 0 || strcmp(large, "0") != 0)
		return;
	result->status = CHECK_WARNING;
	advise(result, "Guests on 4 KiB pages are mapped by pages from the start: there is nothing "
		       "to split, and they run slower than they could.");
}

static void check_ptrace(const struct doctor *d, struct check_result *result)
{
	char scope[16], denied[16];

	/* What holds, and what would after being committed. */
	if (read_line(d, "/sys/fs/selinux/booleans/deny_ptrace", denied, sizeof(denied)) == 0 &&
	    denied[0] == '1') {
		found(result, CHECK_FAILED, "SELinux denies it: deny_ptrace is on");
		advise(result, "A VM's descriptor is taken from its VMM as a debugger would: "
			       "setsebool -P deny_ptrace off");
		return;
	}
	if (read_line(d, "/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) < 0) {
		found(result, CHECK_OK, "Yama does not restrict it");
		return;
	}
	found(result, CHECK_OK, "kernel.yama.ptrace_scope = %s", scope);
	/* Documentation/admin-guide/LSM/Yama.rst: 3, "no attach", not even by CAP_SYS_PTRACE. */
	if (strcmp(scope, "3") != 0)
		return;
	result->status = CHECK_FAILED;
	advise(result,
	       "At 3 nobody may take a VM's descriptor from its VMM. Set it to 2 or less in "
	       "/etc/sysctl.d and boot: it cannot be lowered while the host runs.");
}

static void check_service(const struct doctor *d, struct check_result *result)
{
	struct unit_state service, socket;
	int r = d->ops->get_unit(d->userdata, "eagersplitd.service", &service);

	if (r == 0)
		r = d->ops->get_unit(d->userdata, "eagersplitd.socket", &socket);
	if (r < 0) {
		found(result, CHECK_SKIPPED, "no systemd to ask: %s", strerror(-r));
		return;
	}
	found(result, CHECK_OK, "eagersplitd.service is %s, eagersplitd.socket %s", service.active,
	      socket.active);
	if (strcmp(service.load, "loaded") != 0) {
		found(result, CHECK_FAILED, "eagersplitd.service: %s", service.load);
		advise(result, "Install eagersplitd, then: systemctl daemon-reload");
	} else if (strcmp(service.active, "failed") == 0) {
		result->status = CHECK_FAILED;
		advise(result, "\"journalctl -u eagersplitd\" says why; \"eagersplitd "
			       "--check-config\" checks the configuration.");
	} else if (strcmp(service.active, "active") != 0 && strcmp(socket.active, "active") != 0) {
		result->status = CHECK_FAILED;
		advise(result, "systemctl enable --now eagersplitd");
	}
}

#define COLLECTOR "/var/lib/prometheus/node-exporter"

/* Only where somebody wants them. */
static void check_metrics(const struct doctor *d, struct check_result *result)
{
	char path[PATH_MAX];
	struct unit_state timer;
	int r = d->ops->get_unit(d->userdata, "eagersplitd-metrics.timer", &timer);

	if (r < 0) {
		found(result, CHECK_SKIPPED, "no systemd to ask: %s", strerror(-r));
		return;
	}
	found(result, CHECK_OK, "eagersplitd-metrics.timer is %s", timer.active);
	snprintf(path, sizeof(path), "%s" COLLECTOR, d->root);
	if (strcmp(timer.active, "active") != 0 || access(path, F_OK) == 0)
		return;
	result->status = CHECK_WARNING;
	advise(result, "It writes nothing, as there is no " COLLECTOR ", where node_exporter's "
		       "textfile collector of Debian looks: install node_exporter, or have it "
		       "look elsewhere, and \"systemctl edit eagersplitd-metrics.service\".");
}

static void check_socket(const struct doctor *d, struct check_result *result)
{
	int r = d->ops->connect(d->userdata);

	if (r == 0) {
		found(result, CHECK_OK, "%s answers", d->socket);
		return;
	}
	found(result, CHECK_FAILED, "%s: %s", d->socket, strerror(-r));
	if (r == -EACCES || r == -EPERM)
		advise(result,
		       "Run it again as root, or join the group of the socket, \"adduser USER "
		       "eagersplitd\", and log in again.");
	else if (r == -ETIMEDOUT)
		advise(result, "As many wait there as the socket has room for: see \"daemon\".");
	else if (strcmp(d->socket, EAGERSPLITD_SOCKET) == 0)
		advise(result, "Nothing listens there: systemctl start eagersplitd.socket");
	else
		advise(result, "Nothing listens there: eagersplitd --socket=%s", d->socket);
}

static void check_daemon(const struct doctor *d, struct check_result *result)
{
	struct doctor_daemon daemon = { 0 };
	int r = d->ops->get_host(d->userdata, &daemon);

	if (r == -ETIMEDOUT) {
		found(result, CHECK_FAILED, "does not answer");
		advise(result, "It hangs, or the host has no time for it. \"systemctl status "
			       "eagersplitd\" says what it did last; \"systemctl restart "
			       "eagersplitd\" loses nothing.");
		return;
	}
	if (r < 0) {
		found(result, CHECK_SKIPPED, "cannot be asked");
		return;
	}
	found(result, CHECK_OK, "version %s, backend %s", daemon.version, daemon.backend);
	if (!daemon.supported) {
		result->status = CHECK_FAILED;
		advise(result,
		       "It says that it cannot split here: \"eagersplitctl host\", and what "
		       "failed above.");
	} else if (*daemon.not_kept) {
		found(result, CHECK_FAILED, "cannot keep what it knows for a restart: %s",
		      daemon.not_kept);
		advise(result,
		       "A crash would lose what was announced. \"df /run/eagersplitd\", and "
		       "\"mount\", show the folder's file system; it goes on by itself "
		       "once it can write there.");
	} else if (strcmp(daemon.backend, "sim") == 0) {
		result->status = CHECK_WARNING;
		advise(result,
		       "This is a simulated host: no guest is split. Set Backend=kvm and start "
		       "eagersplitd anew.");
	} else if (strcmp(daemon.version, PACKAGE_VERSION) != 0) {
		result->status = CHECK_WARNING;
		advise(result, "eagersplitctl is %s: start the daemon anew to have both the same.",
		       PACKAGE_VERSION);
	}
}

static const struct check {
	const char *name;
	void (*run)(const struct doctor *doctor, struct check_result *result);
} checks[] = {
	{ "architecture", check_architecture },
	{ "/dev/kvm", check_kvm },
	{ "kernel", check_capability },
	{ "FEAT_BBM", check_bbm },
	{ "huge pages", check_huge_pages },
	{ "ptrace", check_ptrace },
	{ "service", check_service },
	{ "metrics", check_metrics },
	{ "socket", check_socket },
	{ "daemon", check_daemon },
};

size_t doctor_count(void)
{
	return ARRAY_SIZE(checks);
}

void doctor_check(const struct doctor *doctor, size_t i, struct check_result *result)
{
	*result = (struct check_result){ .name = checks[i].name };
	checks[i].run(doctor, result);
}

const char *check_status_to_string(enum check_status status)
{
	static const char *const names[] = {
		[CHECK_OK] = "ok",
		[CHECK_WARNING] = "warning",
		[CHECK_FAILED] = "failed",
		[CHECK_SKIPPED] = "skipped",
	};

	return names[status];
}
