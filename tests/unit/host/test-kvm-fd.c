// SPDX-License-Identifier: GPL-2.0-or-later
/* Finding the VM of another process, which a child stands for. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <linux/kvm.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/anon-inode.h"
#include "host/kvm-fd.h"
#include "unit/child.h"

#define UID_NOBODY 65534

/**
 * struct child - a process that waits to be killed
 * @vm: number of its first VM's descriptor; -1: it has none
 */
struct child {
	pid_t pid;
	int pidfd;
	int vm;
};

/* The VMs that were told of: their numbers. */
struct kvm_vms {
	size_t n;
	int numbers[KVM_FD_MAX];
};

static int on_vm(void *userdata, int vm, int number)
{
	struct kvm_vms *vms = userdata;

	assert_true(anon_inode_is(vm, "kvm-vm"));
	assert_in_range(vms->n, 0, KVM_FD_MAX - 1);
	vms->numbers[vms->n++] = number;
	return 0;
}

static int list_vms(const struct child *child, struct kvm_vms *ret)
{
	ret->n = 0;
	return kvm_fd_list(child->pidfd, child->pid, on_vm, ret);
}

/* Opens so many, at least one, the first of them twice. -1: that is not possible. */
static int child_open_vms(unsigned int n)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	/* Not the first of the anonymous inodes there. */
	(void)!eventfd(0, 0);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0UL);
	if (vm < 0)
		return -1;
	(void)!dup(vm);
	while (--n)
		if (ioctl(kvm, KVM_CREATE_VM, 0UL) < 0)
			return -1;
	return vm;
}

/* Has all descriptors below @n open. False: as many are not allowed. */
static bool fill_descriptors(rlim_t n)
{
	struct rlimit limit;
	int fd = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	limit.rlim_cur = n + 64;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	while (fd >= 0 && (rlim_t)fd + 1 < n)
		fd = dup(STDERR_FILENO);
	return fd >= 0;
}

/*
 * With so many descriptors before that of the VM, and after it. Its number is -2 if
 * as many are not allowed.
 */
static struct child start_child_with(rlim_t before, unsigned int n_vms, rlim_t after)
{
	struct child child = { .vm = -1 };
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	child.pid = child_fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		int vm = -2;

		if (!before || fill_descriptors(before))
			vm = n_vms ? child_open_vms(n_vms) : -1;
		if (after && !fill_descriptors(after))
			vm = -2;
		(void)!write(fds[1], &vm, sizeof(vm));
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &child.vm, sizeof(child.vm)), sizeof(child.vm));
	close(fds[0]);
	child.pidfd = pidfd_open(child.pid, 0);
	assert_true(child.pidfd >= 0);
	return child;
}

static struct child start_child(bool with_vm)
{
	return start_child_with(0, with_vm ? 1 : 0, 0);
}

static void stop_child(const struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->pidfd);
}

static void test_process_without_a_vm(void **state)
{
	struct child child = start_child(false);
	struct kvm_vms vms;

	assert_int_equal(list_vms(&child, &vms), -ENOTTY);
	assert_int_equal(kvm_fd_get(child.pidfd, 0), -ENXIO);
	assert_int_equal(kvm_fd_get(child.pidfd, 1000), -ENXIO);
	stop_child(&child);
}

static void test_process_that_is_gone(void **state)
{
	struct child child = start_child(false);
	struct kvm_vms vms;

	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	assert_int_equal(list_vms(&child, &vms), -ESRCH);
	assert_int_equal(kvm_fd_get(child.pidfd, 0), -ESRCH);
	close(child.pidfd);
}

/* The pid is another's by now, one with a VM even: that is not taken. */
static void test_pid_reused(void **state)
{
	struct child gone = start_child(false), other = start_child(true);
	struct kvm_vms vms = {};

	kill(gone.pid, SIGKILL);
	waitpid(gone.pid, NULL, 0);
	assert_int_equal(kvm_fd_list(gone.pidfd, other.pid, on_vm, &vms), -ESRCH);
	close(gone.pidfd);
	stop_child(&other);
}

/* A VM that was fetched from its VMM is not one of ours. */
static void test_our_own(int vm)
{
	pid_t self = getpid();
	int pidfd = pidfd_open(self, 0), fd;
	struct kvm_vms vms = {};

	assert_true(pidfd >= 0);
	fd = kvm_fd_get(pidfd, vm);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(kvm_fd_list(pidfd, self, on_vm, &vms), -ENOTTY);
	close(pidfd);
}

static void test_process_with_a_vm(void **state)
{
	struct child child = start_child(true);
	struct kvm_vms vms;
	int fd;

	if (child.vm < 0) {
		stop_child(&child);
		print_message("# no VM can be created here (/dev/kvm)\n");
		skip();
	}
	/* Its duplicate is the same VM, and not a second one. */
	assert_int_equal(list_vms(&child, &vms), 0);
	assert_int_equal(vms.n, 1);
	assert_int_equal(vms.numbers[0], child.vm);
	fd = kvm_fd_get(child.pidfd, child.vm);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	test_our_own(fd);
	close(fd);
	assert_int_equal(kvm_fd_get(child.pidfd, child.vm - 1), -ENXIO);
	stop_child(&child);
}

static int on_first_vm(void *userdata, int vm, int number)
{
	(void)on_vm(userdata, vm, number);
	return 1;
}

static int fail_at_vm(void *userdata, int vm, int number)
{
	(void)on_vm(userdata, vm, number);
	return -EMFILE;
}

/* Whoever is told says when that is enough. */
static void test_one_is_enough(void **state)
{
	struct child child = start_child_with(0, 3, 0);
	struct kvm_vms vms = {};

	if (child.vm < 0) {
		stop_child(&child);
		print_message("# no VM can be created here (/dev/kvm)\n");
		skip();
	}
	assert_int_equal(kvm_fd_list(child.pidfd, child.pid, on_first_vm, &vms), 0);
	assert_int_equal(vms.n, 1);
	vms.n = 0;
	assert_int_equal(kvm_fd_list(child.pidfd, child.pid, fail_at_vm, &vms), -EMFILE);
	assert_int_equal(vms.n, 1);
	stop_child(&child);
}

/* Nor is there room for as many VMs as it likes: the first are listed. */
static void test_many_vms(void **state)
{
	struct child child = start_child_with(0, KVM_FD_MAX + 3, 0);
	struct kvm_vms vms;

	if (child.vm < 0) {
		stop_child(&child);
		print_message("# not so many VMs can be created here (/dev/kvm)\n");
		skip();
	}
	assert_int_equal(list_vms(&child, &vms), 0);
	assert_int_equal(vms.n, KVM_FD_MAX);
	assert_int_equal(vms.numbers[0], child.vm);
	for (size_t i = 1; i < vms.n; i++)
		assert_true(vms.numbers[i] > vms.numbers[i - 1]);
	stop_child(&child);
}

/* What kvm_fd_list() says, and logs, which is to fit into @text. */
static int list_and_read_log(const struct child *child, struct kvm_vms *vms, char *text,
			     size_t size)
{
	int log = memfd_create("log", MFD_CLOEXEC), before = dup(STDERR_FILENO), r;
	ssize_t n;

	assert_true(log >= 0 && before >= 0);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	r = list_vms(child, vms);
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	close(before);
	n = pread(log, text, size - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	close(log);
	return r;
}

/* A process can have as many as it likes, and we not as much time: the first are looked at. */
static void test_many_descriptors(void **state)
{
	struct child child = start_child_with(KVM_FD_LOOK_MAX, 1, 0);
	struct kvm_vms vms;
	char log[256];

	if (child.vm == -2) {
		stop_child(&child);
		print_message("# not so many descriptors are allowed here\n");
		skip();
	}
	assert_int_equal(list_and_read_log(&child, &vms, log, sizeof(log)), -ENOTTY);
	assert_non_null(strstr(log, "more than 16384 descriptors"));
	stop_child(&child);

	child = start_child_with(0, 1, KVM_FD_LOOK_MAX);
	assert_int_equal(list_and_read_log(&child, &vms, log, sizeof(log)),
			 child.vm < 0 ? -ENOTTY : 0);
	if (child.vm >= 0)
		assert_int_equal(vms.numbers[0], child.vm);
	assert_null(strstr(log, "descriptors"));
	stop_child(&child);
}

/* In a child of our own, as a user who may not look into the other. */
static void test_not_permitted(void **state)
{
	struct kvm_vms vms;
	struct child child;
	int status, r;
	pid_t pid;

	if (getuid() != 0) {
		print_message("# only root can become another user\n");
		skip();
	}
	child = start_child(true);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(UID_NOBODY) < 0 || setuid(UID_NOBODY) < 0)
			_exit(1);
		r = list_vms(&child, &vms);
		_exit(r == -EACCES || r == -EPERM ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stop_child(&child);
}

/* Told by the name alone, which none of these has. */
static void test_what_is_no_splitter(void **state)
{
	int fds[] = { eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC),
		      pidfd_open(getpid(), 0), memfd_create("kvm-splitter", MFD_CLOEXEC), -1 };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_false(anon_inode_is(fds[i], "kvm-splitter"));
		closep(&fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process_without_a_vm),
		cmocka_unit_test(test_process_that_is_gone),
		cmocka_unit_test(test_pid_reused),
		cmocka_unit_test(test_process_with_a_vm),
		cmocka_unit_test(test_what_is_no_splitter),
		cmocka_unit_test(test_one_is_enough),
		cmocka_unit_test(test_many_vms),
		cmocka_unit_test(test_many_descriptors),
		cmocka_unit_test(test_not_permitted),
	};

	return cmocka_run_group_tests_name("kvm-fd", tests, NULL, NULL);
}
