// SPDX-License-Identifier: GPL-2.0-or-later
/* What Register answers where the host, or the table, has no VM for it. */
#include "unit/told-host.h"

#include "control/control.h"
#include "local-socket.h"
#include "manager/manager-private.h"

struct client {
	struct control *control;
	int fd;
};

static struct client connect_to(struct fixture *f)
{
	struct local_socket socket;
	struct client client;

	start_on(f, SIM_QUICK, wrap_told);
	begin(f);
	assert_int_equal(control_new(&client.control, f->event, f->manager,
				     local_socket_listen(&socket, 1)),
			 0);
	client.fd = local_socket_connect(&socket);
	assert_true(client.fd >= 0);
	return client;
}

static void disconnect(struct fixture *f, struct client *client)
{
	close(client->fd);
	control_free(client->control);
	stop(f);
}

/* What there is to read once Register of that process has been answered. */
static const char *register_over(struct fixture *f, struct client *client, pid_t pid)
{
	static char text[4096];
	ssize_t n;

	n = snprintf(text, sizeof(text),
		     "{\"method\":\"org.eagersplit.Manager.Register\",\"parameters\":{\"pid\":%d}}",
		     (int)pid);
	assert_int_equal(send(client->fd, text, (size_t)n + 1, 0), n + 1);
	while ((n = recv(client->fd, text, sizeof(text) - 1, MSG_DONTWAIT)) < 0)
		run_once(f);
	text[n] = '\0';
	return text;
}

/* Each answer says whose fault it is; and the next call is answered as ever. */
static void test_refused(void **state)
{
	static const struct {
		int error;
		const char *name, *reason;
	} cases[] = {
		{ EPERM, "Manager.Unsupported", "may not look into that process" },
		{ EACCES, "Manager.Unsupported", "may not look into that process" },
		{ ENOTTY, "Manager.NotAVmm", NULL },
		{ ESRCH, "Manager.NoSuchProcess", NULL },
		{ ENODEV, "Manager.NoSuchProcess", NULL },
		{ EMFILE, "Manager.TryAgain", "Too many open files" },
		{ EBUSY, "Manager.TryAgain", "busy" },
		{ ETIMEDOUT, "Manager.TryAgain", "timed out" },
	};
	struct fixture f;
	struct client client = connect_to(&f);
	pid_t pid = make_vmm(&f);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *answer;

		told.refuses = cases[i].error;
		answer = register_over(&f, &client, pid);
		assert_non_null(strstr(answer, "\"error\""));
		assert_non_null(strstr(answer, cases[i].name));
		if (cases[i].reason)
			assert_non_null(strstr(answer, cases[i].reason));
		assert_null(manager_next_vm(f.manager, NULL));
	}
	told.refuses = 0;
	assert_non_null(strstr(register_over(&f, &client, pid), "\"blocks\":4096"));
	disconnect(&f, &client);
}

/*
 * A table that is full refuses who registers, leaves out who is found, and takes him once there is
 * room: nobody has to say so again of one that is there.
 */
static void test_full(void **state)
{
	struct fixture f;
	struct client client = connect_to(&f);
	pid_t first = make_vm(&f), other = make_vm(&f);
	unsigned int looks;

	told.event(told.userdata, HOST_VM_CREATED, first);
	run_until_found(&f, first);
	f.manager->n_vms = MANAGER_VMS_MAX;
	looks = told.in_thread;
	told.event(told.userdata, HOST_VM_CREATED, other);
	while (told.in_thread == looks)
		run_once(&f);
	assert_non_null(strstr(register_over(&f, &client, other), "as many VMs as there is room"));

	assert_int_equal(kill(first, SIGKILL), 0);
	run_until_found(&f, other);
	assert_int_equal(f.manager->n_vms, MANAGER_VMS_MAX);
	assert_non_null(strstr(register_over(&f, &client, other), "\"blocks\":512"));
	disconnect(&f, &client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("control-register", tests, setup, teardown);
}
