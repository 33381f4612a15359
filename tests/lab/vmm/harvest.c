// SPDX-License-Identifier: GPL-2.0-or-later
#include "harvest.h"

#include <errno.h>
#include <stdatomic.h>

#include "../workload.h"

/* A page's word 0 is its generation, whatever the guest's own count says. */
static uint64_t generation(const struct vm_slot_view *view, uint64_t page)
{
	return view->memory[page * WORKLOAD_WORDS];
}

static bool is_logged(const struct vm_slot_view *view, uint64_t page)
{
	uint64_t bit = page / view->pages_a_bit;

	return view->bitmap[bit / 64] >> bit % 64 & 1;
}

int harvest_begin(struct vm *vm, unsigned int number)
{
	struct vm_slot_view view;
	uint64_t page;
	int err = vm_slot_view(vm, number, &view);

	for (page = 0; !err && page < view.pages; page++)
		view.copied[page] = generation(&view, page);
	return err;
}

int harvest_collect(struct vm *vm, unsigned int number, bool manual, uint64_t first, uint64_t pages,
		    uint64_t *logged)
{
	struct vm_slot_view view;
	struct vm_dirty dirty;
	uint64_t page;
	int err;

	err = vm_get_dirty(vm, number, &dirty);
	if (err)
		return err;
	vm_slot_view(vm, number, &view);
	if (!manual)
		first = pages = 0;
	if (first > view.pages || pages > view.pages - first)
		return -EINVAL;
	if (!pages)
		pages = view.pages - first;
	if (manual)
		err = vm_clear_dirty(vm, number, first, pages);
	atomic_thread_fence(memory_order_seq_cst);
	for (page = first; page < first + pages && !err; page++) {
		if (is_logged(&view, page))
			view.copied[page] = generation(&view, page);
	}
	*logged = dirty.pages;
	return err;
}

int harvest_check(struct vm *vm, unsigned int number, bool manual, struct harvest_check *result)
{
	struct vm_slot_view view;
	struct vm_dirty dirty;
	uint64_t page;
	int err;

	*result = (struct harvest_check){ 0 };
	err = vm_get_dirty(vm, number, &dirty);
	if (err)
		return err;
	vm_slot_view(vm, number, &view);
	for (page = 0; page < view.pages; page++) {
		if (generation(&view, page) != view.copied[page] && !is_logged(&view, page)) {
			result->missing++;
			result->missing_page = page;
		}
		/* The log is empty now, if there is no other way to clear it. */
		if (!manual && is_logged(&view, page))
			view.copied[page] = generation(&view, page);
	}
	result->logged = dirty.pages;
	return 0;
}
