// SPDX-License-Identifier: GPL-2.0-or-later
/* The helper, as the daemon starts it, with VMs that are real where there is /dev/kvm. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/kvm.h>

#include <cmocka.h>

#include "base/transient.h"
#include "host/anon-inode.h"
#include "host/backend.h"
#include "host/fetch-server.h"
#include "host/fetcher.h"
#include "host/file-tables.h"
#include "unit/child.h"
#include "unit/scratch.h"

/* Nothing here takes as long, on the slowest machine: what is meant to hang does so when a test says so. */
#define TIMEOUT_MSEC 60000

static char dir[] = SCRATCH_TEMPLATE;
static char helper[4096];

/**
 * struct patience - how long the fetcher waits for its helpers
 * @replies: that it waits for as ever, before it hears nothing; -1: all of them
 * @greeted: a helper's first words, which are none of these, are waited for as ever, too
 * @over: then, once this is posted, its time is over
 * @msec: how long it would have waited, the last two times
 * @slow_at: the reply that takes longer than all may, 1: the next one; 0: none
 * @later: by how many seconds its clock is fast
 */
static struct {
	int replies;
	bool greeted;
	sem_t over;
	unsigned int msec[2];
	int slow_at;
	uint64_t later;
} patience = { .replies = -1 };

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = __real_clock_gettime(clock, ret);

	ret->tv_sec += (time_t)patience.later;
	return r;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	struct timeval limit;
	socklen_t size = sizeof(limit);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &size), 0);
	patience.msec[0] = patience.msec[1];
	patience.msec[1] = (unsigned int)(limit.tv_sec * 1000 + limit.tv_usec / 1000);
	if (patience.slow_at > 0 && --patience.slow_at == 0)
		patience.later += TIMEOUT_MSEC;
	if (patience.replies < 0 || (patience.greeted && patience.msec[1] > TIMEOUT_MSEC) ||
	    patience.replies-- > 0)
		return __real_recvmsg(fd, message, flags);
	while (sem_wait(&patience.over) < 0)
		assert_int_equal(errno, EINTR);
	errno = EAGAIN;
	return -1;
}

/* What comes behind so many replies hangs, until the end of the fetcher's patience. */
static void hang_after(int replies)
{
	patience.replies = replies;
	patience.greeted = true;
	assert_int_equal(sem_init(&patience.over, 0, 0), 0);
}

static void be_impatient(void)
{
	assert_int_equal(sem_post(&patience.over), 0);
}

/* One that a program that is executed has, too; where there is no KVM, what tests/kvm/ takes for one. */
static int create_vm(void)
{
	_cleanup_close_ int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm;

	if (getenv("FAKE_VMS"))
		return inotify_init1(0);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0UL);
	return vm < 0 || fcntl(vm, F_SETFD, 0) < 0 ? -1 : vm;
}

/* As many as it may have, of what is @fd. */
static void fill_with(int fd)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = min_u64(limit.rlim_max, 16000);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(fd) >= 0)
		;
}

/*
 * A child that has so many VMs, or none, and executes another program than this one, which stands for the
 * daemon; @full: and as many descriptors as it may have, of one of them. -1: there is no KVM.
 */
static pid_t start_vmm_with(int n_vms, bool full)
{
	char *const sleep[] = { (char *)"sleep", (char *)"infinity", NULL };
	int fds[2], vm = -1;
	char ok = 1;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = child_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < n_vms; i++) {
			vm = create_vm();
			ok = ok && vm >= 0;
		}
		(void)!write(fds[1], &ok, 1);
		if (full)
			fill_with(vm);
		execvp(sleep[0], sleep);
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &ok, 1), 1);
	/* Which it closes as it executes that. */
	assert_int_equal(read(fds[0], &(char){ 0 }, 1), 0);
	close(fds[0]);
	if (ok)
		return pid;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

static pid_t start_vmm(int n_vms)
{
	return start_vmm_with(n_vms, false);
}

static pid_t start_vmm_or_skip(int n_vms)
{
	pid_t pid = start_vmm(n_vms);

	if (pid < 0) {
		print_message("# no VM can be created here (/dev/kvm)\n");
		skip();
	}
	return pid;
}

static void end_vmm(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct fetcher *new_fetcher(const char *program)
{
	struct fetcher *f;

	assert_int_equal(fetcher_new(&f, NULL, program, TIMEOUT_MSEC), 0);
	return f;
}

/* Each of its VMs comes as a splitter, and nothing else of it. */
static void test_look(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = NULL;
	_cleanup_(fetched_done) struct fetched fetched = {};
	pid_t pid = start_vmm_or_skip(3);

	f = new_fetcher(helper);
	assert_int_equal(fetcher_look(f, pid, &fetched), 0);
	assert_int_equal(fetched.n, 3);
	for (size_t i = 0; i < fetched.n; i++)
		assert_true(anon_inode_is(fetched.splitters[i], "kvm-splitter"));
	assert_true(fetched.numbers[0] < fetched.numbers[1]);
	end_vmm(pid);
}

static void test_nothing_there(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(helper);
	struct fetched fetched;
	pid_t pid = start_vmm(0);

	assert_int_equal(fetcher_look(f, pid, &fetched), -ENOTTY);
	assert_int_equal(fetched.n, 0);
	end_vmm(pid);
	assert_int_equal(fetcher_look(f, pid, &fetched), -ESRCH);
	assert_int_equal(fetcher_look(f, -1, &fetched), -ESRCH);
}

static void test_name(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(helper);
	struct guest_names names;

	assert_int_equal(fetcher_names(f, getpid(), &names), -ENOENT);
	assert_int_equal(fetcher_names(f, 0, &names), -ESRCH);
}

struct search {
	pid_t pid;
	bool found;
};

static int search(void *userdata, pid_t pid)
{
	struct search *s = userdata;

	s->found = s->found || pid == s->pid;
	return 0;
}

static void test_scan(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = NULL;
	struct search wanted = { .pid = start_vmm_or_skip(1) }, other = {};

	other.pid = start_vmm(0);
	f = new_fetcher(helper);
	assert_int_equal(fetcher_scan(f, search, &wanted), 0);
	assert_true(wanted.found);
	assert_int_equal(fetcher_scan(f, search, &other), 0);
	assert_false(other.found);
	end_vmm(wanted.pid);
	end_vmm(other.pid);
}

/* A program that runs @script, in place of the helper. */
static const char *write_script(const char *script);

/* Then it is not known who has a VM, and the scan has not been one. */
static void test_scan_in_want(void **state)
{
	struct search wanted = { .pid = start_vmm_or_skip(1) };

	for (int fds = 4; fds < 6; fds++) {
		_cleanup_(fetcher_freep) struct fetcher *f = NULL;
		char script[64];

		snprintf(script, sizeof(script), "ulimit -n %d; exec \"$HELPER\"", fds);
		f = new_fetcher(write_script(script));
		assert_int_equal(fetcher_scan(f, search, &wanted), -EBUSY);
		assert_false(wanted.found);
	}
	end_vmm(wanted.pid);
}

/* A look that has some of the VMs is none, either: who wants to know of all has it made again. */
static void test_look_in_want(void **state)
{
	pid_t pid = start_vmm_or_skip(3);
	int complete = 0;

	for (int fds = 5; fds < 16; fds++) {
		_cleanup_(fetcher_freep) struct fetcher *f = NULL;
		_cleanup_(fetched_done) struct fetched fetched = {};
		char script[64];
		int r;

		snprintf(script, sizeof(script), "ulimit -n %d; exec \"$HELPER\"", fds);
		f = new_fetcher(write_script(script));
		r = fetcher_look(f, pid, &fetched);
		assert_true(r == 0 || error_is_transient(r));
		assert_int_equal(fetched.n, r == 0 ? 3 : 0);
		complete += r == 0;
	}
	assert_in_range(complete, 1, 10);
	end_vmm(pid);
}

/* The same, where it is the daemon that has no memory for the second one. */
static void test_backend_in_want(void **state)
{
	pid_t pid = start_vmm_or_skip(3);
	struct backend *backend;
	struct backend_vm *vms[BACKEND_VMS_MAX];
	int numbers[BACKEND_VMS_MAX];

	assert_int_equal(backend_kvm_new(&backend, helper), 0);
	setenv("FAKE_WANT", "2", 1);
	assert_int_equal(backend->ops->look(backend, pid, numbers, vms), -ENOMEM);
	unsetenv("FAKE_WANT");
	assert_int_equal(backend->ops->look(backend, pid, numbers, vms), 3);
	for (int i = 0; i < 3; i++)
		backend->ops->close_vm(vms[i]);
	backend_free(backend);
	end_vmm(pid);
}

/**
 * struct left - a helper that runs beside those that are started by the fetcher
 */
struct left {
	pid_t pid;
	int socket;
};

static struct left start_left(void)
{
	struct fetch_reply greeting;
	int fds[2];
	struct left left;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	left.socket = fds[0];
	left.pid = child_fork();
	assert_true(left.pid >= 0);
	if (left.pid == 0) {
		dup2(fds[1], STDIN_FILENO);
		execl(helper, helper, NULL);
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(recv(left.socket, &greeting, sizeof(greeting), 0), sizeof(greeting));
	return left;
}

static void end_left(const struct left *left)
{
	end_vmm(left->pid);
	close(left->socket);
}

/* How many VMs that process has open. */
static int count_vms(pid_t pid)
{
	char path[512], target[64];
	struct dirent *entry;
	ssize_t length;
	int n = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		length = readlink(path, target, sizeof(target));
		n += length == sizeof("anon_inode:kvm-vm") - 1 &&
		     memcmp(target, "anon_inode:kvm-vm", (size_t)length) == 0;
	}
	closedir(folder);
	return n;
}

/*
 * While it goes through all that a process has, which may hang, it has no VM open but the one that it has
 * just found, at the lowest number that is free, for a moment.
 */
static void test_no_vm_is_kept(void **state)
{
	static const enum fetch_kind kinds[] = { FETCH_LOOK, FETCH_SCAN };
	pid_t pid = start_vmm_or_skip(3);

	end_vmm(pid);
	pid = start_vmm_with(3, true);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct left left = start_left();
		struct fetch_request request = { .kind = kinds[i], .pid = pid };
		struct pollfd p = { .fd = left.socket, .events = POLLIN };
		struct fetch_reply reply;

		request.pid -= kinds[i] == FETCH_SCAN;
		assert_int_equal(send(left.socket, &request, sizeof(request), 0), sizeof(request));
		do {
			while (poll(&p, 1, 0) == 0)
				assert_in_range(count_vms(left.pid), 0, 1);
			assert_int_equal(recv(left.socket, &reply, sizeof(reply), 0),
					 sizeof(reply));
		} while (reply.more);
		end_left(&left);
	}
	end_vmm(pid);
}

/* A helper that hangs with a VM that it was to look at, and a daemon, are none that have one. */
static void test_one_of_us(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(helper);
	struct search vmm = { .pid = start_vmm_or_skip(1) }, left_behind = {}, daemon = {};
	struct left left;
	struct fetched fetched;
	int vm = create_vm();

	assert_true(vm >= 0);
	left = start_left();
	assert_int_equal(count_vms(left.pid), 1);
	daemon.pid = child_fork();
	assert_true(daemon.pid >= 0);
	if (daemon.pid == 0)
		for (;;)
			pause();
	left_behind.pid = left.pid;
	assert_int_equal(fetcher_scan(f, search, &vmm), 0);
	assert_true(vmm.found);
	assert_int_equal(fetcher_scan(f, search, &left_behind), 0);
	assert_false(left_behind.found);
	assert_int_equal(fetcher_look(f, left.pid, &fetched), -ENOTTY);
	assert_int_equal(fetcher_scan(f, search, &daemon), 0);
	assert_false(daemon.found);
	assert_int_equal(fetcher_look(f, daemon.pid, &fetched), -ENOTTY);
	close(vm);
	end_left(&left);
	end_vmm(daemon.pid);
	end_vmm(vmm.pid);
}

static const char *write_script(const char *script)
{
	static char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/helper", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nGREETING=%zu\n%s\n", sizeof(struct fetch_reply), script);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0700), 0);
	return path;
}

/* As the helper begins. */
#define GREET "head -c $GREETING /dev/zero >&0; "

/* One that says nothing is left behind, and a few of them are enough. */
static void test_hangs(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f =
		new_fetcher(write_script(GREET "exec sleep 1000"));
	struct fetched fetched;

	/* Each is killed, so that another takes its place once it has ended; until then, none does. */
	for (int i = 0; i < 4; i++) {
		int r;

		do {
			hang_after(0);
			be_impatient();
			r = fetcher_look(f, getpid(), &fetched);
		} while (r == -EBUSY);
		assert_int_equal(r, -ETIMEDOUT);
	}
}

/* Its start, which is nobody's doing, is waited for longer than a process may hold it up. */
static void test_starts_slowly(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(helper);
	struct fetched fetched;

	assert_int_equal(fetcher_look(f, getppid(), &fetched), -ENOTTY);
	assert_in_range(patience.msec[0], 5 * TIMEOUT_MSEC, 20 * TIMEOUT_MSEC);
	assert_int_equal(patience.msec[1], TIMEOUT_MSEC);
}

/* One that ends is replaced. */
static void test_ends(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(write_script("exit 0"));
	struct fetched fetched;

	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
	write_script("echo $$ >\"$0.pid\"; exec \"$HELPER\"");
	assert_int_equal(fetcher_look(f, getppid(), &fetched), -ENOTTY);
	/* And one that was killed while nobody needed it. */
	assert_int_equal(system("kill -KILL $(cat \"$FAKE_SPLITTERS/helper.pid\")"), 0);
	assert_int_equal(fetcher_look(f, getppid(), &fetched), -ENOTTY);
}

/* One that ends instead of an answer is none to be had: nothing is said of the process. */
static void test_ends_when_asked(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f =
		new_fetcher(write_script(GREET "head -c 8 >/dev/null"));
	struct search wanted = {};
	struct guest_names names;
	struct fetched fetched;

	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
	assert_int_equal(fetcher_names(f, getpid(), &names), -EBUSY);
	assert_int_equal(fetcher_scan(f, search, &wanted), -EBUSY);
}

/* What it says is not to be believed: no splitter, no reply at all, from the beginning. */
static void test_lies(void **state)
{
	static const char *const scripts[] = {
		GREET
		"exec 3>&0; head -c 8 >/dev/null; head -c $GREETING /dev/zero | tr '\\0' '\\1' >&3",
		GREET "head -c 8 >/dev/null; echo lie >&0",
		"echo lie >&0; exec sleep 1000",
	};
	struct fetched fetched;

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher(write_script(scripts[i]));

		assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
		assert_int_equal(fetched.n, 0);
	}
}

static void test_none(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = new_fetcher("/nonexistent");
	_cleanup_(fetcher_freep) struct fetcher *g = NULL;
	struct fetched fetched;

	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
	assert_int_equal(fetcher_new(&g, "/nonexistent", NULL, TIMEOUT_MSEC), 0);
	assert_int_equal(fetcher_look(g, getpid(), &fetched), -EBUSY);
}

/* The socket of a service manager, where the test is the helper; @ret: asks there. */
static int listen_for(struct fetcher **ret)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(fetcher_new(ret, address.sun_path, NULL, TIMEOUT_MSEC), 0);
	return fd;
}

/* Of one that starts no helper, as when there are too many. */
static void test_refused(void **state)
{
	_cleanup_(fetcher_freep) struct fetcher *f = NULL;
	_cleanup_close_ int fd = listen_for(&f);
	struct fetched fetched;

	/* Nobody accepts, so nobody answers; which is no process's doing. */
	hang_after(0);
	patience.greeted = false;
	be_impatient();
	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
	/* Nor does anybody listen any more. */
	close(take_fd(&fd));
	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
}

/**
 * struct helpers - two in a row, the first of which hangs
 * @fd: where they are started
 * @pid: what it hangs at, and what is gone by then
 * @sockets: they hang as long as these are open
 * @requests: what they are asked; @sizes: 0: nothing
 */
struct helpers {
	int fd;
	pid_t pid;
	int sockets[2];
	struct fetch_request requests[2];
	ssize_t sizes[2];
};

static void say(int socket, const struct fetch_reply *reply)
{
	(void)!send(socket, reply, sizeof(*reply), MSG_NOSIGNAL);
}

/* Until it is asked something, or is not to be. */
static int be_helper(struct helpers *h, size_t i)
{
	h->sockets[i] = accept(h->fd, NULL, NULL);
	say(h->sockets[i], &(struct fetch_reply){});
	h->sizes[i] = recv(h->sockets[i], &h->requests[i], sizeof(h->requests[i]), 0);
	return h->sockets[i];
}

static void *hang_in_a_look(void *userdata)
{
	struct helpers *h = userdata;

	(void)be_helper(h, 0);
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	be_impatient();
	(void)be_helper(h, 1);
	return NULL;
}

/* What else is that user's is left alone nevertheless. */
static void test_hangs_and_is_gone(void **state)
{
	struct helpers h = { .pid = start_vmm(0) };
	struct fetched fetched;
	struct fetcher *f;
	pthread_t thread;

	h.fd = listen_for(&f);
	hang_after(0);
	assert_int_equal(pthread_create(&thread, NULL, hang_in_a_look, &h), 0);
	assert_int_equal(fetcher_look(f, h.pid, &fetched), -ETIMEDOUT);
	assert_int_equal(fetcher_look(f, getpid(), &fetched), -EBUSY);
	fetcher_free(f);
	pthread_join(thread, NULL);
	assert_int_equal(h.sizes[0], sizeof(h.requests[0]));
	assert_int_equal(h.sizes[1], 0);
	for (size_t i = 0; i < ARRAY_SIZE(h.sockets); i++)
		close(h.sockets[i]);
	close(h.fd);
}

/* A user that there need not be. */
#define CULPRIT 54321

/* A process of his is about to be looked at. */
static void say_next(int socket, pid_t pid)
{
	say(socket, &(struct fetch_reply){
			    .more = true,
			    .result = -EINPROGRESS,
			    .number = pid,
			    .uid = CULPRIT,
		    });
}

static void *hang_in_a_scan(void *userdata)
{
	struct helpers *h = userdata;

	say_next(be_helper(h, 0), h->pid);
	be_impatient();
	say(be_helper(h, 1), &(struct fetch_reply){});
	return NULL;
}

/* Nor need a process be there for a scan to stay away from its user. */
static void test_hangs_in_a_scan_and_is_gone(void **state)
{
	struct helpers h = { .pid = start_vmm(0) };
	struct search wanted = {};
	struct fetcher *f;
	pthread_t thread;

	h.fd = listen_for(&f);
	end_vmm(h.pid);
	hang_after(1);
	assert_int_equal(pthread_create(&thread, NULL, hang_in_a_scan, &h), 0);
	assert_int_equal(fetcher_scan(f, search, &wanted), -EBUSY);
	fetcher_free(f);
	pthread_join(thread, NULL);
	assert_int_equal(h.sizes[1], sizeof(h.requests[1]));
	assert_int_equal(h.requests[1].pid, h.pid);
	/* For now, and because that helper hangs. */
	assert_int_equal(h.requests[1].n_avoid, 2);
	assert_int_equal(h.requests[1].avoid[0], CULPRIT);
	for (size_t i = 0; i < ARRAY_SIZE(h.sockets); i++)
		close(h.sockets[i]);
	close(h.fd);
}

static void *end_in_a_scan(void *userdata)
{
	struct helpers *h = userdata;

	say_next(be_helper(h, 0), h->pid);
	close(h->sockets[0]);
	say(be_helper(h, 1), &(struct fetch_reply){});
	return NULL;
}

static void *scan_slowly(void *userdata)
{
	struct helpers *h = userdata;

	say_next(be_helper(h, 0), h->pid);
	say_next(h->sockets[0], h->pid + 1);
	say(be_helper(h, 1), &(struct fetch_reply){});
	return NULL;
}

/* Nor who has the helper killed, or take its time over many, keeps a scan from others' processes. */
static void test_scan_goes_on(void **state)
{
	static void *(*const doings[])(void *) = { end_in_a_scan, scan_slowly };

	for (size_t i = 0; i < ARRAY_SIZE(doings); i++) {
		struct helpers h = { .pid = 4711 };
		struct search wanted = {};
		struct fetcher *f;
		pthread_t thread;

		patience.replies = -1;
		/* The helper's first words, what is looked at first, and then it takes its time. */
		patience.slow_at = i == 1 ? 3 : 0;
		h.fd = listen_for(&f);
		assert_int_equal(pthread_create(&thread, NULL, doings[i], &h), 0);
		assert_int_equal(fetcher_scan(f, search, &wanted), -EBUSY);
		fetcher_free(f);
		pthread_join(thread, NULL);
		assert_int_equal(h.sizes[1], sizeof(h.requests[1]));
		assert_int_equal(h.requests[1].pid, h.pid);
		assert_int_equal(h.requests[1].n_avoid, 1);
		assert_int_equal(h.requests[1].avoid[0], CULPRIT);
		close(h.sockets[1]);
		close(h.fd);
	}
}

bool __wrap_file_tables_add(struct file_tables *tables, pid_t pid, int64_t uid);

/* Whoever compares a process's table with others may come no further. */
bool __wrap_file_tables_add(struct file_tables *tables, pid_t pid, int64_t uid)
{
	_exit(1);
}

/* So what is about to be looked at is said before that, with its user. */
static void test_scan_announces(void **state)
{
	struct fetch_request request = { .kind = FETCH_SCAN };
	struct fetch_reply reply;
	int fds[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	request.pid = getpid() - 1;
	pid = child_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		_exit(fetch_serve(fds[1]) == 0 ? 0 : 1);
	}
	close(fds[1]);
	/* It is there. */
	assert_int_equal(recv(fds[0], &reply, sizeof(reply), 0), sizeof(reply));
	assert_int_equal(send(fds[0], &request, sizeof(request), 0), sizeof(request));
	assert_int_equal(recv(fds[0], &reply, sizeof(reply), 0), sizeof(reply));
	assert_true(reply.more);
	assert_int_equal(reply.result, -EINPROGRESS);
	assert_int_equal(reply.number, getpid());
	assert_int_equal(reply.uid, getuid());
	close(fds[0]);
	end_vmm(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_in_want),
		cmocka_unit_test(test_look_in_want),
		cmocka_unit_test(test_backend_in_want),
		cmocka_unit_test(test_no_vm_is_kept),
		cmocka_unit_test(test_one_of_us),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_starts_slowly),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ends_when_asked),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hangs_and_is_gone),
		cmocka_unit_test(test_hangs_in_a_scan_and_is_gone),
		cmocka_unit_test(test_scan_goes_on),
		cmocka_unit_test(test_scan_announces),
	};
	const char *build = getenv("BUILDDIR") ?: ".";
	char fake[4096 + 32], options[1024];
	int failed;

	snprintf(helper, sizeof(helper), "%s/eagersplitd-fetch", build);
	snprintf(fake, sizeof(fake), "%s/tests/kvm/fake-splitter.so", build);
	assert_non_null(mkdtemp(dir));
	setenv("HELPER", helper, 1);
	setenv("FAKE_SPLITTERS", dir, 1);
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		setenv("FAKE_VMS", "1", 1);
	/* For the helper; this program has no use for it but to know splitters by their name. */
	if (!getenv("LD_PRELOAD")) {
		setenv("LD_PRELOAD", fake, 1);
		/* Before the sanitizers' own library, even. */
		snprintf(options, sizeof(options), "%s:verify_asan_link_order=0",
			 getenv("ASAN_OPTIONS") ?: "");
		setenv("ASAN_OPTIONS", options, 1);
		execv("/proc/self/exe", (char *[]){ "test-fetcher", NULL });
	}
	failed = cmocka_run_group_tests_name("fetcher", tests, NULL, NULL);
	scratch_remove(dir);
	return failed;
}
