// SPDX-License-Identifier: GPL-2.0-or-later
/* What is done with clients' descriptors: in order, by others, and whoever of these ends. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "service/strangers.h"

struct fixture {
	sd_event *event;
	struct strangers *strangers;
	int ours; /* a client's socket */
	int theirs;
	ssize_t result;
	int descriptor;
	unsigned int n_received;
};

/* Pipes are wanted. */
static bool is_wanted(int fd, void *userdata)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	assert_non_null(f);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(strangers_new(&f->strangers, f->event, is_wanted, f), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	f->ours = fds[0];
	f->theirs = fds[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->ours);
	close(f->theirs);
	strangers_free(f->strangers);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void on_received(void *userdata, ssize_t result, const void *bytes, int descriptor)
{
	struct fixture *f = userdata;

	f->n_received++;
	f->result = result;
	f->descriptor = descriptor;
	if (result == 5)
		assert_memory_equal(bytes, "hello", 5);
}

static void send_with(struct fixture *f, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control = {};
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	assert_int_equal(sendmsg(f->theirs, &message, 0), 5);
}

static void receive(struct fixture *f, size_t size)
{
	unsigned int n = f->n_received;

	assert_non_null(strangers_receive(f->strangers, 1000, f->ours, size, on_received, f));
	while (f->n_received == n)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

/* Until all copies of the other end are closed. */
static void assert_closed(int fd)
{
	char c;

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(read(fd, &c, 1), 0);
	close(fd);
}

static void test_received(void **state)
{
	struct fixture *f = *state;
	int pipes[2][2], file;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pipe(pipes[i]), 0);
	/* The only one, and wanted: it is ours as it is. */
	send_with(f, &pipes[0][1], 1);
	close(pipes[0][1]);
	receive(f, 100);
	assert_int_equal(f->result, 5);
	assert_true(f->descriptor >= 0);
	assert_int_equal(write(f->descriptor, "x", 1), 1);
	/* One too many. */
	send_with(f, (int[]){ pipes[1][1], f->descriptor }, 2);
	close(pipes[1][1]);
	close(f->descriptor);
	receive(f, 100);
	assert_int_equal(f->result, 5);
	assert_int_equal(f->descriptor, STRANGERS_UNWANTED);
	assert_closed(pipes[1][0]);
	assert_int_equal(read(pipes[0][0], &(char){ 0 }, 1), 1);
	assert_closed(pipes[0][0]);
	/* Not one of those. */
	file = open("/dev/null", O_RDONLY);
	send_with(f, &file, 1);
	close(file);
	receive(f, 3);
	assert_int_equal(f->result, 3);
	assert_int_equal(f->descriptor, STRANGERS_UNWANTED);
	receive(f, 100);
	assert_int_equal(f->result, 2);
	assert_int_equal(f->descriptor, -1);
	receive(f, 100);
	assert_int_equal(f->result, -EAGAIN);
	shutdown(f->theirs, SHUT_WR);
	receive(f, 100);
	assert_int_equal(f->result, 0);
}

/* In the order in which that was asked for, of one user. */
static void test_closed(void **state)
{
	struct fixture *f = *state;
	int pipes[3][2];

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pipe(pipes[i]), 0);
	send_with(f, &pipes[0][1], 1);
	close(pipes[0][1]);
	strangers_forget(strangers_receive(f->strangers, 1000, f->ours, 100, on_received, f));
	strangers_close(f->strangers, 1000, pipes[1][1]);
	strangers_close(f->strangers, 1001, pipes[2][1]);
	assert_true(strangers_have_room(f->strangers));
	for (size_t i = 0; i < 3; i++)
		while (fcntl(pipes[i][0], F_SETFL, O_NONBLOCK),
		       read(pipes[i][0], &(char){ 0 }, 1) != 0)
			assert_true(sd_event_run(f->event, 10000) >= 0);
	assert_int_equal(f->n_received, 0);
	for (size_t i = 0; i < 3; i++)
		close(pipes[i][0]);
}

/* The child that closes and receives. */
static pid_t find_child(void)
{
	char path[64], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return atoi(text);
}

/* Where it is killed, another one goes on, and whom it received for is told. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	pid_t child = find_child();

	assert_int_equal(kill(child, SIGSTOP), 0);
	assert_non_null(strangers_receive(f->strangers, 1000, f->ours, 100, on_received, f));
	assert_int_equal(kill(child, SIGKILL), 0);
	while (!f->n_received)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	assert_int_equal(f->result, -ECONNRESET);
	assert_true(find_child() != child);
	receive(f, 100);
	assert_int_equal(f->result, -EAGAIN);
}

/* Nobody takes the place of one that was left behind in the end. */
static void test_left_behind(void **state)
{
	struct fixture *f = *state;
	pid_t child = find_child();
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(kill(child, SIGSTOP), 0);
	strangers_close(f->strangers, 1000, fds[1]);
	f->strangers = strangers_free(f->strangers);
	assert_null(f->strangers);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)child, &(siginfo_t){}, WEXITED | WNOWAIT), 0);
	while (sd_event_run(f->event, 0) > 0)
		;
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_received, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_behind, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
