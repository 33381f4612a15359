/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VMM that hands eagersplitd a splitter of its own VM, which takes nobody's leave to look into it. */
#ifndef LAB_HAND_OVER_H
#define LAB_HAND_OVER_H

/*
 * Registers the VM of descriptor @vm as @name, over the control socket at @path. 0 or a negative
 * errno; -EREMOTEIO: the daemon refuses, and standard error has its reply.
 */
int hand_over(int vm, const char *path, const char *name);

#endif
