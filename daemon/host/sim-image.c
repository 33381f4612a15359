// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sim-image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "base/util.h"
#include "host/process.h"

#define IMAGE_NAME_MAX 64

static void format_name(char *name, pid_t pid, int number)
{
	snprintf(name, IMAGE_NAME_MAX, "%d.%d", (int)pid, number);
}

static size_t image_size(uint64_t memory, uint64_t block_size)
{
	return sizeof(struct sim_image) + memory / block_size;
}

/* Whether a mapping of @size bytes is the image of a VM of process @pid: 0, -ENXIO, or another error. */
static int image_check(const struct sim_image *image, size_t size, pid_t pid)
{
	uint64_t start_time;
	int r;

	if (image->magic != SIM_IMAGE_MAGIC || !image->id || !image->block_size ||
	    image->memory % image->block_size ||
	    image_size(image->memory, image->block_size) != size)
		return -ENXIO;
	r = process_get_start_time(pid, &start_time);
	if (r < 0)
		return r == -ESRCH ? -ENXIO : r;
	return image->start_time == start_time ? 0 : -ENXIO;
}

int sim_image_open(struct sim_image **ret, int dir, pid_t pid, int number)
{
	_cleanup_close_ int fd = -1;
	struct sim_image *image;
	char name[IMAGE_NAME_MAX];
	struct stat st;
	int r;

	format_name(name, pid, number);
	fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ENXIO : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(*image))
		return -ENXIO;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image == MAP_FAILED)
		return -errno;
	r = image_check(image, (size_t)st.st_size, pid);
	if (r < 0) {
		munmap(image, (size_t)st.st_size);
		return r;
	}
	*ret = image;
	return 0;
}

int sim_image_check(int dir, pid_t pid, int number, uint64_t id)
{
	struct sim_image *image;
	bool same;
	int r;

	r = sim_image_open(&image, dir, pid, number);
	if (r < 0)
		return r;
	same = image->id == id;
	sim_image_close(image);
	return same ? 0 : -ENXIO;
}

void sim_image_close(struct sim_image *image)
{
	munmap(image, image_size(image->memory, image->block_size));
}

static int write_image(int fd, const struct sim_image *head)
{
	size_t size = image_size(head->memory, head->block_size);
	struct sim_image *image;

	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image == MAP_FAILED)
		return -errno;
	*image = *head;
	memset(image->whole, 1, size - sizeof(*image));
	munmap(image, size);
	return 0;
}

int sim_image_create(int dir, pid_t pid, int number, uint64_t memory, uint64_t block_size)
{
	struct sim_image head = {
		.magic = SIM_IMAGE_MAGIC,
		/* Time goes on between any two that are made. */
		.id = now_nsec(CLOCK_BOOTTIME),
		.memory = memory - memory % block_size,
		.block_size = block_size,
	};
	char name[IMAGE_NAME_MAX], temporary[IMAGE_NAME_MAX + 8];
	_cleanup_close_ int fd = -1;
	int r;

	r = process_get_start_time(pid, &head.start_time);
	if (r < 0)
		return r;
	format_name(name, pid, number);
	snprintf(temporary, sizeof(temporary), ".%s.new", name);
	fd = openat(dir, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_image(fd, &head);
	if (r == 0 && renameat(dir, temporary, dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}

int sim_image_parse_name(const char *name, pid_t *ret_pid, int *ret_number)
{
	const char *dot = strchr(name, '.');
	uint64_t pid, number;
	char head[16];

	if (!dot || (size_t)(dot - name) >= sizeof(head))
		return -EINVAL;
	snprintf(head, sizeof(head), "%.*s", (int)(dot - name), name);
	if (parse_u64(head, &pid) < 0 || parse_u64(dot + 1, &number) < 0 || !pid || pid > INT_MAX ||
	    number > INT_MAX)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	*ret_number = (int)number;
	return 0;
}

void sim_image_remove(int dir, pid_t pid, int number)
{
	char name[IMAGE_NAME_MAX];

	format_name(name, pid, number);
	(void)unlinkat(dir, name, 0);
}
