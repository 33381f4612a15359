/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU and the thread that runs it. */
#ifndef LAB_VCPU_H
#define LAB_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "faults.h"
#include "guest-abi.h"

struct vcpu;

/*
 * Makes vCPU @index of VM @vm_fd, whose control memslot is mapped at @control,
 * and brings its guest code to the doorbell. @faults_from: faults on addresses
 * from there up are counted; 0: none are. @vgic: the VM's, which waits for this vCPU,
 * the only one; -1: none. Returns 0, or a negative errno.
 */
int vcpu_new(struct vcpu **ret, int kvm_fd, int vm_fd, unsigned int index, void *control,
	     uint64_t faults_from, int vgic);

/* Stops the vCPU wherever it is. Returns NULL. */
struct vcpu *vcpu_free(struct vcpu *vcpu);

/* The control block: to be written only while the vCPU is idle, except for @stop. */
struct guest_block *vcpu_block(struct vcpu *vcpu);

/* Lets the guest go on from the doorbell. */
void vcpu_start(struct vcpu *vcpu);

/* Waits until it is back there. Returns 0, or the error that ended it, a negative errno. */
int vcpu_wait(struct vcpu *vcpu);

/* For stats_read(). */
int vcpu_stats(const struct vcpu *vcpu);
const struct faults *vcpu_faults(const struct vcpu *vcpu);

/* Exits to the VMM that were no doorbell: accesses to addresses without a memslot. */
uint64_t vcpu_stray_exits(const struct vcpu *vcpu);

#endif
