// SPDX-License-Identifier: GPL-2.0-or-later
/* What KVM sends, what others send, and what nobody should. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <linux/netlink.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/uevent.h"
#include "host/uevent-socket.h"

#define KVM "change@/devices/virtual/misc/kvm\0ACTION=change\0DEVPATH=/devices/virtual/misc/kvm\0"

/* A message in memory of exactly its size, so that a sanitizer sees a step beyond. */
static int parse(const char *text, size_t size, struct uevent *ret)
{
	_cleanup_free_ char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, text, size);
	*ret = (struct uevent){ .tid = -1 };
	return uevent_parse(copy, size, ret);
}

#define PARSE(text, ret) parse(text, sizeof(text) - 1, ret)

static void test_what_kvm_sends(void **state)
{
	struct uevent uevent;

	assert_int_equal(PARSE(KVM "SUBSYSTEM=misc\0CREATED=1\0COUNT=1\0EVENT=create\0PID=4711\0"
				   "STATS_PATH=/sys/kernel/debug/kvm/4711-10\0MAJOR=10\0MINOR=232\0"
				   "DEVNAME=kvm\0SEQNUM=99\0",
			       &uevent),
			 1);
	assert_int_equal(uevent.type, UEVENT_VM_CREATED);
	assert_int_equal(uevent.tid, 4711);
	assert_int_equal(PARSE(KVM "PID=2147483647\0EVENT=destroy\0", &uevent), 1);
	assert_int_equal(uevent.type, UEVENT_VM_DESTROYED);
	assert_int_equal(uevent.tid, INT_MAX);
}

static void test_what_is_about_something_else(void **state)
{
	struct uevent uevent;

	assert_int_equal(PARSE("add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0", &uevent), 0);
	assert_int_equal(PARSE("add@/devices/virtual/misc/kvm\0ACTION=add\0"
			       "DEVPATH=/devices/virtual/misc/kvm\0EVENT=create\0PID=1\0",
			       &uevent),
			 0);
	assert_int_equal(PARSE("change@/devices/y\0ACTION=change\0DEVPATH=/devices/y\0"
			       "EVENT=create\0PID=1\0",
			       &uevent),
			 0);
	assert_int_equal(PARSE(KVM "SYNTH_UUID=0\0", &uevent), 0);
	assert_int_equal(PARSE(KVM "SYNTH_ARG_EVENT=create\0SYNTH_ARG_PID=1\0", &uevent), 0);
	assert_int_equal(PARSE(KVM "EVENT=snapshot\0PID=1\0", &uevent), 0);
	assert_int_equal(PARSE(KVM, &uevent), 0);
}

static void test_what_is_malformed(void **state)
{
	struct uevent uevent;

	assert_int_equal(PARSE("", &uevent), -EBADMSG);
	assert_int_equal(PARSE("\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE("libudev\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE("change@/x", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=1", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0\0PID=1\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0EVENT=destroy\0PID=1\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=1\0PID=2\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=0\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=-1\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=2147483648\0", &uevent), -EBADMSG);
	assert_int_equal(PARSE(KVM "EVENT=create\0PID=1 \0", &uevent), -EBADMSG);
}

static void test_too_long(void **state)
{
	_cleanup_free_ char *text = malloc(UEVENT_MESSAGE_MAX + 1);
	struct uevent uevent;

	assert_non_null(text);
	memset(text, 'x', UEVENT_MESSAGE_MAX + 1);
	memcpy(text, "a@b\0K=", 6);
	text[UEVENT_MESSAGE_MAX - 1] = '\0';
	assert_int_equal(parse(text, UEVENT_MESSAGE_MAX, &uevent), 0);
	text[UEVENT_MESSAGE_MAX - 1] = 'x';
	text[UEVENT_MESSAGE_MAX] = '\0';
	assert_int_equal(parse(text, UEVENT_MESSAGE_MAX + 1, &uevent), -EBADMSG);
}

/* Every prefix of a message, and every byte of it changed: no step beyond its end. */
static void test_cut_and_changed(void **state)
{
	static const char whole[] = KVM "SUBSYSTEM=misc\0EVENT=create\0PID=4711\0";
	struct uevent uevent;

	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_true(parse(whole, n, &uevent) <= 0);
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		char copy[sizeof(whole)];

		memcpy(copy, whole, sizeof(whole));
		copy[i] = copy[i] ? '\0' : 'x';
		assert_true(parse(copy, sizeof(whole) - 1, &uevent) <= 1);
	}
}

/* What a socket has told. */
struct heard {
	struct uevent_socket *socket;
	sd_event *event;
	struct uevent uevents[8];
	size_t n;
	unsigned int lost;
};

static void on_received(void *userdata, const struct uevent *uevent)
{
	struct heard *heard = userdata;

	/* Others may be creating VMs at this moment. */
	if (uevent->tid == (pid_t)syscall(SYS_gettid) && heard->n < ARRAY_SIZE(heard->uevents))
		heard->uevents[heard->n++] = *uevent;
}

static void on_lost(void *userdata)
{
	((struct heard *)userdata)->lost++;
}

static const struct uevent_socket_ops heard_ops = { on_received, on_lost };

static void listen_or_skip(struct heard *heard)
{
	int r;

	*heard = (struct heard){};
	assert_int_equal(sd_event_new(&heard->event), 0);
	r = uevent_socket_new(&heard->socket, heard->event, &heard_ops, heard);
	if (r < 0) {
		sd_event_unref(heard->event);
		print_message("# no uevents can be received here: %s\n", strerror(-r));
		skip();
	}
}

static void stop_listening(struct heard *heard)
{
	uevent_socket_free(heard->socket);
	sd_event_unref(heard->event);
}

/* Whoever may send to the socket is not the kernel for that. */
static void test_sent_by_others(void **state)
{
	static const char forged[] = KVM "EVENT=create\0PID=";
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	char message[256];
	struct heard heard;
	ssize_t sent;
	size_t n;
	int fd;

	listen_or_skip(&heard);
	memcpy(message, forged, sizeof(forged));
	n = sizeof(forged) +
	    (size_t)sprintf(message + sizeof(forged) - 1, "%d", (int)syscall(SYS_gettid));
	to.nl_pid = uevent_socket_get_port(heard.socket);
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	assert_true(fd >= 0);
	sent = sendto(fd, message, n, 0, (const struct sockaddr *)&to, sizeof(to));
	close(fd);
	if (sent < 0) {
		stop_listening(&heard);
		print_message("# nothing can be sent as a uevent here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(sent, n);
	assert_true(sd_event_run(heard.event, UINT64_MAX) > 0);
	assert_int_equal(heard.n, 0);
	stop_listening(&heard);
}

/* KVM tells ids as they are in the first namespace of process ids, whose inode has this number. */
static bool has_other_ids(void)
{
	char text[64] = "";

	return readlink("/proc/self/ns/pid", text, sizeof(text) - 1) < 0 ||
	       strcmp(text, "pid:[4026531836]") != 0;
}

/* The kernel's own. */
static void test_kvm_itself(void **state)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
	struct heard heard;
	bool received = false;

	listen_or_skip(&heard);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0UL);
	if (vm < 0 || has_other_ids()) {
		closep(&vm);
		closep(&kvm);
		stop_listening(&heard);
		print_message("# no VM can be created here (/dev/kvm), or ids are others\n");
		skip();
	}
	while (!heard.n && sd_event_run(heard.event, 5 * USEC_PER_SEC) > 0)
		received = true;
	if (!received) {
		close(vm);
		close(kvm);
		stop_listening(&heard);
		print_message("# the kernel sends this network namespace no uevents\n");
		skip();
	}
	assert_true(heard.n > 0 || heard.lost);
	close(vm);
	while (heard.n < 2 && !heard.lost)
		assert_true(sd_event_run(heard.event, UINT64_MAX) > 0);
	close(kvm);
	stop_listening(&heard);
	/* As test_overrun() of another run does just then. */
	if (heard.lost) {
		print_message("# somebody has the kernel send more than there is room for\n");
		skip();
	}
	assert_int_equal(heard.uevents[0].type, UEVENT_VM_CREATED);
	assert_int_equal(heard.uevents[1].type, UEVENT_VM_DESTROYED);
}

/* More than fit into the socket: that is told, and receiving goes on. */
static void test_overrun(void **state)
{
	int fd = open("/sys/class/mem/null/uevent", O_WRONLY | O_CLOEXEC);
	struct heard heard;

	listen_or_skip(&heard);
	if (fd < 0 || write(fd, "change", strlen("change")) < 0) {
		stop_listening(&heard);
		print_message("# no uevents can be caused here: %s\n", strerror(errno));
		skip();
	}
	if (sd_event_run(heard.event, 5 * USEC_PER_SEC) <= 0) {
		stop_listening(&heard);
		print_message("# the kernel sends this network namespace no uevents\n");
		skip();
	}
	/* With what the kernel needs beside it each takes 768 bytes at least, of 2 MiB at most. */
	for (int i = 0; i < 4000; i++)
		assert_true(write(fd, "change", strlen("change")) > 0);
	while (!heard.lost)
		assert_true(sd_event_run(heard.event, UINT64_MAX) > 0);
	assert_true(write(fd, "change", strlen("change")) > 0);
	assert_true(sd_event_run(heard.event, UINT64_MAX) > 0);
	close(fd);
	stop_listening(&heard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_kvm_sends),
		cmocka_unit_test(test_what_is_about_something_else),
		cmocka_unit_test(test_what_is_malformed),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_cut_and_changed),
		cmocka_unit_test(test_sent_by_others),
		cmocka_unit_test(test_kvm_itself),
		cmocka_unit_test(test_overrun),
	};

	return cmocka_run_group_tests_name("uevent", tests, NULL, NULL);
}
