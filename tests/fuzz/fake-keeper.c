// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-keeper.h"

#include <errno.h>

#include "fake-host.h"
#include "store/fd-store.h"
#include "fuzz.h"
#include "store/vm-store.h"

#define KEPT_MAX 256

struct vm_store {
	int unused;
};

static struct {
	bool deaf;
	int error;
	bool removed;
	size_t n_records;
	struct vm_record records[KEPT_MAX];
	size_t n_splitters;
	struct {
		uint64_t vm_id;
		int file;
	} splitters[KEPT_MAX];
} keeper;

void keeper_set_deaf(bool deaf)
{
	keeper.deaf = deaf;
}

void keeper_set_error(int error)
{
	keeper.error = error;
}

int keeper_get_error(void)
{
	return keeper.error ?: keeper.removed ? -ENOENT : 0;
}

static size_t find_record(uint64_t vm_id)
{
	size_t i = 0;

	while (i < keeper.n_records && keeper.records[i].vm_id != vm_id)
		i++;
	return i;
}

const struct vm_record *keeper_find_record(uint64_t vm_id)
{
	size_t i = find_record(vm_id);

	return i < keeper.n_records ? &keeper.records[i] : NULL;
}

void keeper_remove_folder(void)
{
	keeper.removed = true;
	keeper.n_records = 0;
}

size_t keeper_give_splitters(int *files, size_t max)
{
	size_t n = 0, i = 0;

	while (i < keeper.n_splitters && n < max) {
		int file = keeper.splitters[i].file;

		if (!host_file_is_alive(file)) {
			host_close_file(file);
			keeper.splitters[i] = keeper.splitters[--keeper.n_splitters];
			continue;
		}
		host_dup_file(file);
		files[n++] = file;
		i++;
	}
	return n;
}

void keeper_clear(void)
{
	while (keeper.n_splitters)
		host_close_file(keeper.splitters[--keeper.n_splitters].file);
	keeper.n_records = 0;
	keeper.error = 0;
	keeper.removed = false;
	keeper.deaf = false;
}

/*
 * vm-store.h
 */

struct vm_store *vm_store_free(struct vm_store *s)
{
	free(s);
	return NULL;
}

int vm_store_new(struct vm_store **ret, const char *folder)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

int vm_store_open(struct vm_store *s)
{
	if (!keeper.removed)
		return 0;
	if (keeper.error)
		return keeper.error;
	keeper.removed = false;
	return 1;
}

bool vm_store_contradicts(const struct vm_store *s, uint64_t vm_id)
{
	return keeper.error == -EROFS && find_record(vm_id) < keeper.n_records;
}

void vm_store_remove(struct vm_store *s, uint64_t vm_id)
{
	size_t i = find_record(vm_id);

	if (!keeper.deaf && keeper.error != -EROFS && i < keeper.n_records)
		keeper.records[i] = keeper.records[--keeper.n_records];
}

int vm_store_save(struct vm_store *s, const struct vm_record *record)
{
	size_t i = find_record(record->vm_id);

	if (keeper.deaf)
		return 0;
	if (keeper.error) {
		vm_store_remove(s, record->vm_id);
		return keeper.error;
	}
	check(i < KEPT_MAX);
	keeper.records[i] = *record;
	if (i == keeper.n_records)
		keeper.n_records++;
	return 0;
}

int vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret)
{
	size_t i = find_record(vm_id);

	if (i == keeper.n_records)
		return -ENOENT;
	*ret = keeper.records[i];
	return 0;
}

int vm_store_load(struct vm_store *s, bool (*found)(void *userdata, const struct vm_record *record),
		  void *userdata)
{
	size_t i = 0;

	while (i < keeper.n_records) {
		if (found(userdata, &keeper.records[i]))
			i++;
		else
			keeper.records[i] = keeper.records[--keeper.n_records];
	}
	return 0;
}

/*
 * fd-store.h
 */

bool fd_store_is_ours(const char *name)
{
	return true;
}

void fd_store_add(struct notify *notify, uint64_t vm_id, int fd)
{
	if (keeper.deaf)
		return;
	check(keeper.n_splitters < KEPT_MAX);
	host_dup_file(fd);
	keeper.splitters[keeper.n_splitters].vm_id = vm_id;
	keeper.splitters[keeper.n_splitters++].file = fd;
}

void fd_store_remove(struct notify *notify, uint64_t vm_id)
{
	size_t i = 0;

	while (!keeper.deaf && i < keeper.n_splitters) {
		if (keeper.splitters[i].vm_id != vm_id) {
			i++;
			continue;
		}
		host_close_file(keeper.splitters[i].file);
		keeper.splitters[i] = keeper.splitters[--keeper.n_splitters];
	}
}
