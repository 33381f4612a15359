/* SPDX-License-Identifier: GPL-2.0-or-later */
	.section .rodata
	.balign	8
	.globl	guest_code, guest_code_end
guest_code:
	.incbin	"guest.bin"
guest_code_end:
	.section .note.GNU-stack, "", %progbits
