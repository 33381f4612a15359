// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ticker CPU NS: interrupts a CPU every so many nanoseconds, until standard input ends.
 * Where the host's CPUs take turns, it makes these so short.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
	};

	if (argc != 3) {
		fputs("usage: ticker CPU NS\n", stderr);
		return 2;
	}
	attr.sample_period = strtoull(argv[2], NULL, 0);
	if (syscall(SYS_perf_event_open, &attr, -1, atoi(argv[1]), -1, PERF_FLAG_FD_CLOEXEC) < 0) {
		perror("ticker: perf_event_open");
		return 1;
	}
	puts("ok");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
