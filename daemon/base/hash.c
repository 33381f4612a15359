// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/hash.h"

#include <stddef.h>

/* The end of splitmix64: each bit of the key changes half of those of the hash. */
uint64_t hash_of_number(uint64_t key)
{
	key ^= key >> 30;
	key *= UINT64_C(0xbf58476d1ce4e5b9);
	key ^= key >> 27;
	key *= UINT64_C(0x94d049bb133111eb);
	return key ^ key >> 31;
}

/* FNV-1a, stirred once more. */
uint64_t hash_of_string(const char *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
	return hash_of_number(hash);
}

void hash_add(struct hash *h, struct hash_node *node, uint64_t hash)
{
	struct hash_node **link = &h->chains[hash % HASH_CHAINS];

	*node = (struct hash_node){ .next = *link, .link = link, .hash = hash };
	if (node->next)
		node->next->link = &node->next;
	*link = node;
}

void hash_remove(struct hash_node *node)
{
	if (!node->link)
		return;
	*node->link = node->next;
	if (node->next)
		node->next->link = node->link;
	*node = (struct hash_node){};
}

static struct hash_node *find(struct hash_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hash_node *hash_first(const struct hash *h, uint64_t hash)
{
	return find(h->chains[hash % HASH_CHAINS], hash);
}

struct hash_node *hash_next(const struct hash_node *node)
{
	return find(node->next, node->hash);
}
