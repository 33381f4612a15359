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

void progress_init(struct progress *p, const struct term *term, bool back)
{
	*p = (struct progress){ .back = back, .bar = term->redraw, .bar_width = BAR_MAX };
}

bool progress_is_done(const struct progress *p, const struct ctl_vm *vm)
{
	return strcmp(vm->stage, p->back ? "whole" : "split") == 0;
}

/* What is left, at most: not all that pages map can be a block. */
static uint64_t get_left(const struct progress *p, const struct ctl_vm *vm)
{
	return p->back ? vm->bytes - min_u64(vm->block_bytes, vm->bytes) : vm->block_bytes;
}

/* Blocks split, or back, since it began. */
static uint64_t get_blocks(const struct progress *p, const struct ctl_vm *vm)
{
	if (p->back)
		return vm->blocks - min_u64(p->start_blocks, vm->blocks);
	return vm->blocks_split - p->start_split;
}

double progress_fraction(const struct progress *p, const struct ctl_vm *vm)
{
	if (progress_is_done(p, vm))
		return 1;
	if (p->most_bytes == 0)
		return 0;
	return 1 - (double)p->least_bytes / (double)p->most_bytes;
}

static void start(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	p->started = true;
	p->start_nsec = p->rate_nsec = now;
	p->start_split = vm->blocks_split;
	p->start_blocks = vm->blocks;
	p->start_tlbis = vm->tlbis;
}

static void take(struct progress *p, const struct ctl_vm *vm, uint64_t now)
{
	uint64_t passed, left, blocks;

	if (!p->started)
		start(p, vm, now);
	left = get_left(p, vm);
	blocks = get_blocks(p, vm);
	/* Bytes, not blocks: a 1 GiB block may become 512 of 2 MiB on its way to pages. */
	if (left > p->most_bytes)
		p->most_bytes = p->least_bytes = left;
	p->least_bytes = min_u64(p->least_bytes, left);

	passed = now - p->rate_nsec;
	if (passed >= RATE_NSEC && blocks >= p->rate_blocks) {
		p->rate = (double)(blocks - p->rate_blocks) * (double)NSEC_PER_SEC / (double)passed;
		p->rate_nsec = now;
		p->rate_blocks = blocks;
	}
}

/* How long it will take: as the daemon says, or, of blocks that come back, as it went so far. */
static bool get_eta(const struct progress *p, const struct ctl_vm *vm, uint64_t *ret_usec)
{
	uint64_t passed = p->rate_nsec - p->start_nsec, done = p->most_bytes - p->least_bytes;

	if (!p->back) {
		*ret_usec = vm->eta_usec;
		return vm->has_eta;
	}
	if (passed < RATE_NSEC || done == 0)
		return false;
	*ret_usec = (uint64_t)((double)p->least_bytes * (double)passed / (double)done /
			       (double)NSEC_PER_USEC);
	return true;
}

/* " 45%  14745 blocks, 998/s, 14745 TLBIs, 18s left"; without the TLBIs where that is too wide. */
static void format_counts(const struct progress *p, const struct ctl_vm *vm, char *buf, size_t size,
			  int width)
{
	char rate[FORMAT_SIZE] = "", tlbis[FORMAT_SIZE], left[FORMAT_SIZE + 8] = "";
	uint64_t spent = vm->tlbis - p->start_tlbis, blocks = get_blocks(p, vm), eta;
	char span[FORMAT_SIZE];
	int length;

	if (p->rate > 0)
		snprintf(rate, sizeof(rate), ", %.0f/s", p->rate);
	snprintf(tlbis, sizeof(tlbis), ", %" PRIu64 " TLBI%s", spent, plural(spent));
	if (get_eta(p, vm, &eta))
		snprintf(left, sizeof(left), ", %s left", format_span(span, eta));
	do {
		length = snprintf(buf, size, "%3d%%  %" PRIu64 " block%s%s%s%s%s",
				  (int)(100 * progress_fraction(p, vm)), blocks, plural(blocks),
				  rate, tlbis, left, vm->late && !p->back ? ", late" : "");
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

static void summarize_back(const struct progress *p, const struct ctl_vm *vm, const char *span)
{
	uint64_t blocks = get_blocks(p, vm);
	char size[FORMAT_SIZE];

	if (blocks == 0)
		printf("%s: no block has come back; %s in blocks.\n", vm->name,
		       format_bytes(size, vm->block_bytes));
	else
		printf("%s: %" PRIu64 " block%s came back in %s, for %" PRIu64
		       " TLBI%s; %s in blocks.\n",
		       vm->name, blocks, plural(blocks), span, vm->tlbis - p->start_tlbis,
		       plural(vm->tlbis - p->start_tlbis), format_bytes(size, vm->block_bytes));
}

void progress_summary(struct progress *p, const struct ctl_vm *vm, uint64_t now, bool at_most)
{
	uint64_t spent = vm->tlbis - p->start_tlbis, split = get_blocks(p, vm);
	char size[FORMAT_SIZE], time[FORMAT_SIZE], span[FORMAT_SIZE + 8];

	progress_end(p);
	snprintf(span, sizeof(span), "%s%s", at_most ? "at most " : "",
		 format_span(time, (now - p->start_nsec) / NSEC_PER_USEC));
	if (p->back)
		summarize_back(p, vm, span);
	else if (split == 0)
		printf("%s: all in pages, nothing was left to split.\n", vm->name);
	else
		printf("%s: split %" PRIu64 " block%s (%s) in %s, for %" PRIu64 " TLBI%s.\n",
		       vm->name, split, plural(split), format_bytes(size, p->most_bytes), span,
		       spent, plural(spent));
}
