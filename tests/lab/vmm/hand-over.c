// SPDX-License-Identifier: GPL-2.0-or-later
#include "hand-over.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_eager_split.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"

#define REPLY_MAX 65536

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -errno;
}

/* A message of Varlink's ends with a NUL; the descriptor comes with its first byte. */
static int send_call(int fd, const char *call, int splitter)
{
	struct iovec iov = { .iov_base = (void *)call, .iov_len = strlen(call) + 1 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {
		.header = {
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int)),
		},
	};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &splitter, sizeof(splitter));
	return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : -EIO;
}

static int read_reply(int fd)
{
	static char reply[REPLY_MAX];
	size_t size = 0;
	ssize_t n;

	do {
		n = read(fd, reply + size, sizeof(reply) - size);
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		size += n;
	} while (reply[size - 1] && size < sizeof(reply));
	if (reply[size - 1])
		return -EMSGSIZE;
	if (!strstr(reply, "\"error\""))
		return 0;
	fprintf(stderr, "%s\n", reply);
	return -EREMOTEIO;
}

int hand_over(int vm, const char *path, const char *name)
{
	auto_fd splitter = ioctl(vm, KVM_ARM_SPLIT_FD, 0);
	auto_fd fd = -1;
	char call[512];
	int n, err;

	if (splitter < 0)
		return -errno;
	n = snprintf(call, sizeof(call),
		     "{\"method\":\"org.eagersplit.Manager.Register\","
		     "\"parameters\":{\"pid\":%d,\"name\":\"%s\",\"splitter\":0}}",
		     getpid(), name);
	if (n >= (int)sizeof(call))
		return -ENAMETOOLONG;
	fd = connect_to(path);
	if (fd < 0)
		return fd;
	err = send_call(fd, call, splitter);
	return err ? err : read_reply(fd);
}
