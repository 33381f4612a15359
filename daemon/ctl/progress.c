// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/progress.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/format.h"
#include "ctl/text.h"

#define BAR_MIN 10
#define BAR_MAX 40

/* A rate over less than this jumps about. */
#define RATE_NSEC (NSEC_PER_SEC / 2)

void progress_init(struct progress *p, const struct term *term)
{
	*p = (struct progress){ .bar = term->redraw, .bar_width = BAR_MAX };
}

double progress_fraction(const struct progress *p, const struct ctl_vm *vm)
{
	if (strcmp(vm->stage, "split") == 0)
		return 1;
	if (p->most_bytes == 0)
		return 0;
	return 1 - (double)p->least_bytes / (double)p->most_bytes;
}

static void start(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	p->started = true;
	p->start_nsec = p->rate_nsec = now;
	p->start_split = p->rate_split = vm->blocks_split;
	p->start_tlbis = vm->tlbis;
}

static void take(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	uint64_t passed;

	if (!p->started)
		start(p, vm, now);
	/* Bytes, not blocks: a 1 GiB block may become 512 of 2 MiB on its way to pages. */
	if (vm->block_bytes > p->most_bytes)
		p->most_bytes = p->least_bytes = vm->block_bytes;
	p->least_bytes = min_u64(p->least_bytes, vm->block_bytes);

	passed = now - p->rate_nsec;
	if (passed >= RATE_NSEC && vm->blocks_split >= p->rate_split) {
		p->rate = (double)(vm->blocks_split - p->rate_split) * (double)NSEC_PER_SEC /
			  (double)passed;
		p->rate_nsec = now;
		p->rate_split = vm->blocks_split;
	}
}

/* " 45%  14745 blocks, 998/s, 14745 TLBIs, 18s left"; without the TLBIs where that is too wide. */
static void format_counts(const struct progress *p, const struct ctl_vm *vm, char *buf, size_t size,
			  int width)
{
	char rate[FORMAT_SIZE] = "", tlbis[FORMAT_SIZE], left[FORMAT_SIZE + 8] = "";
	uint64_t spent = vm->tlbis - p->start_tlbis, split = vm->blocks_split - p->start_split;
	char span[FORMAT_SIZE];
	int length;

	if (p->rate > 0)
		snprintf(rate, sizeof(rate), ", %.0f/s", p->rate);
	snprintf(tlbis, sizeof(tlbis), ", %" PRIu64 " TLBI%s", spent, plural(spent));
	if (vm->has_eta)
		snprintf(left, sizeof(left), ", %s left", format_span(span, vm->eta_usec));
	do {
		length = snprintf(buf, size, "%3d%%  %" PRIu64 " block%s%s%s%s%s",
				  (int)(100 * progress_fraction(p, vm)), split, plural(split), rate,
				  tlbis, left, vm->late ? ", late" : "");
	} while (length > width && *tlbis && !(*tlbis = '\0'));
}

static void draw_bar(struct progress *p, const struct ctl_vm *vm)
{
	static const char full[] = "########################################";
	static const char none[] = "........................................";
	/* Now: its width may have changed since. */
	struct term term = term_stdout();
	enum colour colour = vm->late ? COLOUR_YELLOW : COLOUR_GREEN;
	int name = (int)min_u64((uint64_t)text_width(vm->name), (uint64_t)term.width / 3);
	char counts[160];
	int room, done;

	format_counts(p, vm, counts, sizeof(counts), term.width - 3 - name);
	/* One column stays free: a full line would make some terminals go to the next. */
	room = term.width - 1 - name - (int)strlen(counts) - 5;
	/* As wide as the longest line so far lets it be: it shall not twitch. */
	if (room > p->bar_width)
		room = p->bar_width;
	p->bar_width = room;
	putchar('\r');
	text_put(vm->name, name, &term, stdout);
	putchar(' ');
	if (room >= BAR_MIN) {
		done = (int)((double)room * progress_fraction(p, vm));
		printf(" [%s%.*s%s%.*s]", term_on(&term, colour), done, full,
		       term_off(&term, colour), room - done, none);
	}
	/* Clears what a longer line has left. */
	printf(" %.*s\033[K", term.width - 3 - name, counts);
	fflush(stdout);
	p->drawn = true;
}

static void print_line(struct progress *p, const struct ctl_vm *vm)
{
	unsigned int tenths = (unsigned int)(10 * progress_fraction(p, vm));
	char counts[160];

	if (strcmp(p->stage, vm->stage) == 0 && tenths == p->tenths)
		return;
	format_counts(p, vm, counts, sizeof(counts), INT_MAX);
	printf("%s: %s %s\n", vm->name, vm->stage, counts);
	fflush(stdout);
	p->tenths = tenths;
	snprintf(p->stage, sizeof(p->stage), "%s", vm->stage);
}

void progress_update(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	take(p, vm, now);
	if (p->bar)
		draw_bar(p, vm);
	else
		print_line(p, vm);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		putchar('\n');
	p->drawn = false;
}

void progress_summary(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	char size[FORMAT_SIZE], span[FORMAT_SIZE];
	uint64_t spent = vm->tlbis - p->start_tlbis, split = vm->blocks_split - p->start_split;

	progress_end(p);
	if (split == 0) {
		printf("%s: all in pages, nothing was left to split.\n", vm->name);
		return;
	}
	printf("%s: split %" PRIu64 " block%s (%s) in %s, for %" PRIu64 " TLBI%s.\n", vm->name,
	       split, plural(split), format_bytes(size, p->most_bytes),
	       format_span(span, (now - p->start_nsec) / NSEC_PER_USEC), spent, plural(spent));
}
