// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/fetch-server.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/kvm_eager_split.h>

#include "base/parse.h"
#include "base/transient.h"
#include "base/util.h"
#include "host/fetch-protocol.h"
#include "host/file-tables.h"
#include "host/kvm-fd.h"
#include "host/process.h"
#include "host/qemu-name.h"

static_assert(KVM_FD_MAX <= FETCH_VMS_MAX, "all of a process's VMs fit in");

/* @fd: goes along; -1: none. 0 or a negative errno. */
static int send_reply(int socket, const struct fetch_reply *reply, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { .iov_base = (void *)reply, .iov_len = sizeof(*reply) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_end(int socket, int result)
{
	return send_reply(socket, &(struct fetch_reply){ .result = result }, -1);
}

/* Whether @pid executes what @other does. */
static bool is_like(pid_t pid, pid_t other)
{
	struct program a, b;

	return process_get_program(pid, &a) == 0 && process_get_program(other, &b) == 0 &&
	       a.inode == b.inode && a.device_major == b.device_major &&
	       a.device_minor == b.device_minor;
}

/*
 * Whether that process, of user @uid, is a helper, a daemon, or one that closes descriptors for a
 * daemon: any of them may be hanging, with a stranger's VM that is not its own.
 */
static bool is_one_of_us(int socket, pid_t pid, int64_t uid)
{
	struct ucred daemon;
	socklen_t size = sizeof(daemon);

	if (uid != (int64_t)getuid())
		return false;
	return is_like(pid, getpid()) ||
	       (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &daemon, &size) == 0 &&
		is_like(pid, daemon.pid));
}

/* A process that is gone, or has none, is said to be so. @ret_uid: whose it is. */
static int list_vms(int socket, pid_t pid, int64_t *ret_uid, kvm_fd_found_fn found, void *userdata)
{
	_cleanup_close_ int pidfd = process_open(pid);

	if (pidfd < 0)
		return pidfd;
	/* Before the look, whose last question is whether it is the same process still. */
	*ret_uid = process_get_uid(pid);
	if (*ret_uid < 0)
		return (int)*ret_uid;
	if (is_one_of_us(socket, pid, *ret_uid))
		return -ENOTTY;
	return kvm_fd_list(pidfd, pid, found, userdata);
}

/*
 * Where there are too many of something, that may be descriptors here, for now, or splitters of the
 * VM: that is its VMM's affair, and not worth another try.
 */
static int make_splitter(int vm)
{
	int fd = ioctl(vm, KVM_ARM_SPLIT_FD, 0), spare;

	if (fd >= 0)
		return fd;
	if (errno != EMFILE)
		return -errno;
	spare = fcntl(vm, F_DUPFD_CLOEXEC, 0);
	if (spare < 0)
		return -errno;
	close(spare);
	return -EMLINK;
}

/**
 * struct splitters - those of a process's VMs
 * @numbers: the VMs' descriptors over there
 * @error: why there is none of another; 0: there is no such
 */
struct splitters {
	size_t n;
	int fds[KVM_FD_MAX];
	int numbers[KVM_FD_MAX];
	int error;
};

static void splitters_done(struct splitters *s)
{
	for (size_t i = 0; i < s->n; i++)
		close(s->fds[i]);
}

/* The VM's descriptor was fetched, and is the kernel's: only a splitter of it goes on. */
static int on_vm(void *userdata, int vm, int number)
{
	struct splitters *s = userdata;
	int fd = make_splitter(vm);

	/* There may be one later: the look is made anew then, as who has some takes them for all. */
	if (error_is_transient(fd))
		return fd;
	if (fd < 0) {
		s->error = fd;
		return 0;
	}
	s->numbers[s->n] = number;
	s->fds[s->n++] = fd;
	return 0;
}

static int send_splitters(int socket, const struct splitters *s, int64_t uid)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct fetch_reply reply = { .more = true,
						   .number = s->numbers[i],
						   .uid = uid };

		/* Too many descriptors are on their way, perhaps. */
		if (send_reply(socket, &reply, s->fds[i]) < 0)
			return send_end(socket, -EBUSY);
	}
	return send_end(socket, s->n ? (int)s->n : s->error);
}

static int serve_look(int socket, pid_t pid)
{
	_cleanup_(splitters_done) struct splitters splitters = {};
	int64_t uid = -1;
	int r;

	r = list_vms(socket, pid, &uid, on_vm, &splitters);
	/* What was found of a process that may be another by now is nobody's to have. */
	return r < 0 ? send_end(socket, r) : send_splitters(socket, &splitters, uid);
}

static int serve_names(int socket, pid_t pid)
{
	_cleanup_close_ int pidfd = process_open(pid);
	struct fetch_reply reply = {};

	if (pidfd < 0)
		return send_end(socket, pidfd);
	reply.result = qemu_names_of_process(pid, &reply.names);
	reply.names.uid = process_get_uid(pid);
	/* Both are of the process that was meant, then. */
	if (process_is_gone(pidfd))
		return send_end(socket, -ESRCH);
	return send_reply(socket, &reply, -1);
}

static bool is_avoided(const struct fetch_request *request, int64_t uid)
{
	for (uint32_t i = 0; i < request->n_avoid && i < FETCH_AVOID_MAX; i++)
		if (uid == request->avoid[i])
			return true;
	return false;
}

/* One is enough. */
static int on_first_vm(void *userdata, int vm, int number)
{
	return 1;
}

/*
 * Whoever asks knows by the first reply where a look has hung, and whose doing that is, which cannot
 * be found out afterwards: the process may have gone, and what the look waits for not. Comparing its
 * table is a look, too: that waits for a process that is executing a program, which may hang as it
 * closes files. @missed: set where it is not known whether there is a VM.
 */
static int scan_one(int socket, const struct fetch_request *request, struct file_tables *tables,
		    pid_t pid, bool *missed)
{
	struct fetch_reply reply = { .more = true, .result = -EINPROGRESS, .number = pid };
	int r;

	reply.uid = process_get_uid(pid);
	if (reply.uid < 0 || is_avoided(request, reply.uid)) {
		*missed |= reply.uid >= 0 || error_is_transient((int)reply.uid);
		return 0;
	}
	r = send_reply(socket, &reply, -1);
	if (r < 0)
		return r;
	if (!file_tables_add(tables, pid, reply.uid))
		return 0;
	r = list_vms(socket, pid, &reply.uid, on_first_vm, NULL);
	if (r < 0) {
		*missed |= error_is_transient(r);
		return 0;
	}
	reply.result = 0;
	return send_reply(socket, &reply, -1);
}

static int serve_scan(int socket, const struct fetch_request *request)
{
	_cleanup_(file_tables_freep) struct file_tables *tables = NULL;
	struct dirent *entry;
	bool missed = false;
	uint64_t pid;
	DIR *dir;
	int r;

	r = file_tables_new(&tables);
	if (r < 0)
		return send_end(socket, r);
	dir = opendir("/proc");
	if (!dir)
		return send_end(socket, -errno);
	/* In order of their ids. */
	while (r == 0 && (entry = readdir(dir)))
		if (parse_u64(entry->d_name, &pid) == 0 && pid <= INT_MAX &&
		    (pid_t)pid > request->pid)
			r = scan_one(socket, request, tables, (pid_t)pid, &missed);
	closedir(dir);
	return r < 0 ? r : send_end(socket, missed ? -EBUSY : 0);
}

static int serve_one(int socket, const struct fetch_request *request)
{
	switch (request->kind) {
	case FETCH_LOOK:
		return serve_look(socket, request->pid);
	case FETCH_NAMES:
		return serve_names(socket, request->pid);
	case FETCH_SCAN:
		return serve_scan(socket, request);
	default:
		return send_end(socket, -EINVAL);
	}
}

int fetch_serve(int socket)
{
	int started = send_end(socket, 0);

	if (started < 0)
		return started;
	for (;;) {
		struct fetch_request request;
		ssize_t n;
		int r;

		n = recv(socket, &request, sizeof(request), 0);
		if (n == 0)
			return 0;
		if (n < 0)
			return -errno;
		r = n == sizeof(request) ? serve_one(socket, &request) : -EBADMSG;
		if (r < 0)
			return r;
	}
}
