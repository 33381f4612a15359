/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_SCREEN_H
#define EAGERSPLITD_CTL_SCREEN_H

/* A terminal as a screen that is drawn over, and whose keys are read one by one. */

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define SCREEN_QUIT (-2) /* somebody wants it to end: a signal, or the terminal is gone */
#define SCREEN_NONE (-1) /* no key, but the time is over, or the size has changed */

struct screen;

/* Takes over the terminal of standard input and output, until it is freed. 0 or a negative errno. */
int screen_new(struct screen **ret);

/* Gives the terminal back as it was. Returns NULL. */
struct screen *screen_free(struct screen *screen);
DEFINE_CLEANUP(struct screen *, screen_free);

/* How many lines there are. */
int screen_height(const struct screen *screen);

/* Draws text, as many of its lines as there is room for, over what there was. */
void screen_draw(struct screen *screen, const char *text);

/* Waits for a key, for so long at most. Returns it, or SCREEN_*. */
int screen_wait(struct screen *screen, uint64_t usec);

#endif /* EAGERSPLITD_CTL_SCREEN_H */
