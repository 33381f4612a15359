/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of systemd-machined (host/machined.h). */
#ifndef EAGERSPLITD_FAKE_MACHINED_H
#define EAGERSPLITD_FAKE_MACHINED_H

/* Answers the last question, if there is one that has not been. */
void machined_answer(const char *name);

#endif /* EAGERSPLITD_FAKE_MACHINED_H */
