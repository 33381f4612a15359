/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of the simulated host: a file PID.NUMBER, so that it outlives the
 * daemon as a real one does, and others can have a hand in it.
 */
#ifndef EAGERSPLITD_SIM_IMAGE_H
#define EAGERSPLITD_SIM_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

#define SIM_IMAGE_MAGIC UINT64_C(0x334d495350534745) /* "EGSPSIM3" */

/* Where arm64 VMMs put the memory of their VMs, and below it their devices. */
#define SIM_GPA		    (UINT64_C(1) << 30)
#define SIM_FRAMEBUFFER_GPA (UINT64_C(1) << 28)

/* What is logged of a VM. */
enum {
	SIM_LOG_MEMORY = 1 << 0,
	SIM_LOG_FRAMEBUFFER = 1 << 1,
};

/**
 * struct sim_image - the file
 * @magic: SIM_IMAGE_MAGIC
 * @id: of the VM, never used twice
 * @start_time: of the process, see process_get_start_time()
 * @memory: bytes, a multiple of @block_size
 * @block_size: bytes, not 0
 * @framebuffer: bytes of a second memslot, which pages map; 0: there is none
 * @dirty_logging: SIM_LOG_*
 * @whole: by block: 1 if it is one
 */
struct sim_image {
	uint64_t magic;
	uint64_t id;
	uint64_t start_time;
	uint64_t memory;
	uint64_t block_size;
	uint64_t framebuffer;
	uint32_t dirty_logging;
	uint32_t reserved;
	uint8_t whole[];
};

/*
 * Maps the image of VM @number of process @pid from the folder @dir. -ENXIO: there is
 * none, or it is another process's; another negative errno: who knows.
 */
int sim_image_open(struct sim_image **ret, int dir, pid_t pid, int number);

/* Unmaps it. */
void sim_image_close(struct sim_image *image);

/* 0: the VM with that id is still there; -ENXIO: it is not; another negative errno: who knows. */
int sim_image_check(int dir, pid_t pid, int number, uint64_t id);

/* Makes an image with nothing but blocks; what was there of that name is replaced. */
int sim_image_create(int dir, pid_t pid, int number, uint64_t memory, uint64_t block_size);

/* The process and the number that are in the name of an image, or -EINVAL. */
int sim_image_parse_name(const char *name, pid_t *ret_pid, int *ret_number);

/* Removes it, if it is there. */
void sim_image_remove(int dir, pid_t pid, int number);

#endif /* EAGERSPLITD_SIM_IMAGE_H */
