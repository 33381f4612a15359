/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A GICv3 in the kernel, without which pKVM runs no vCPU. Guests make no use of it. */
#ifndef LAB_VGIC_H
#define LAB_VGIC_H

/* Makes one for VM @vm_fd, which has no vCPU yet. Returns its descriptor, the caller's, or a negative errno. */
int vgic_new(int vm_fd);

/* To be called when all vCPUs are there, and before any of them runs. Returns 0 or a negative errno. */
int vgic_init(int fd);

#endif
