// SPDX-License-Identifier: GPL-2.0-or-later
/* What the service manager is told, and when it does not listen. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "service/notify.h"
#include "unit/scratch.h"

static char dir[] = SCRATCH_TEMPLATE;

/* The socket of a service manager, who is the only one to have @filler's messages. */
struct fixture {
	struct sockaddr_un address;
	int fd;
	sd_event *event;
	struct notify *notify;
};

static void listen_at(struct fixture *f)
{
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(f->fd >= 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_non_null(mkdtemp(strcpy(dir, SCRATCH_TEMPLATE)));
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/notify", dir);
	listen_at(f);
	assert_int_equal(setenv("NOTIFY_SOCKET", f->address.sun_path, 1), 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(notify_new(&f->notify, f->event), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	notify_free(f->notify);
	sd_event_unref(f->event);
	closep(&f->fd);
	unsetenv("NOTIFY_SOCKET");
	scratch_remove(dir);
	free(f);
	return 0;
}

/* Until it takes no more, from whomever. */
static void fill(struct fixture *f)
{
	bool took;

	do {
		int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		assert_true(fd >= 0);
		took = false;
		while (sendto(fd, "FULL", 4, 0, (struct sockaddr *)&f->address,
			      sizeof(f->address)) == 4)
			took = true;
		assert_int_equal(errno, EAGAIN);
		close(fd);
	} while (took);
}

/* The next message that is not of fill(), with "+" for a descriptor that came along; NULL: none. */
static const char *receive(struct fixture *f)
{
	static char text[256];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { text, sizeof(text) - 2 };
	ssize_t n;

	do {
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};

		n = recvmsg(f->fd, &message, MSG_CMSG_CLOEXEC);
		if (n < 0)
			return NULL;
		text[n] = '\0';
		if (CMSG_FIRSTHDR(&message)) {
			int fd;

			memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
			close(fd);
			strcat(text, "+");
		}
	} while (strcmp(text, "FULL") == 0);
	return text;
}

/* The next one, once the loop has sent it. */
static const char *run_until_received(struct fixture *f)
{
	const char *text;

	while (!(text = receive(f)))
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	return text;
}

static void test_told_at_once(void **state)
{
	struct fixture *f = *state;

	notify_say(f->notify, NOTIFY_READY, "READY=%d", 1);
	assert_string_equal(receive(f), "READY=1");
	notify_keep(f->notify, "vm-1", f->fd);
	assert_string_equal(receive(f), "FDSTORE=1\nFDNAME=vm-1+");
	notify_forget(f->notify, "vm-1");
	assert_string_equal(receive(f), "FDSTOREREMOVE=1\nFDNAME=vm-1");
	assert_null(receive(f));
}

/* Of what it has not taken, the last that says the same is what it gets. */
static void test_full(void **state)
{
	struct fixture *f = *state;

	fill(f);
	notify_say(f->notify, NOTIFY_READY, "READY=1");
	for (int i = 0; i < 1000; i++) {
		notify_say(f->notify, NOTIFY_STATUS, "STATUS=%d", i);
		notify_say(f->notify, NOTIFY_WATCHDOG, "WATCHDOG=1");
		notify_say(f->notify, NOTIFY_RELOADING, "RELOADING=%d", i);
		notify_say(f->notify, NOTIFY_READY, "READY=1");
	}
	assert_string_equal(run_until_received(f), "RELOADING=999");
	assert_string_equal(run_until_received(f), "READY=1");
	assert_string_equal(run_until_received(f), "STATUS=999");
	assert_string_equal(run_until_received(f), "WATCHDOG=1");
	assert_null(receive(f));
	/* Nothing is left that would have the loop turn. */
	assert_int_equal(sd_event_run(f->event, 0), 0);
}

/* Nor does it get what was not to be kept any more before it was told of it. */
static void test_kept_while_full(void **state)
{
	struct fixture *f = *state;

	notify_keep(f->notify, "vm-1", f->fd);
	assert_non_null(receive(f));
	fill(f);
	for (int i = 0; i < 1000; i++) {
		notify_forget(f->notify, "vm-1");
		notify_keep(f->notify, "vm-1", f->fd);
		notify_keep(f->notify, "vm-2", f->fd);
		notify_forget(f->notify, "vm-2");
	}
	assert_string_equal(run_until_received(f), "FDSTOREREMOVE=1\nFDNAME=vm-1");
	assert_string_equal(run_until_received(f), "FDSTORE=1\nFDNAME=vm-1+");
	assert_null(receive(f));
	assert_int_equal(sd_event_run(f->event, 0), 0);
}

/* What waits at the end is told if that can be. */
static void test_last_words(void **state)
{
	struct fixture *f = *state;

	for (int full = 0; full < 2; full++) {
		fill(f);
		notify_keep(f->notify, "vm-1", f->fd);
		if (!full)
			while (recv(f->fd, &(char){ 0 }, 1, 0) >= 0)
				;
		f->notify = notify_free(f->notify);
		if (!full)
			assert_string_equal(receive(f), "FDSTORE=1\nFDNAME=vm-1+");
		assert_null(receive(f));
		assert_int_equal(notify_new(&f->notify, f->event), 0);
	}
}

/* One that was replaced, and one that is gone. */
static void test_another_socket(void **state)
{
	struct fixture *f = *state;

	notify_say(f->notify, NOTIFY_READY, "READY=1");
	assert_non_null(receive(f));
	for (int i = 0; i < 2; i++) {
		close(f->fd);
		assert_int_equal(unlink(f->address.sun_path), 0);
		/* Nobody is there. */
		notify_say(f->notify, NOTIFY_STATUS, "STATUS=lost");
		assert_int_equal(sd_event_run(f->event, 0), 0);
		listen_at(f);
		notify_say(f->notify, NOTIFY_STATUS, "STATUS=there");
		assert_string_equal(receive(f), "STATUS=there");
		/* The second time while something waits. */
		fill(f);
		notify_say(f->notify, NOTIFY_STATUS, "STATUS=lost");
	}
}

/* That the loop turns is told by the loop: nothing else does it while that stands still. */
static void test_watchdog(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(notify_set_watchdog(f->notify), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "20000", 1), 0);
	assert_int_equal(notify_set_watchdog(f->notify), 1);
	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
	for (int i = 0; i < 3; i++)
		assert_string_equal(run_until_received(f), "WATCHDOG=1");
	usleep(100000);
	assert_null(receive(f));
	/* What waits is one, however long it has. */
	fill(f);
	for (int i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	assert_string_equal(run_until_received(f), "WATCHDOG=1");
	assert_null(receive(f));
}

static void test_nobody(void **state)
{
	static const char *const names[] = { NULL, "", "relative", "/", "/nowhere/notify" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(notify_freep) struct notify *n = NULL;

		if (names[i])
			assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
		else
			assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
		assert_int_equal(notify_new(&n, f->event), 0);
		notify_say(n, NOTIFY_READY, "READY=1");
		notify_keep(n, "vm-1", f->fd);
		notify_forget(n, "vm-1");
		assert_int_equal(sd_event_run(f->event, 0), 0);
	}
}

static void test_abstract(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fixture *f = *state;
	socklen_t size = sizeof(sa_family_t);
	char name[sizeof(address.sun_path) + 1];
	struct notify *n;

	/* The kernel chooses one. */
	close(f->fd);
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&address, size), 0);
	size = sizeof(address);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&address, &size), 0);
	snprintf(name, sizeof(name), "@%.*s",
		 (int)(size - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	assert_int_equal(notify_new(&n, f->event), 0);
	notify_say(n, NOTIFY_READY, "READY=1");
	assert_string_equal(receive(f), "READY=1");
	notify_free(n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_told_at_once), TEST(test_full),	    TEST(test_kept_while_full),
		TEST(test_last_words),	 TEST(test_another_socket), TEST(test_watchdog),
		TEST(test_nobody),	 TEST(test_abstract),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
