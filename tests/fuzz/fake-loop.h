/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of sd-event and the clocks: time goes by when it is told to, and nothing waits. Linked
 * with --wrap=clock_gettime.
 */
#ifndef EAGERSPLITD_FAKE_LOOP_H
#define EAGERSPLITD_FAKE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

/* The clocks begin anew, and stand still from now on. */
void loop_begin(void);

/* They are the machine's again. */
void loop_end(void);

/* Nanoseconds since loop_begin(), without those of loop_suspend(). */
uint64_t loop_now(void);

/* Lets time go by; while the host is suspended only on clocks that count that, too. */
void loop_advance(uint64_t nsec);
void loop_suspend(uint64_t nsec);

/* Sets the wall clock. */
void loop_set_wall_clock(int64_t offset_nsec);

/* What is watching @fd is to be told of @revents, once. */
void loop_poll(sd_event *event, int fd, uint32_t revents);

/* Dispatches what is due first. False: nothing is. */
bool loop_turn(sd_event *event);

/* In how many nanoseconds the next timer will be due; UINT64_MAX: none will ever. */
uint64_t loop_next(const sd_event *event);

#endif /* EAGERSPLITD_FAKE_LOOP_H */
