// SPDX-License-Identifier: GPL-2.0-or-later
/* phase N: tells the emulator's TLBI counter that phase N (0 to 255) starts. */
#include <stdio.h>
#include <stdlib.h>

#include "../phase.h"

/* A HINT's number is part of the instruction: one for each digit. */
#define DIGIT(n)                                                                  \
	case n:                                                                   \
		asm volatile("hint %0" : : "i"(PHASE_HINT_DIGIT + n) : "memory"); \
		break

static void send_digit(unsigned int digit)
{
	switch (digit) {
		DIGIT(0);
		DIGIT(1);
		DIGIT(2);
		DIGIT(3);
		DIGIT(4);
		DIGIT(5);
		DIGIT(6);
		DIGIT(7);
		DIGIT(8);
		DIGIT(9);
		DIGIT(10);
		DIGIT(11);
		DIGIT(12);
		DIGIT(13);
		DIGIT(14);
		DIGIT(15);
	}
}

int main(int argc, char **argv)
{
	unsigned long phase;

	if (argc != 2) {
		fprintf(stderr, "usage: phase N\n");
		return 2;
	}
	phase = strtoul(argv[1], NULL, 0);
	if (phase > PHASE_MAX) {
		fprintf(stderr, "phase: at most %d\n", PHASE_MAX);
		return 2;
	}
	send_digit(phase >> 4);
	send_digit(phase & 15);
	asm volatile("hint %0" : : "i"(PHASE_HINT_COMMIT) : "memory");
	return 0;
}
