/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_FUZZ_H
#define EAGERSPLITD_FUZZ_H

/* What libFuzzer calls, and how a fuzzer says that something is wrong. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that no build option turns off. */
#define check(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#endif /* EAGERSPLITD_FUZZ_H */
