// SPDX-License-Identifier: GPL-2.0-or-later
/* What KVM sends, what others send, and what nobody should. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>

#include <cmocka.h>

#include "uevent-socket.h"
#include "uevent.h"
#include "util.h"

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
	assert_int_equal(PARSE(KVM "EVENT=destroy\0PID=1\0", &uevent), 1);
	assert_int_equal(uevent.type, UEVENT_VM_DESTROYED);
	assert_int_equal(PARSE(KVM "EVENT=dirty-log-start\0PID=2147483647\0", &uevent), 1);
	assert_int_equal(uevent.type, UEVENT_DIRTY_LOG_STARTED);
	assert_int_equal(uevent.tid, INT_MAX);
	assert_int_equal(PARSE(KVM "PID=12\0EVENT=dirty-log-stop\0", &uevent), 1);
	assert_int_equal(uevent.type, UEVENT_DIRTY_LOG_STOPPED);
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

static void on_received(void *userdata, const struct uevent *uevent)
{
	++*(unsigned int *)userdata;
}

static void on_lost(void *userdata)
{
	fail_msg("nothing can have been lost");
}

/* Whoever may send to the socket is not the kernel for that. */
static void test_sent_by_others(void **state)
{
	static const char forged[] = KVM "EVENT=create\0PID=1\0";
	static const struct uevent_socket_ops ops = { on_received, on_lost };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct uevent_socket *socket_under_test;
	unsigned int received = 0;
	sd_event *event;
	int fd, r;

	assert_int_equal(sd_event_new(&event), 0);
	r = uevent_socket_new(&socket_under_test, event, &ops, &received);
	if (r < 0) {
		sd_event_unref(event);
		print_message("# no uevents can be received here: %s\n", strerror(-r));
		skip();
	}
	to.nl_pid = uevent_socket_get_port(socket_under_test);
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	assert_true(fd >= 0);
	if (sendto(fd, forged, sizeof(forged) - 1, 0, (const struct sockaddr *)&to, sizeof(to)) <
	    0) {
		print_message("# nothing can be sent as a uevent here: %s\n", strerror(errno));
		skip();
	}
	assert_true(sd_event_run(event, UINT64_MAX) > 0);
	assert_int_equal(received, 0);
	close(fd);
	uevent_socket_free(socket_under_test);
	sd_event_unref(event);
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
	};

	return cmocka_run_group_tests_name("uevent", tests, NULL, NULL);
}
