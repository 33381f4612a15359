// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-host.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "fake-loop.h"
#include "fake-pool.h"
#include "fuzz.h"
#include "host/qemu-name.h"

/* Descriptors above that are files of this host. */
#define FILES_FIRST (1 << 20)

/**
 * struct file - an open splitter, whoever has it
 * @news: the VM's dirty logging was switched since the last survey
 */
struct file {
	int number;
	struct host_vm *vm;
	unsigned int refs;
	bool held;
	bool news;
	TAILQ_ENTRY(file) link;
};

struct host_backend {
	struct backend backend;
	host_event_fn event;
	void *userdata;
};

struct fake_splitter {
	struct backend_vm vm;
	struct file *file;
};

struct host host;

static struct {
	int next;
	TAILQ_HEAD(file_list, file) list;
} files;

/* The one of the daemon that is there. */
static struct host_backend *current;

/*
 * Files
 */

static struct file *find_file(int number)
{
	struct file *file;

	TAILQ_FOREACH(file, &files.list, link)
		if (file->number == number)
			return file;
	return NULL;
}

int host_make_file(struct host_vm *vm, bool held)
{
	struct file *file = calloc(1, sizeof(*file));

	check(file);
	*file = (struct file){ .number = files.next++, .vm = vm, .refs = 1, .held = held };
	TAILQ_INSERT_TAIL(&files.list, file, link);
	return file->number;
}

bool host_file_is_alive(int number)
{
	const struct file *file = find_file(number);

	check(file);
	return file->vm->alive;
}

uint32_t host_poll_file(int number)
{
	const struct file *file = find_file(number);

	return file && (file->news || !file->vm->alive) ? EPOLLIN : 0;
}

void host_dup_file(int number)
{
	struct file *file = find_file(number);

	check(file);
	file->refs++;
}

void host_close_file(int number)
{
	struct file *file = find_file(number);

	check(file);
	if (--file->refs)
		return;
	TAILQ_REMOVE(&files.list, file, link);
	free(file);
}

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd)
{
	if (fd < FILES_FIRST)
		return __real_close(fd);
	host_close_file(fd);
	return 0;
}

/*
 * VMs
 */

void host_begin(void)
{
	host = (struct host){ .supported = true, .batch = 4, .tlbi_nsec = NSEC_PER_USEC };
	host.next_id = 1;
	TAILQ_INIT(&host.vms);
	TAILQ_INIT(&files.list);
	files.next = FILES_FIRST;
	current = NULL;
}

void host_end(void)
{
	struct host_vm *vm;

	check(TAILQ_EMPTY(&files.list));
	check(!current);
	while ((vm = TAILQ_FIRST(&host.vms))) {
		TAILQ_REMOVE(&host.vms, vm, link);
		free(vm);
	}
}

void host_tell(enum host_event event, pid_t pid)
{
	if (current && current->event)
		current->event(current->userdata, event, pid);
}

static struct host_vm *find_vm(pid_t pid, int number)
{
	struct host_vm *vm;

	TAILQ_FOREACH(vm, &host.vms, link)
		if (vm->alive && vm->pid == pid && vm->number == number)
			return vm;
	return NULL;
}

struct host_vm *host_create_vm(pid_t pid)
{
	struct host_vm *vm;

	if (host.n_vms == HOST_VMS_MAX)
		return NULL;
	vm = calloc(1, sizeof(*vm));
	check(vm);
	vm->id = host.next_id++;
	vm->pid = pid;
	while (find_vm(pid, vm->number))
		vm->number++;
	vm->alive = true;
	host.n_vms++;
	TAILQ_INSERT_TAIL(&host.vms, vm, link);
	return vm;
}

/* Its splitters have something to tell. */
static void poll_files(sd_event *loop, const struct host_vm *vm)
{
	struct file *file;

	TAILQ_FOREACH(file, &files.list, link)
		if (file->vm == vm)
			loop_poll(loop, file->number, EPOLLIN);
}

void host_destroy_vm(sd_event *loop, struct host_vm *vm)
{
	vm->alive = false;
	poll_files(loop, vm);
}

void host_log(sd_event *loop, struct host_vm *vm, size_t slot, bool on)
{
	struct file *file;

	if (slot >= vm->n_slots || vm->slots[slot].logged == on)
		return;
	vm->slots[slot].logged = on;
	TAILQ_FOREACH(file, &files.list, link)
		if (file->vm == vm)
			file->news = true;
	poll_files(loop, vm);
}

bool host_is_held(const struct host_vm *vm)
{
	const struct file *file;

	TAILQ_FOREACH(file, &files.list, link)
		if (file->vm == vm && file->held)
			return true;
	return false;
}

void host_fault(struct host_vm *vm, uint32_t blocks)
{
	if (vm->held_by_other || host_is_held(vm))
		return;
	for (size_t i = 0; i < vm->n_slots; i++) {
		struct host_slot *slot = &vm->slots[i];

		if (!slot->logged)
			slot->blocks |= blocks & (UINT32_MAX >> (HOST_BLOCKS_MAX - slot->n_blocks));
	}
}

uint64_t host_count_blocks(const struct host_vm *vm)
{
	uint64_t n = 0;

	for (size_t i = 0; i < vm->n_slots; i++)
		n += (unsigned int)__builtin_popcount(vm->slots[i].blocks);
	return n;
}

/*
 * The backend
 */

/* What means that it is no use to try again. */
static bool is_for_good(int error)
{
	return error == -EIO || error == -EPERM;
}

/* What @call returns but for what it does. */
static int get_fault(enum host_call call, struct host_vm *vm)
{
	if (!host.n_fails || !(host.fails & call))
		return 0;
	host.n_fails--;
	if (is_for_good(host.error)) {
		host.refused = true;
		if (vm)
			vm->failed = true;
	}
	return host.error;
}

static void fake_free(struct backend *backend)
{
	check((struct host_backend *)backend == current);
	current = NULL;
	free(backend);
}

static void fake_probe(struct backend *backend, struct backend_host *ret)
{
	*ret = (struct backend_host){
		.supported = host.supported,
		.reason = host.supported ? NULL : "it is not",
		.bbm_level = host.bbm_level,
		.batch = host.batch,
	};
}

static int fake_watch(struct backend *backend, sd_event *loop, host_event_fn event, void *userdata)
{
	current->event = event;
	current->userdata = userdata;
	return 0;
}

static bool has_vm(pid_t pid)
{
	const struct host_vm *vm;

	TAILQ_FOREACH(vm, &host.vms, link)
		if (vm->alive && vm->shown && vm->pid == pid)
			return true;
	return false;
}

static int fake_scan(struct backend *backend, int (*found)(void *userdata, pid_t pid),
		     void *userdata)
{
	int r = get_fault(HOST_CALL_SCAN, NULL);

	for (int i = 0; r == 0 && i < HOST_PROCESSES; i++)
		if (has_vm(HOST_PID(i)))
			r = found(userdata, HOST_PID(i));
	return r;
}

static bool is_process(pid_t pid)
{
	return pid >= HOST_PID(0) && pid <= HOST_PID(HOST_PROCESSES - 1);
}

/* Every other one is nobody's who is trusted. */
static int64_t get_uid(pid_t pid)
{
	return (pid - HOST_PID(0)) % 2 ? 1000 : 0;
}

static int fake_guest_names(struct backend *backend, pid_t pid, struct guest_names *ret)
{
	int r = get_fault(HOST_CALL_NAME, NULL);
	const char *name;

	if (r < 0)
		return r;
	if (!is_process(pid))
		return -ESRCH;
	name = host.names[(size_t)(pid - HOST_PID(0))];
	if (!name)
		return -ENOENT;
	*ret = (struct guest_names){ .uid = get_uid(pid) };
	strcpy(ret->name, name);
	if (pid == HOST_PID(2))
		strcpy(ret->uuid, HOST_UUID);
	return 0;
}

static struct backend_vm *new_splitter(int number)
{
	struct fake_splitter *splitter = calloc(1, sizeof(*splitter));

	check(splitter);
	splitter->file = find_file(number);
	splitter->vm = (struct backend_vm){
		.backend = &current->backend,
		.fd = number,
		.id = splitter->file->vm->id,
		.uid = get_uid(splitter->file->vm->pid),
	};
	return &splitter->vm;
}

static int fake_look(struct backend *backend, pid_t pid, int numbers[BACKEND_VMS_MAX],
		     struct backend_vm *vms[BACKEND_VMS_MAX])
{
	int r = get_fault(HOST_CALL_LOOK, NULL), n = 0;
	struct host_vm *vm;

	if (r < 0)
		return r;
	if (!is_process(pid))
		return -ESRCH;
	TAILQ_FOREACH(vm, &host.vms, link) {
		if (!vm->alive || !vm->shown || vm->pid != pid || n == BACKEND_VMS_MAX)
			continue;
		numbers[n] = vm->number;
		vms[n++] = new_splitter(host_make_file(vm, false));
	}
	return n ?: -ENOTTY;
}

static bool fake_looks_like_vm(struct backend *backend, int fd)
{
	return fd >= FILES_FIRST;
}

static int fake_take_vm(struct backend *backend, int fd, struct backend_vm **ret)
{
	const struct file *file = find_file(fd);
	int r = get_fault(HOST_CALL_TAKE, NULL);

	check(file);
	if (r == 0 && !file->vm->alive)
		r = -ENODEV;
	if (r < 0)
		host_close_file(fd);
	else
		*ret = new_splitter(fd);
	return r;
}

static void fake_close_vm(struct backend_vm *vm)
{
	struct fake_splitter *splitter = container_of(vm, struct fake_splitter, vm);

	host_close_file(vm->fd);
	free(splitter);
}

static unsigned int fake_read_events(struct backend_vm *vm, uint32_t revents)
{
	const struct file *file = container_of(vm, struct fake_splitter, vm)->file;

	if (!file->vm->alive)
		return VM_TELLS_GONE;
	return file->news ? VM_TELLS_LOG : 0;
}

/* What begins every call on a VM. */
static int begin_call(struct file *file, enum host_call call)
{
	int r = file->vm->alive ? get_fault(call, file->vm) : -ENODEV;

	return r == 0 && pool_is_interrupted() ? -EINTR : r;
}

static int fake_survey(struct backend_vm *vm, struct survey *ret)
{
	struct file *file = container_of(vm, struct fake_splitter, vm)->file;
	int r = begin_call(file, HOST_CALL_SURVEY);
	struct memslot *slots;

	if (r < 0)
		return r;
	file->news = false;
	ret->held = file->held;
	ret->holders = (uint32_t)file->held + file->vm->held_by_other;
	slots = calloc(HOST_SLOTS_MAX, sizeof(*slots));
	check(slots);
	for (size_t i = 0; i < file->vm->n_slots; i++) {
		const struct host_slot *slot = &file->vm->slots[i];
		unsigned int blocks = (unsigned int)__builtin_popcount(slot->blocks);

		slots[i] = (struct memslot){
			.slot = (uint32_t)i,
			.gpa = slot->gpa,
			.bytes = slot->n_blocks * HOST_BLOCK_BYTES,
			.blocks = blocks,
			.block_bytes = blocks * HOST_BLOCK_BYTES,
			.dirty_logging = slot->logged,
		};
	}
	return survey_set_memslots(ret, slots, file->vm->n_slots);
}

static int fake_hold(struct backend_vm *vm)
{
	struct file *file = container_of(vm, struct fake_splitter, vm)->file;
	int r = begin_call(file, HOST_CALL_HOLD);

	file->held = file->held || r == 0;
	return r;
}

static int fake_release(struct backend_vm *vm)
{
	struct file *file = container_of(vm, struct fake_splitter, vm)->file;
	int r = begin_call(file, HOST_CALL_RELEASE);

	file->held = file->held && r < 0;
	return r;
}

/* Changes the block at @gpa; @left: of the batch. False: that would take a TLBI too many. */
static bool change_block(struct host_slot *slot, uint32_t bit, struct split_call *call,
			 uint32_t *left)
{
	if (*left == 0) {
		if (call->max_tlbis && call->tlbis >= call->max_tlbis)
			return false;
		*left = host.vcpus_wait ? 1 : host.batch;
		call->yields += host.vcpus_wait;
		call->tlbis++;
	}
	--*left;
	slot->blocks ^= bit;
	call->blocks++;
	return true;
}

/* Through @slot. False: the TLBIs are spent, or somebody interrupts. */
static bool walk_slot(struct host_slot *slot, struct split_call *call, uint32_t *left)
{
	bool split = call->flags & RUN_SPLIT;
	uint64_t end = slot->gpa + slot->n_blocks * HOST_BLOCK_BYTES;

	while (call->size && call->gpa >= slot->gpa && call->gpa < end) {
		uint32_t bit = UINT32_C(1) << (call->gpa - slot->gpa) / HOST_BLOCK_BYTES;
		uint64_t step = min_u64(HOST_BLOCK_BYTES, call->size);

		/* Memory that is logged stays pages. */
		if (!!(slot->blocks & bit) == split && !slot->stubborn &&
		    (split || !slot->logged)) {
			if (!change_block(slot, bit, call, left))
				return false;
		}
		call->gpa += step;
		call->size -= step;
		if (pool_is_interrupted() && call->blocks)
			return false;
	}
	return true;
}

/* All that is not a memslot's is passed over. */
static void walk(struct host_vm *vm, struct split_call *call)
{
	uint32_t left = 0;

	for (size_t i = 0; i < vm->n_slots; i++) {
		uint64_t gap = vm->slots[i].gpa - min_u64(call->gpa, vm->slots[i].gpa);

		call->gpa += min_u64(gap, call->size);
		call->size -= min_u64(gap, call->size);
		if (!walk_slot(&vm->slots[i], call, &left))
			return;
	}
	call->gpa += call->size;
	call->size = 0;
}

static int fake_run(struct backend_vm *vm, struct split_call *call)
{
	struct file *file = container_of(vm, struct fake_splitter, vm)->file;
	bool split = call->flags & RUN_SPLIT;
	bool breaks = !split || call->flags & RUN_BREAK;
	uint64_t excess = 0;
	int r;

	check(call->size && (split || call->max_tlbis));
	r = begin_call(file, split ? HOST_CALL_SPLIT : HOST_CALL_RECOVER);
	if (r < 0 && r != -EINTR && r != -ENOMEM)
		return r;
	/* Only what is held stays split. */
	check(!split || file->held);
	if (!split && (file->held || file->vm->held_by_other))
		return -EBUSY;
	walk(file->vm, call);
	if (call->tlbis && breaks)
		call->tlbis += excess = host.excess;
	call->tlbi_nsec = call->tlbis * host.tlbi_nsec;
	if (breaks)
		meter_spend(&host.meter, loop_now(), call->tlbis, call->tlbi_nsec, excess);
	return r ?: pool_is_interrupted() && call->size ? -EINTR : 0;
}

static const struct backend_ops fake_ops = {
	.name = "fake",
	.free = fake_free,
	.probe = fake_probe,
	.watch = fake_watch,
	.scan = fake_scan,
	.guest_names = fake_guest_names,
	.look = fake_look,
	.looks_like_vm = fake_looks_like_vm,
	.take_vm = fake_take_vm,
	.close_vm = fake_close_vm,
	.read_events = fake_read_events,
	.survey = fake_survey,
	.hold = fake_hold,
	.release = fake_release,
	.run = fake_run,
};

struct backend *host_new_backend(void)
{
	check(!current);
	current = calloc(1, sizeof(*current));
	check(current);
	current->backend.ops = &fake_ops;
	return &current->backend;
}
