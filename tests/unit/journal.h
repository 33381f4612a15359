/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the journal is given, in place of which there is a list here. Linked with --wrap=sd_journal_sendv. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

/* The entries that came, a field a line; and what the journal answers. */
static char entries[8192];
static int answer;

int __wrap_sd_journal_sendv(const struct iovec *iov, int n)
{
	if (answer < 0)
		return answer;
	for (int i = 0; i < n; i++)
		snprintf(entries + strlen(entries), sizeof(entries) - strlen(entries), "%.*s\n",
			 (int)iov[i].iov_len, (const char *)iov[i].iov_base);
	return 0;
}

/* Where stderr is what systemd connected, by what systemd says of it. */
static inline void connect_stderr(bool journal)
{
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino + !journal);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

#endif /* JOURNAL_H */
