// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/util.h"

struct item {
	struct hash_node node;
	uint64_t key;
};

static size_t count(const struct hash *h, uint64_t key)
{
	size_t n = 0;

	for (struct hash_node *node = hash_first(h, hash_of_number(key)); node;
	     node = hash_next(node))
		n += container_of(node, struct item, node)->key == key;
	return n;
}

static void test_some(void **state)
{
	static struct hash h;
	struct item a = { .key = 1 }, b = { .key = 1 }, c = { .key = 1 }, d = { .key = 2 };

	hash_remove(&a.node);
	assert_null(hash_first(&h, hash_of_number(1)));
	hash_add(&h, &a.node, hash_of_number(1));
	hash_add(&h, &b.node, hash_of_number(1));
	hash_add(&h, &c.node, hash_of_number(1));
	hash_add(&h, &d.node, hash_of_number(2));
	assert_int_equal(count(&h, 1), 3);
	assert_int_equal(count(&h, 2), 1);
	assert_ptr_equal(hash_first(&h, hash_of_number(1)), &c.node);
	hash_remove(&b.node);
	assert_int_equal(count(&h, 1), 2);
	hash_remove(&c.node);
	hash_remove(&a.node);
	hash_remove(&a.node);
	assert_int_equal(count(&h, 1), 0);
	assert_int_equal(count(&h, 2), 1);
}

/* One chain for two keys: they are told apart all the same. */
static void test_one_chain(void **state)
{
	static struct hash h;
	struct item a = { .key = 7 }, b = { .key = 7 + HASH_CHAINS };

	hash_add(&h, &a.node, a.key);
	hash_add(&h, &b.node, b.key);
	assert_ptr_equal(hash_first(&h, a.key), &a.node);
	assert_ptr_equal(hash_first(&h, b.key), &b.node);
	assert_null(hash_next(&b.node));
	hash_remove(&b.node);
	assert_ptr_equal(hash_first(&h, a.key), &a.node);
}

/* The longest chain of 4096 keys such as there are. */
static size_t longest(uint64_t (*hash_of)(unsigned int i))
{
	size_t n[HASH_CHAINS] = {}, most = 0;

	for (unsigned int i = 0; i < 4096; i++)
		most = max_u64(most, ++n[hash_of(i) % HASH_CHAINS]);
	return most;
}

static uint64_t hash_of_pid(unsigned int i)
{
	return hash_of_number(1000 + i);
}

static uint64_t hash_of_time(unsigned int i)
{
	return hash_of_number(UINT64_C(123456789012345) + i * UINT64_C(1048576));
}

static uint64_t hash_of_name(unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "instance-%08x", i);
	return hash_of_string(name);
}

static void test_spread(void **state)
{
	assert_in_range(longest(hash_of_pid), 4, 20);
	assert_in_range(longest(hash_of_time), 4, 20);
	assert_in_range(longest(hash_of_name), 4, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some),
		cmocka_unit_test(test_one_chain),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
