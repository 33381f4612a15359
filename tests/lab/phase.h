/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a program in the emulated host tells the emulator's TLBI counter which
 * phase of a scenario runs now: by HINT instructions whose numbers the
 * architecture leaves unallocated, so that they do nothing at any exception
 * level. A phase is sent as two hexadecimal digits and a commit.
 *
 * Guests of the emulated host must not use these numbers.
 */
#ifndef LAB_PHASE_H
#define LAB_PHASE_H

#define PHASE_HINT_COMMIT 111
#define PHASE_HINT_DIGIT  112 /* ... to 127 */
#define PHASE_MAX	  255

#endif
