// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/fetcher.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "host/process.h"

/*
 * How many helpers may hang at a time. One of each user: what is his is not looked at again as long
 * as that lasts, so that it takes as many users to hold up the others. There are three of us:
 * MaxConnections= of eagersplitd-fetch.socket has room for what all leave, and all use.
 */
#define LEFT_MAX 16

/* How many users one scan can do without, besides those. */
#define SHUNNED_MAX (FETCH_AVOID_MAX - LEFT_MAX)

/*
 * What all processes of one user may hold a scan up for, in times of what one of them may. Those
 * of more users than this are taken for one user's.
 */
#define SPENT_FACTOR 30
#define SPENT_USERS  64

/* A helper that is only started is nobody's doing: on a busy host that takes so many times as long. */
#define START_FACTOR 10

/**
 * struct left - a helper that was left behind
 * @socket: tells when it comes to its end, or to an answer
 * @helper: its process, 0: systemd's
 * @uid: the user whose process makes it hang; -1: of nobody in particular
 */
struct left {
	int socket;
	pid_t helper;
	int64_t uid;
};

/**
 * struct scan - one that is under way
 * @after: the process that was looked at last
 * @asked: when that was begun, nanoseconds
 * @spent: of each user, how long his processes have held it up, nanoseconds
 * @shunned: users that it does without from now on
 */
struct scan {
	pid_t after;
	uint64_t asked;
	struct {
		int64_t uid;
		uint64_t nsec;
	} spent[SPENT_USERS];
	size_t n_spent;
	uint32_t shunned[SHUNNED_MAX];
	size_t n_shunned;
};

/**
 * struct fetcher - a helper, and those before it that have not ended
 * @lock: held for the length of a call
 * @path, @program: see fetcher_new(); one of them is NULL
 * @socket: connects us, -1: there is no helper
 * @helper: its process, 0: systemd's
 * @uid: the user whose process it looks at; -1: none's, or not known
 * @lacking: none was to be had when one was wanted last, which has been logged
 */
struct fetcher {
	pthread_mutex_t lock;
	char *path;
	char *program;
	unsigned int timeout_msec;
	int socket;
	pid_t helper;
	int64_t uid;
	bool lacking;
	struct left left[LEFT_MAX];
	size_t n_left;
};

void fetched_done(struct fetched *fetched)
{
	for (size_t i = 0; i < fetched->n; i++)
		closep(&fetched->splitters[i]);
	fetched->n = 0;
}

int fetcher_new(struct fetcher **ret, const char *socket, const char *program,
		unsigned int timeout_msec)
{
	_cleanup_(fetcher_freep) struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	f->socket = -1;
	f->timeout_msec = timeout_msec;
	if (socket)
		f->path = strdup(socket);
	else
		f->program = strdup(program);
	if (!f->path && !f->program)
		return -ENOMEM;
	*ret = TAKE_PTR(f);
	return 0;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
	if (!f)
		return NULL;
	closep(&f->socket);
	for (size_t i = 0; i < f->n_left; i++)
		closep(&f->left[i].socket);
	free(f->path);
	free(f->program);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

static int set_timeouts(int socket, unsigned int msec)
{
	const struct timeval limit = { .tv_sec = msec / 1000, .tv_usec = msec % 1000 * 1000 };

	if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return 0;
}

static int connect_to(const char *path, unsigned int timeout_msec)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	r = set_timeouts(fd, timeout_msec);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Starts @program with @socket as its standard input. The caller's blocked signals are none of it. */
static int spawn(const char *program, int socket, pid_t *ret)
{
	char *const argv[] = { (char *)program, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn(ret, program, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start_helper(struct fetcher *f)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	r = set_timeouts(ours, f->timeout_msec * START_FACTOR);
	if (r == 0)
		r = spawn(f->program, theirs, &f->helper);
	return r < 0 ? r : take_fd(&ours);
}

static bool has_ended(struct left *left)
{
	struct pollfd p = { .fd = left->socket, .events = POLLIN };

	if (poll(&p, 1, 0) == 0)
		return false;
	closep(&left->socket);
	/* It was killed, or nobody listens to it any more: it does not take long. */
	if (left->helper)
		waitpid(left->helper, NULL, 0);
	return true;
}

/* Those that have ended after all are forgotten. */
static void reap(struct fetcher *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_left; i++)
		if (!has_ended(&f->left[i]))
			f->left[n++] = f->left[i];
	f->n_left = n;
}

static bool is_avoided(const struct fetcher *f, int64_t uid)
{
	for (size_t i = 0; i < f->n_left; i++)
		if (uid >= 0 && f->left[i].uid == uid)
			return true;
	return false;
}

/*
 * One that hangs, or is not to be believed, is killed, if it is ours, which need not be the end of
 * it, and not waited for. @uid: whose doing that is, -1: nobody's.
 */
static void leave_helper(struct fetcher *f, int64_t uid)
{
	f->left[f->n_left++] = (struct left){
		.socket = f->socket,
		.helper = f->helper,
		.uid = uid,
	};
	if (f->helper)
		kill(f->helper, SIGKILL);
	f->socket = -1;
	f->helper = 0;
}

/* It has closed the connection, as it ends. */
static void end_helper(struct fetcher *f)
{
	closep(&f->socket);
	f->socket = -1;
	if (f->helper)
		waitpid(f->helper, NULL, 0);
	f->helper = 0;
}

/*
 * What has gone wrong is the end of the helper, or of that with us. -ETIMEDOUT; or -EBUSY: of the
 * process that says nothing, and another helper may do better.
 */
static int fail(struct fetcher *f, int r)
{
	if (r == -ECONNRESET)
		end_helper(f);
	else
		leave_helper(f, r == -ETIMEDOUT ? f->uid : -1);
	return r == -ETIMEDOUT ? r : -EBUSY;
}

/* @scan: what it is for, or NULL. */
static int send_request(struct fetcher *f, enum fetch_kind kind, pid_t pid, const struct scan *scan)
{
	struct fetch_request request = { .kind = kind, .pid = pid };

	for (size_t i = 0; i < f->n_left; i++)
		if (f->left[i].uid >= 0)
			request.avoid[request.n_avoid++] = (uint32_t)f->left[i].uid;
	for (size_t i = 0; scan && i < scan->n_shunned; i++)
		request.avoid[request.n_avoid++] = scan->shunned[i];
	if (send(f->socket, &request, sizeof(request), MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EPIPE ? -ECONNRESET : -errno;
}

/* The descriptor that came along, or -1. */
static int take_passed(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* 0, and in @ret_fd what came along, which is the caller's, or -1. Or a negative errno. */
static int receive(struct fetcher *f, struct fetch_reply *reply, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*ret_fd = -1;
	n = recvmsg(f->socket, &message, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	*ret_fd = take_passed(&message);
	if (n == 0)
		return -ECONNRESET;
	reply->names.name[GUEST_NAME_SIZE - 1] = '\0';
	reply->names.uuid[UUID_SIZE - 1] = '\0';
	return n == sizeof(*reply) ? 0 : -EBADMSG;
}

/* Its first words, which it says of itself. */
static int greet(struct fetcher *f)
{
	_cleanup_close_ int fd = -1;
	struct fetch_reply reply;
	int r = receive(f, &reply, &fd);

	if (r < 0)
		return r;
	return reply.more || reply.result ? -EBADMSG : set_timeouts(f->socket, f->timeout_msec);
}

/* Whatever is in its way, which is logged, is in the way for now: 0 or -EBUSY. */
static int get_helper(struct fetcher *f)
{
	int r;

	if (f->socket >= 0)
		return 0;
	if (f->n_left == LEFT_MAX)
		return -EBUSY;
	r = f->path ? connect_to(f->path, f->timeout_msec * START_FACTOR) : start_helper(f);
	if (r >= 0) {
		f->socket = r;
		r = greet(f);
		if (r < 0)
			fail(f, r);
	}
	if (r < 0 && !f->lacking)
		log_warning("No helper to look into other processes is to be had: %s",
			    strerror(-r));
	f->lacking = r < 0;
	return r < 0 ? -EBUSY : 0;
}

/*
 * Whether process @pid may be looked at now. Notes whose it is: once it has made the helper hang it
 * may be gone. 0, -EBUSY, or as process_get_uid().
 */
static int check_user(struct fetcher *f, pid_t pid)
{
	f->uid = process_get_uid(pid);
	if (f->uid < 0)
		return (int)f->uid;
	return is_avoided(f, f->uid) ? -EBUSY : 0;
}

/*
 * Asks, and waits for the first reply. A helper that was there and has gone since was killed,
 * most likely: then another one is asked.
 */
static int ask(struct fetcher *f, enum fetch_kind kind, pid_t pid, const struct scan *scan,
	       struct fetch_reply *reply, int *ret_fd)
{
	bool fresh = f->socket < 0, again;
	int r;

	*ret_fd = -1;
	f->uid = -1;
	reap(f);
	r = get_helper(f);
	/* A scan says itself whose processes it looks at. */
	if (r == 0 && kind != FETCH_SCAN)
		r = check_user(f, pid);
	if (r < 0)
		return r;
	r = send_request(f, kind, pid, scan);
	if (r == 0)
		r = receive(f, reply, ret_fd);
	if (r == 0)
		return 0;
	again = !fresh && r == -ECONNRESET;
	r = fail(f, r);
	return again ? ask(f, kind, pid, scan, reply, ret_fd) : r;
}

/* The next reply. */
static int next(struct fetcher *f, struct fetch_reply *reply, int *ret_fd)
{
	int r = receive(f, reply, ret_fd);

	return r < 0 ? fail(f, r) : 0;
}

/* Takes @fd. */
static int fetched_add(struct fetched *fetched, int number, int fd)
{
	if (fd < 0)
		return -EBADMSG;
	if (fetched->n == FETCH_VMS_MAX) {
		close(fd);
		return -EBADMSG;
	}
	fetched->numbers[fetched->n] = number;
	fetched->splitters[fetched->n++] = fd;
	return 0;
}

static int look(struct fetcher *f, pid_t pid, struct fetched *ret)
{
	struct fetch_reply reply;
	int fd, r;

	for (r = ask(f, FETCH_LOOK, pid, NULL, &reply, &fd); r == 0 && reply.more;
	     r = next(f, &reply, &fd)) {
		r = fetched_add(ret, reply.number, fd);
		if (r < 0)
			return fail(f, r);
		ret->uid = reply.uid;
	}
	closep(&fd);
	if (r == 0 && reply.result < 0)
		r = reply.result;
	return r == 0 && !ret->n ? -ENOTTY : r;
}

int fetcher_look(struct fetcher *f, pid_t pid, struct fetched *ret)
{
	int r;

	ret->n = 0;
	ret->uid = -1;
	pthread_mutex_lock(&f->lock);
	r = look(f, pid, ret);
	pthread_mutex_unlock(&f->lock);
	if (r < 0)
		fetched_done(ret);
	return r;
}

int fetcher_names(struct fetcher *f, pid_t pid, struct guest_names *ret)
{
	struct fetch_reply reply;
	int fd = -1, r;

	pthread_mutex_lock(&f->lock);
	r = ask(f, FETCH_NAMES, pid, NULL, &reply, &fd);
	pthread_mutex_unlock(&f->lock);
	closep(&fd);
	if (r < 0)
		return r;
	*ret = reply.names;
	return reply.result;
}

/* The rest of the scan does without that user. False: of too many. */
static bool shun(struct scan *scan, int64_t uid)
{
	if (uid < 0 || scan->n_shunned == SHUNNED_MAX)
		return false;
	scan->shunned[scan->n_shunned++] = (uint32_t)uid;
	return true;
}

static uint64_t *get_spent(struct scan *scan, int64_t uid)
{
	size_t i = 0;

	while (i < scan->n_spent && scan->spent[i].uid != uid)
		i++;
	if (i == SPENT_USERS)
		return &scan->spent[i - 1].nsec;
	if (i == scan->n_spent)
		scan->spent[scan->n_spent++].uid = uid;
	return &scan->spent[i].nsec;
}

/*
 * Whether the process that was looked at last is one too many of its user's: many that take their
 * time do as much harm as one that hangs. Root's are as many as there have to be.
 */
static bool is_too_slow(const struct fetcher *f, struct scan *scan)
{
	uint64_t now = now_nsec(CLOCK_MONOTONIC), *spent;

	if (f->uid <= 0)
		return false;
	spent = get_spent(scan, f->uid);
	*spent += now - scan->asked;
	return *spent > f->timeout_msec * NSEC_PER_MSEC * SPENT_FACTOR;
}

/*
 * The next reply of a scan. The end of the helper is taken for that process's doing, too: it may
 * have had it take up more memory than it may, and would have the next one do so.
 */
static int scan_next(struct fetcher *f, struct fetch_reply *reply, int *ret_fd)
{
	int r = receive(f, reply, ret_fd), e;

	if (r == 0)
		return 0;
	e = fail(f, r);
	return r == -ECONNRESET ? -ETIMEDOUT : e;
}

/* What is to be done about a reply that is not the last one. Returns as scan_on(). */
static int scan_take(struct fetcher *f, struct scan *scan, const struct fetch_reply *reply,
		     int (*found)(void *userdata, pid_t pid), void *userdata)
{
	if (is_too_slow(f, scan))
		return -EAGAIN;
	scan->after = reply->number;
	scan->asked = now_nsec(CLOCK_MONOTONIC);
	f->uid = reply->uid;
	return reply->result == -EINPROGRESS ? 0 : found(userdata, reply->number);
}

/*
 * Up to its end, or until another helper is to go on behind @scan->after: -ETIMEDOUT: that makes it
 * hang, or end; -EAGAIN: it is one too many of its user's.
 */
static int scan_on(struct fetcher *f, struct scan *scan, int (*found)(void *userdata, pid_t pid),
		   void *userdata)
{
	struct fetch_reply reply;
	int fd, r;

	for (r = ask(f, FETCH_SCAN, scan->after, scan, &reply, &fd); r == 0 && reply.more;
	     r = scan_next(f, &reply, &fd)) {
		closep(&fd);
		r = scan_take(f, scan, &reply, found, userdata);
		if (r != 0) {
			/* What else it says is not wanted. */
			leave_helper(f, -1);
			return r;
		}
	}
	closep(&fd);
	return r < 0 ? r : reply.result;
}

int fetcher_scan(struct fetcher *f, int (*found)(void *userdata, pid_t pid), void *userdata)
{
	struct scan scan = {};
	bool missed = false, on;
	int r;

	pthread_mutex_lock(&f->lock);
	do {
		pid_t before = scan.after;

		r = scan_on(f, &scan, found, userdata);
		on = (r == -ETIMEDOUT || r == -EAGAIN) && scan.after != before;
		missed |= on;
		if (on && r == -EAGAIN)
			log_warning("Processes of user %d take too long to be looked into",
				    (int)f->uid);
		else if (on)
			log_warning("Process %d cannot be looked into: it makes the helper hang",
				    (int)scan.after);
	} while (on && shun(&scan, f->uid));
	pthread_mutex_unlock(&f->lock);
	return missed && (r == 0 || on) ? -EBUSY : r;
}
