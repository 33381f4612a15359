// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/util.h"

#define N 500

struct item {
	struct heap_node node;
	uint64_t key;
};

static uint64_t compared;

static bool is_less(const struct heap_node *a, const struct heap_node *b)
{
	compared++;
	return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

static uint64_t first_key(const struct heap *h)
{
	return container_of(heap_first(h), struct item, node)->key;
}

static void test_empty(void **state)
{
	struct heap h = { .less = is_less };
	struct item a = { .key = 1 };

	assert_null(heap_first(&h));
	heap_remove(&h, &a.node);
	heap_add(&h, &a.node);
	assert_ptr_equal(heap_first(&h), &a.node);
	heap_remove(&h, &a.node);
	assert_null(heap_first(&h));
	assert_int_equal(h.n, 0);
}

/* Against looking at all: comes and goes at random, anywhere in it, with keys that are the same. */
static void test_as_a_list(void **state)
{
	static struct item items[N];
	struct heap h = { .less = is_less };
	uint64_t rng = 1;

	for (int round = 0; round < 20000; round++) {
		uint64_t least = UINT64_MAX;
		struct item *item;
		size_t n = 0;

		rng = rng * 6364136223846793005 + 1442695040888963407;
		item = &items[(rng >> 33) % N];
		if (item->node.linked) {
			heap_remove(&h, &item->node);
		} else {
			item->key = (rng >> 20) % 100;
			heap_add(&h, &item->node);
		}
		for (size_t i = 0; i < N; i++) {
			if (!items[i].node.linked)
				continue;
			least = min_u64(least, items[i].key);
			n++;
		}
		assert_int_equal(h.n, n);
		assert_int_equal(n ? first_key(&h) : UINT64_MAX, least);
	}
}

/* Comparisons to put @n in order, from the worst order to the best. */
static uint64_t sort(size_t n, uint64_t step)
{
	_cleanup_free_ struct item *items = calloc(n, sizeof(*items));
	struct heap h = { .less = is_less };
	uint64_t last = 0;

	assert_non_null(items);
	compared = 0;
	for (size_t i = 0; i < n; i++) {
		items[i].key = i * step % n;
		heap_add(&h, &items[i].node);
	}
	while (heap_first(&h)) {
		assert_true(first_key(&h) >= last);
		last = first_key(&h);
		heap_remove(&h, heap_first(&h));
	}
	return compared;
}

/* n log n, whatever the order that they come in. */
static void test_growth(void **state)
{
	static const uint64_t steps[] = { 1, 4095, 1009, 2048 };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		assert_in_range(sort(4096, steps[i]), 0, 2 * 4096 * 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_as_a_list),
		cmocka_unit_test(test_growth),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
