// SPDX-License-Identifier: GPL-2.0-or-later
#include "service/strangers.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"

/* Processes, and so users that can make one wait and keep nobody. */
#define HANDS_MAX 16

/* So much waits to be closed, at the most but for those that are on their way. */
#define STRANGERS_MAX 1024

/* The most descriptors that come with bytes; the kernel's SCM_MAX_FD. */
#define DESCRIPTORS_MAX 253

/* What is left is given so long in the end. */
#define LAST_MSEC 200

/* Somebody's descriptor that takes so long is worth a message. */
#define LONG_NSEC (5 * NSEC_PER_SEC)

/**
 * struct stranger_job - something to be done with @fd, which user @uid is behind
 * @size: bytes to receive; 0: it is to be closed
 * @received: NULL: nobody wants to know
 */
struct stranger_job {
	uid_t uid;
	int fd;
	size_t size;
	strangers_received_fn received;
	void *userdata;
	TAILQ_ENTRY(stranger_job) link;
};

TAILQ_HEAD(job_list, stranger_job);

/**
 * struct hand - a process
 * @socket: connects us, to its own one, @theirs
 * @job: what it does, NULL: nothing
 * @since: CLOCK_MONOTONIC, it has done that; 0: and that was told of
 */
struct hand {
	struct strangers *strangers;
	pid_t pid;
	int pidfd;
	int socket;
	int theirs;
	sd_event_source *io;
	sd_event_source *end;
	struct stranger_job *job;
	uint64_t since;
};

/*
 * What goes over the socket: what is to be done, @fd being -1 where nothing is any more; what was
 * received, before its bytes; and the end of that.
 */
struct request {
	int fd;
	size_t size;
};

struct reply {
	bool ended;
	int descriptor;
	ssize_t result;
};

struct strangers {
	sd_event *event;
	bool (*wanted)(int fd, void *userdata);
	void *userdata;
	struct job_list waiting;
	size_t n_waiting;
	struct hand *hands[HANDS_MAX];
	size_t n_hands;
	struct reply reply;
	char bytes[STRANGERS_BYTES_MAX];
};

/*
 * In the process: a copy of the daemon's memory as it was, which is only read but for @s->bytes,
 * and the daemon's own descriptors.
 */

static void say(struct strangers *s, int socket, const struct reply *reply)
{
	struct iovec parts[] = {
		{ .iov_base = (void *)reply, .iov_len = sizeof(*reply) },
		{ .iov_base = s->bytes, .iov_len = reply->result > 0 ? (size_t)reply->result : 0 },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static void receive(struct strangers *s, int socket, const struct request *request)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = s->bytes, .iov_len = request->size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct reply reply = { .descriptor = -1 };
	const struct cmsghdr *header;
	size_t n = 0, first = 0;
	int fds[DESCRIPTORS_MAX];

	do
		reply.result = recvmsg(request->fd, &message, MSG_CMSG_CLOEXEC);
	while (reply.result < 0 && errno == EINTR);
	if (reply.result < 0)
		reply.result = -errno;
	header = reply.result > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(&control.header), n * sizeof(int));
	if (n || message.msg_flags & MSG_CTRUNC)
		reply.descriptor = STRANGERS_UNWANTED;
	if (n == 1 && s->wanted(fds[0], s->userdata))
		reply.descriptor = fds[first++];
	/* Before it waits, if it does. */
	say(s, socket, &reply);
	for (; first < n; first++)
		close(fds[first]);
}

static _Noreturn void serve(struct strangers *s, int socket, pid_t daemon)
{
	struct request request;

	(void)prctl(PR_SET_NAME, "eagersplitd-let");
	/* The socket's other end is in this table, too, and so does not tell of the daemon's end. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon)
		_exit(EXIT_FAILURE);
	for (;;) {
		ssize_t n = recv(socket, &request, sizeof(request), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(request) || request.fd < 0)
			_exit(EXIT_SUCCESS);
		if (request.size)
			receive(s, socket, &request);
		else
			close(request.fd);
		say(s, socket, &(struct reply){ .ended = true });
	}
}

/*
 * In the daemon
 */

static int on_reply(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int hand_ask(struct hand *h, int fd, size_t size)
{
	const struct request request = { .fd = fd, .size = size };

	return send(h->socket, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno
											   : 0;
}

/* It has ended, or has nothing to do. */
static struct hand *hand_free(struct hand *h)
{
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->end);
	if (h->pid > 0) {
		if (hand_ask(h, -1, 0) == 0)
			(void)waitid(P_PIDFD, (id_t)h->pidfd, NULL, WEXITED);
		close(h->pidfd);
	}
	closep(&h->socket);
	closep(&h->theirs);
	free(h);
	return NULL;
}
DEFINE_CLEANUP(struct hand *, hand_free);

/* Returns as fork() does, or a negative errno. The table of descriptors is one. */
static pid_t share_table(int *ret_pidfd)
{
	long pid =
		syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0);

	return pid < 0 ? -errno : (pid_t)pid;
}

static int hand_start(struct hand *h)
{
	pid_t daemon = getpid();
	int sockets[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	h->socket = sockets[0];
	h->theirs = sockets[1];
	h->pid = share_table(&h->pidfd);
	if (h->pid == 0)
		serve(h->strangers, h->theirs, daemon);
	if (h->pid < 0)
		return h->pid;
	r = sd_event_add_io(h->strangers->event, &h->io, h->socket, EPOLLIN, on_reply, h);
	if (r < 0)
		return r;
	return sd_event_add_io(h->strangers->event, &h->end, h->pidfd, EPOLLIN, on_end, h);
}

static int strangers_add_hand(struct strangers *s)
{
	_cleanup_(hand_freep) struct hand *h = NULL;
	int r;

	if (s->n_hands == HANDS_MAX)
		return -EBUSY;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->strangers = s;
	h->socket = h->theirs = -1;
	r = hand_start(h);
	if (r < 0)
		return r;
	s->hands[s->n_hands++] = TAKE_PTR(h);
	return 0;
}

static struct hand *strangers_get_idle(struct strangers *s)
{
	for (size_t i = 0; i < s->n_hands; i++)
		if (!s->hands[i]->job)
			return s->hands[i];
	return strangers_add_hand(s) < 0 ? NULL : s->hands[s->n_hands - 1];
}

/* The one that has to do with what is this user's, NULL: none. */
static struct hand *strangers_find_busy(struct strangers *s, uid_t uid)
{
	for (size_t i = 0; i < s->n_hands; i++)
		if (s->hands[i]->job && s->hands[i]->job->uid == uid)
			return s->hands[i];
	return NULL;
}

static void hand_log_long(struct hand *h)
{
	if (!h->since || now_nsec(CLOCK_MONOTONIC) - h->since < LONG_NSEC)
		return;
	h->since = 0;
	log_warning("A descriptor that user %u has sent cannot be closed: the server of its file "
		    "does not answer. What else is closed for that user waits for that",
		    (unsigned int)h->job->uid);
}

static int hand_begin(struct hand *h, struct stranger_job *job)
{
	int r = hand_ask(h, job->fd, job->size);

	if (r < 0)
		return r;
	h->job = job;
	h->since = now_nsec(CLOCK_MONOTONIC);
	return 0;
}

/* What cannot be begun waits for what comes next. */
static void strangers_go_on(struct strangers *s)
{
	struct stranger_job *job, *next;

	for (job = TAILQ_FIRST(&s->waiting); job; job = next) {
		struct hand *h = strangers_find_busy(s, job->uid);

		next = TAILQ_NEXT(job, link);
		if (h) {
			hand_log_long(h);
			continue;
		}
		h = strangers_get_idle(s);
		if (!h || hand_begin(h, job) < 0)
			return;
		TAILQ_REMOVE(&s->waiting, job, link);
		s->n_waiting--;
	}
}

static struct stranger_job *strangers_add(struct strangers *s, const struct stranger_job *what)
{
	struct stranger_job *job = malloc(sizeof(*job));

	if (!job)
		return NULL;
	*job = *what;
	TAILQ_INSERT_TAIL(&s->waiting, job, link);
	s->n_waiting++;
	strangers_go_on(s);
	return job;
}

static void job_received(struct strangers *s, struct stranger_job *job, ssize_t result,
			 int descriptor)
{
	strangers_received_fn received = job->received;

	job->received = NULL;
	if (received)
		received(job->userdata, result, s->bytes, descriptor);
	else if (descriptor >= 0)
		strangers_close(s, job->uid, descriptor);
}

static void hand_end_job(struct hand *h)
{
	struct stranger_job *job = h->job;

	h->job = NULL;
	if (job && job->received)
		job_received(h->strangers, job, -ECONNRESET, -1);
	free(job);
	strangers_go_on(h->strangers);
}

static void hand_take_reply(struct hand *h)
{
	struct strangers *s = h->strangers;
	struct iovec parts[] = {
		{ .iov_base = &s->reply, .iov_len = sizeof(s->reply) },
		{ .iov_base = s->bytes, .iov_len = sizeof(s->bytes) },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	if (recvmsg(h->socket, &message, MSG_DONTWAIT) < (ssize_t)sizeof(s->reply) || !h->job)
		return;
	if (s->reply.ended)
		hand_end_job(h);
	else
		job_received(s, h->job, s->reply.result, s->reply.descriptor);
}

static int on_reply(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	hand_take_reply(userdata);
	return 0;
}

/* Somebody has killed it. What it had to close may be closed, or not: it stays as it is. */
static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct hand *h = userdata;
	struct strangers *s = h->strangers;
	int r;

	for (size_t i = 0; i < s->n_hands; i++)
		if (s->hands[i] == h)
			s->hands[i] = s->hands[--s->n_hands];
	hand_end_job(h);
	hand_free(h);
	/* One there is to be. */
	r = s->n_hands ? 0 : strangers_add_hand(s);
	if (r < 0)
		log_error("Cannot start what closes clients' descriptors: %s", strerror(-r));
	return 0;
}

int strangers_new(struct strangers **ret, sd_event *event, bool (*wanted)(int fd, void *userdata),
		  void *userdata)
{
	_cleanup_(strangers_freep) struct strangers *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->wanted = wanted;
	s->userdata = userdata;
	TAILQ_INIT(&s->waiting);
	r = strangers_add_hand(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static bool strangers_are_busy(const struct strangers *s)
{
	for (size_t i = 0; i < s->n_hands; i++)
		if (s->hands[i]->job)
			return true;
	return false;
}

/* Whether all has been done within that time. */
static bool strangers_wait(struct strangers *s, uint64_t msec)
{
	uint64_t until = now_nsec(CLOCK_MONOTONIC) + msec * NSEC_PER_MSEC, now;

	while (strangers_are_busy(s)) {
		struct pollfd fds[HANDS_MAX];
		size_t n = s->n_hands;

		now = now_nsec(CLOCK_MONOTONIC);
		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = s->hands[i]->socket, .events = POLLIN };
		if (now >= until)
			return false;
		if (poll(fds, n, (int)((until - now) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents)
				hand_take_reply(s->hands[i]);
	}
	return true;
}

/*
 * It has the table, and ends with the daemon, when it can: until then its descriptors are open. Nobody
 * hears of it any more.
 */
static void hand_leave(struct hand *h)
{
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->end);
	free(h->job);
	free(h);
}

struct strangers *strangers_free(struct strangers *s)
{
	struct stranger_job *job;

	if (!s)
		return NULL;
	(void)strangers_wait(s, LAST_MSEC);
	for (size_t i = 0; i < s->n_hands; i++)
		if (s->hands[i]->job)
			hand_leave(s->hands[i]);
		else
			hand_free(s->hands[i]);
	/* What waits for them stays open, too. */
	while ((job = TAILQ_FIRST(&s->waiting))) {
		TAILQ_REMOVE(&s->waiting, job, link);
		free(job);
	}
	sd_event_unref(s->event);
	free(s);
	return NULL;
}

bool strangers_have_room(const struct strangers *s)
{
	return s->n_waiting < STRANGERS_MAX;
}

void strangers_close(struct strangers *s, uid_t uid, int fd)
{
	/* Without memory it stays open: the event loop does not wait for it. */
	(void)strangers_add(s, &(struct stranger_job){ .uid = uid, .fd = fd });
}

struct stranger_job *strangers_receive(struct strangers *s, uid_t uid, int fd, size_t size,
				       strangers_received_fn received, void *userdata)
{
	return strangers_add(s, &(struct stranger_job){ .uid = uid,
							.fd = fd,
							.size = min_u64(size, STRANGERS_BYTES_MAX),
							.received = received,
							.userdata = userdata });
}

void strangers_forget(struct stranger_job *job)
{
	job->received = NULL;
}
