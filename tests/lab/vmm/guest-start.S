/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry and exception vectors of the guest. The VMM has set x0 to the vCPU's
 * control block, sp, and the registers of the MMU, vectors included.
 */
	.section .text.start, "ax"
	.globl	guest_start
guest_start:
	b	guest_main

	/* No exception is expected: hand over what it was, which ends the run. */
	.balign	2048
	.globl	guest_vectors
guest_vectors:
	.rept	16
	.balign	128
	mrs	x0, esr_el1
	mrs	x1, elr_el1
	mrs	x2, far_el1
	b	guest_exception
	.endr
