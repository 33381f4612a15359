// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A simulated host. Any live process stands for a VMM with one VM, which has
 * one memslot, all of it mapped by blocks to begin with, and maybe another for
 * a framebuffer. A broadcast TLBI takes the time it is configured to take, or as
 * much longer as there are calls under way that make some, and that is spent
 * asleep. Blocks have one in common, up to the size of a batch, which some vCPU
 * that waits ends early now and then.
 *
 * The VMs are files of a folder (sim-image.h), and so are their splitters
 * (sim-splitter.h). A VM that is moved there is found as one that was created. One
 * whose file is deleted, or whose process ends, is destroyed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "host/backend.h"
#include "host/process.h"
#include "host/qemu-name.h"
#include "host/sim-image.h"
#include "host/sim-reaper.h"
#include "host/sim-settings.h"
#include "host/sim-splitter.h"

/* Where arm64 VMMs put the memory of their VMs, and below it their devices. */
#define SIM_GPA		    (UINT64_C(1) << 30)
#define SIM_FRAMEBUFFER_GPA (UINT64_C(1) << 28)

/**
 * struct sim_costs - what it takes to split and to recover
 * @tlbi_nsec: that a TLBI takes while no other call makes any
 * @batch: blocks that have one in common
 * @vcpu_waits: batches that end early, in millionths of all
 * @bbm_level: FEAT_BBM level
 */
struct sim_costs {
	uint64_t tlbi_nsec;
	uint32_t batch;
	uint32_t vcpu_waits;
	int bbm_level;
};

/**
 * struct sim - the host
 * @lock: guards @costs, @random, @memory and @block_size, which calls in threads use
 * @random: state of a generator, for which batches end early
 * @under_way: calls that make TLBIs
 * @memory: bytes of each VM that is made from now on
 * @block_size: and of its blocks
 * @dir: the folder of the VMs, or a negative errno
 * @reaper: destroys VMs whose process has ended
 * @notify: inotify on it, -1: not watched
 */
struct sim {
	struct backend backend;
	pthread_mutex_t lock;
	struct sim_costs costs;
	uint64_t random;
	atomic_uint under_way;
	uint64_t memory;
	uint64_t block_size;

	int dir;
	char *path;
	struct sim_reaper *reaper;
	int notify;
	sd_event_source *notify_source;
	host_event_fn event;
	void *event_userdata;
};

/* A splitter; the image is what the VM is. */
struct sim_vm {
	struct backend_vm vm;
	struct sim_splitter_name name;
	struct sim_image *image;
};

static void sim_configure(struct backend *backend, const struct sim_settings *settings)
{
	struct sim *sim = (struct sim *)backend;

	pthread_mutex_lock(&sim->lock);
	sim->costs = (struct sim_costs){
		.tlbi_nsec = settings->tlbi_usec * NSEC_PER_USEC,
		.batch = settings->batch,
		.vcpu_waits = settings->vcpu_waits,
		.bbm_level = settings->bbm_level,
	};
	sim->memory = settings->memory;
	sim->block_size = settings->block_size;
	pthread_mutex_unlock(&sim->lock);
}

static void sim_free(struct backend *backend)
{
	struct sim *sim = (struct sim *)backend;

	sim_reaper_free(sim->reaper);
	sd_event_source_disable_unref(sim->notify_source);
	closep(&sim->notify);
	closep(&sim->dir);
	pthread_mutex_destroy(&sim->lock);
	free(sim->path);
	free(sim);
}

static void sim_probe(struct backend *backend, struct backend_host *ret)
{
	struct sim *sim = (struct sim *)backend;

	*ret = (struct backend_host){
		.supported = true,
		.bbm_level = sim->costs.bbm_level,
		.batch = sim->costs.batch,
	};
}

/*
 * VMs that come and go
 */

static void sim_tell(struct sim *sim, const struct inotify_event *event)
{
	int number;
	pid_t pid;

	if (event->mask & IN_Q_OVERFLOW) {
		sim->event(sim->event_userdata, HOST_EVENTS_LOST, 0);
		return;
	}
	if (!event->len || sim_image_parse_name(event->name, &pid, &number) < 0)
		return;
	sim->event(sim->event_userdata,
		   event->mask & IN_MOVED_TO ? HOST_VM_CREATED : HOST_VM_DESTROYED, pid);
}

static int on_notify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	ssize_t n;

	n = read(fd, buffer, sizeof(buffer));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (const char *p = buffer; p < buffer + n; p += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)p;
		sim_tell(userdata, event);
	}
	return 0;
}

static int sim_watch(struct backend *backend, sd_event *loop, host_event_fn event, void *userdata)
{
	struct sim *sim = (struct sim *)backend;

	if (sim->dir < 0)
		return sim->dir;
	sim->event = event;
	sim->event_userdata = userdata;
	sim->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (sim->notify < 0)
		return -errno;
	if (inotify_add_watch(sim->notify, sim->path, IN_MOVED_TO | IN_DELETE) < 0)
		return -errno;
	return sd_event_add_io(loop, &sim->notify_source, sim->notify, EPOLLIN, on_notify, sim);
}

/* 0, or a negative errno: not everybody may have been told. */
static int sim_destroy(struct sim *sim, pid_t pid, int number)
{
	sim_image_remove(sim->dir, pid, number);
	return sim_splitter_tell_all(sim->dir, pid, number);
}

/* In the reaper's thread. */
static int on_process_ended(void *userdata, pid_t pid)
{
	int r = 0;

	for (int i = 0; i < BACKEND_VMS_MAX && r >= 0; i++)
		r = sim_destroy(userdata, pid, i);
	return r;
}

/*
 * Images of processes that are gone are what the daemon before left behind. One of a process that is
 * there may be a VM that its VMM does not have yet.
 */
static int sim_found(struct sim *sim, const char *name, int (*found)(void *userdata, pid_t pid),
		     void *userdata)
{
	struct sim_image *image;
	uint64_t start_time;
	int number, r;
	pid_t pid;

	sim_splitter_clean(sim->dir, name);
	if (sim_image_parse_name(name, &pid, &number) < 0)
		return 0;
	r = sim_image_open(&image, sim->dir, pid, number);
	if (r < 0 && r != -ENXIO)
		return r;
	if (r < 0) {
		if (process_get_start_time(pid, &start_time) == -ESRCH)
			(void)sim_destroy(sim, pid, number);
		return 0;
	}
	sim_image_close(image);
	return found(userdata, pid);
}

static int sim_scan(struct backend *backend, int (*found)(void *userdata, pid_t pid),
		    void *userdata)
{
	struct sim *sim = (struct sim *)backend;
	struct dirent *entry;
	int fd, r = 0;
	DIR *dir;

	/* Without the folder there is none; watching it has said so. */
	if (sim->dir < 0)
		return 0;
	fd = openat(sim->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -errno;
	}
	while (r == 0 && (entry = readdir(dir)))
		r = sim_found(sim, entry->d_name, found, userdata);
	closedir(dir);
	return r;
}

static int sim_list_vms(struct backend *backend, int pidfd, pid_t pid, int numbers[BACKEND_VMS_MAX])
{
	struct sim *sim = (struct sim *)backend;
	struct sim_image *image;
	int r, n = 0;

	for (int i = 0; i < BACKEND_VMS_MAX; i++) {
		r = sim_image_open(&image, sim->dir, pid, i);
		if (r == -ENXIO)
			continue;
		if (r < 0)
			return r;
		sim_image_close(image);
		numbers[n++] = i;
	}
	return n ? n : -ENOTTY;
}

static int sim_guest_names(struct backend *backend, pid_t pid, struct guest_names *ret)
{
	int r = qemu_names_of_process(pid, ret);

	ret->uid = process_get_uid(pid);
	return r;
}

static int sim_adopt(struct backend *backend, pid_t pid)
{
	struct sim *sim = (struct sim *)backend;
	int numbers[BACKEND_VMS_MAX], r;

	if (sim->dir < 0)
		return sim->dir;
	r = sim_list_vms(backend, -1, pid, numbers);
	if (r != -ENOTTY)
		return r < 0 ? r : 0;
	return sim_image_create(sim->dir, pid, 0, sim->memory, sim->block_size);
}

/* Takes @fd, also on error. */
static int sim_make_vm(struct sim *sim, int fd, const struct sim_splitter_name *name,
		       struct sim_image *image, struct backend_vm **ret)
{
	struct sim_vm *vm = malloc(sizeof(*vm));

	if (!vm) {
		sim_splitter_close(sim->dir, fd);
		sim_image_close(image);
		return -ENOMEM;
	}
	*vm = (struct sim_vm){
		.vm = { .backend = &sim->backend, .fd = fd, .id = name->id, .uid = -1 },
		.name = *name,
		.image = image,
	};
	*ret = &vm->vm;
	return 0;
}

static int sim_open_vm(struct backend *backend, int pidfd, pid_t pid, int number,
		       struct backend_vm **ret)
{
	struct sim_splitter_name name = { .pid = pid, .number = number };
	struct sim *sim = (struct sim *)backend;
	struct sim_image *image;
	int fd, r;

	/* Before the look: what ends after that is told of. */
	r = sim_reaper_watch(sim->reaper, pid);
	if (r < 0)
		return r;
	r = sim_image_open(&image, sim->dir, pid, number);
	if (r < 0)
		return r;
	name.id = image->id;
	fd = sim_splitter_make(sim->dir, &name);
	if (fd < 0) {
		sim_image_close(image);
		return fd;
	}
	r = sim_make_vm(sim, fd, &name, image, ret);
	if (r == 0)
		(*ret)->uid = process_get_uid(pid);
	return r;
}

static bool sim_looks_like_vm(struct backend *backend, int fd)
{
	return sim_splitter_looks_like_one(fd);
}

static int sim_take_vm(struct backend *backend, int fd, struct backend_vm **ret)
{
	struct sim *sim = (struct sim *)backend;
	struct sim_splitter_name name;
	struct sim_image *image = NULL;
	int r;

	r = sim_splitter_parse(sim->dir, fd, &name);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = sim_reaper_watch(sim->reaper, name.pid);
	if (r == 0)
		r = sim_image_open(&image, sim->dir, name.pid, name.number);
	if (r == 0 && image->id != name.id) {
		sim_image_close(image);
		r = -ENXIO;
	}
	if (r < 0) {
		sim_splitter_close(sim->dir, fd);
		return r == -ENXIO || r == -ESRCH ? -ENODEV : r;
	}
	return sim_make_vm(sim, fd, &name, image, ret);
}

static void sim_close_vm(struct backend_vm *backend_vm)
{
	struct sim *sim = (struct sim *)backend_vm->backend;
	struct sim_vm *vm = (struct sim_vm *)backend_vm;

	sim_splitter_close(sim->dir, vm->vm.fd);
	sim_image_close(vm->image);
	free(vm);
}

/* 0: it is there; -ENODEV: it is not; another negative errno: who knows. */
static int sim_check_vm(const struct sim_vm *vm)
{
	const struct sim *sim = (const struct sim *)vm->vm.backend;
	int r = sim_image_check(sim->dir, vm->name.pid, vm->name.number, vm->name.id);

	return r == -ENXIO ? -ENODEV : r;
}

static unsigned int sim_read_events(struct backend_vm *backend_vm, uint32_t revents)
{
	const struct sim_vm *vm = (const struct sim_vm *)backend_vm;

	sim_splitter_drain(vm->vm.fd);
	/* Where that is not known, the survey is asked. */
	return sim_check_vm(vm) == -ENODEV ? VM_TELLS_GONE : VM_TELLS_LOG;
}

/*
 * Calls
 */

static uint64_t sim_count_blocks(const struct sim_image *image)
{
	uint64_t total = image->memory / image->block_size, n = 0;

	for (uint64_t i = 0; i < total; i++)
		n += image->whole[i] != 0;
	return n;
}

static int sim_survey(struct backend_vm *backend_vm, struct survey *ret)
{
	const struct sim_vm *vm = (const struct sim_vm *)backend_vm;
	const struct sim *sim = (const struct sim *)backend_vm->backend;
	const struct sim_image *image = vm->image;
	struct memslot *slots;
	int holders, r;
	uint64_t blocks;
	size_t n = 0;

	r = sim_check_vm(vm);
	if (r < 0)
		return r;
	holders = sim_splitter_count_holders(sim->dir, vm->vm.fd, &vm->name, &ret->held);
	if (holders < 0)
		return holders;
	slots = calloc(2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	if (image->framebuffer)
		slots[n++] = (struct memslot){
			.slot = 1,
			.gpa = SIM_FRAMEBUFFER_GPA,
			.bytes = image->framebuffer,
			.dirty_logging = image->dirty_logging & SIM_LOG_FRAMEBUFFER,
		};
	blocks = sim_count_blocks(image);
	slots[n++] = (struct memslot){
		.gpa = SIM_GPA,
		.bytes = image->memory,
		.blocks = blocks,
		.block_bytes = blocks * image->block_size,
		.dirty_logging = image->dirty_logging & SIM_LOG_MEMORY,
	};
	ret->holders = (uint32_t)holders;
	ret->n_slots = n;
	ret->slots = slots;
	return 0;
}

static int sim_set_hold(struct backend_vm *backend_vm, bool hold)
{
	const struct sim_vm *vm = (const struct sim_vm *)backend_vm;

	int r = sim_check_vm(vm);

	return r < 0 ? r : sim_splitter_set_hold(vm->vm.fd, hold);
}

static int sim_hold(struct backend_vm *vm)
{
	return sim_set_hold(vm, true);
}

static int sim_release(struct backend_vm *vm)
{
	return sim_set_hold(vm, false);
}

/**
 * struct sim_walk - a walk of one call
 * @first: the block to go on at
 * @last: the block to end before
 * @from: what a block must be to be changed
 * @max_tlbis: that may be spent
 * @max_blocks: that may be changed
 */
struct sim_walk {
	struct sim *sim;
	struct sim_image *image;
	struct sim_costs costs;
	uint64_t first;
	uint64_t last;
	bool from;
	uint64_t max_tlbis;
	uint64_t max_blocks;
};

/* A TLBI: asleep for as long as it takes. False: a signal came first. */
static bool sim_invalidate(const struct sim_walk *walk, struct split_call *call)
{
	uint64_t start = now_nsec(CLOCK_MONOTONIC);
	uint64_t end = start + walk->costs.tlbi_nsec * walk->sim->under_way;
	const struct timespec ts = {
		.tv_sec = (time_t)(end / NSEC_PER_SEC),
		.tv_nsec = (long)(end % NSEC_PER_SEC),
	};
	bool done = true;

	if (end > start) {
		done = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0;
		call->tlbi_nsec += now_nsec(CLOCK_MONOTONIC) - start;
	}
	call->tlbis += done;
	return done;
}

/* How many blocks the next batch has room for. */
static uint64_t sim_batch_size(const struct sim_walk *walk, struct split_call *call)
{
	struct sim *sim = walk->sim;
	uint64_t number;

	if (walk->costs.batch == 1)
		return 1;
	pthread_mutex_lock(&sim->lock);
	/* xorshift64: the same each time that the host is made. */
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	number = sim->random >> 16;
	pthread_mutex_unlock(&sim->lock);
	if (number % 1000000 >= walk->costs.vcpu_waits)
		return walk->costs.batch;
	call->yields++;
	return 1 + number / 1000000 % walk->costs.batch;
}

/* Blocks from the next one on that would be changed, up to @most; and where that ends. */
static uint64_t sim_look_ahead(const struct sim_walk *walk, uint64_t most, uint64_t *ret_end)
{
	uint64_t n = 0, i;

	for (i = walk->first; i < walk->last; i++) {
		if ((walk->image->whole[i] != 0) != walk->from)
			continue;
		if (n == most)
			break;
		n++;
	}
	*ret_end = i;
	return n;
}

/* Changes as many as there are up to @most, and goes on behind them. */
static int sim_change(struct sim_walk *walk, uint64_t most, struct split_call *call)
{
	uint64_t n, end;

	n = sim_look_ahead(walk, most, &end);
	if (n && !sim_invalidate(walk, call))
		return -EINTR;
	for (; walk->first < end; walk->first++)
		walk->image->whole[walk->first] = !walk->from;
	call->blocks += n;
	return 0;
}

/* Batch after batch; without break-before-make all is one. */
static int sim_walk(struct sim_walk *walk, bool no_break, struct split_call *call)
{
	uint64_t end;
	int r = 0;

	walk->sim->under_way++;
	while (r == 0 && walk->first < walk->last && call->tlbis < walk->max_tlbis &&
	       call->blocks < walk->max_blocks)
		r = sim_change(walk,
			       min_u64(no_break ? UINT64_MAX : sim_batch_size(walk, call),
				       walk->max_blocks - call->blocks),
			       call);
	walk->sim->under_way--;

	/* In the middle of a block, and not a step further, is not behind where it began. */
	end = walk->first == walk->last
		      ? call->gpa + call->size
		      : max_u64(SIM_GPA + walk->first * walk->image->block_size, call->gpa);
	call->size -= end - call->gpa;
	call->gpa = end;
	return r;
}

/* The first block that is not wholly below @gpa (or, if @up, that begins there or above). */
static uint64_t sim_block_at(const struct sim_image *image, uint64_t gpa, bool up)
{
	uint64_t offset = gpa > SIM_GPA ? gpa - SIM_GPA : 0;
	uint64_t block = offset / image->block_size;

	if (up && offset % image->block_size)
		block++;
	return min_u64(block, image->memory / image->block_size);
}

/* 0: no splitter holds the VM; -EBUSY: one does; or another negative errno. */
static int sim_check_holders(const struct sim_vm *vm)
{
	const struct sim *sim = (const struct sim *)vm->vm.backend;
	bool own;
	int n;

	n = sim_splitter_count_holders(sim->dir, vm->vm.fd, &vm->name, &own);
	return n > 0 ? -EBUSY : n;
}

static int sim_run(struct backend_vm *backend_vm, struct split_call *call)
{
	const struct sim_vm *vm = (const struct sim_vm *)backend_vm;
	struct sim *sim = (struct sim *)backend_vm->backend;
	struct sim_image *image = vm->image;
	struct sim_walk walk = {
		.sim = sim,
		.image = image,
		.from = call->flags & RUN_SPLIT,
		.max_tlbis = call->max_tlbis ?: UINT64_MAX,
		.max_blocks = call->max_blocks ?: UINT64_MAX,
	};
	bool no_break;
	int r;

	pthread_mutex_lock(&sim->lock);
	walk.costs = sim->costs;
	pthread_mutex_unlock(&sim->lock);

	call->blocks = call->tlbis = call->tlbi_nsec = call->yields = 0;
	r = sim_check_vm(vm);
	if (r == 0 && !walk.from)
		r = sim_check_holders(vm);
	if (r < 0)
		return r;
	if (!call->size)
		call->size = SIM_GPA + image->memory - min_u64(call->gpa, SIM_GPA + image->memory);
	/* Memory that is logged stays pages: it is passed over. */
	if (!walk.from && image->dirty_logging & SIM_LOG_MEMORY) {
		call->gpa += call->size;
		call->size = 0;
		return 0;
	}
	walk.first = sim_block_at(image, call->gpa, false);
	walk.last = sim_block_at(image, call->gpa + call->size, true);
	no_break = walk.from && walk.costs.bbm_level == 2 && !(call->flags & RUN_BREAK);
	return sim_walk(&walk, no_break, call);
}

static const struct backend_ops sim_ops = {
	.name = "sim",
	.free = sim_free,
	.probe = sim_probe,
	.configure = sim_configure,
	.watch = sim_watch,
	.scan = sim_scan,
	.list_vms = sim_list_vms,
	.guest_names = sim_guest_names,
	.adopt = sim_adopt,
	.open_vm = sim_open_vm,
	.looks_like_vm = sim_looks_like_vm,
	.take_vm = sim_take_vm,
	.close_vm = sim_close_vm,
	.read_events = sim_read_events,
	.survey = sim_survey,
	.hold = sim_hold,
	.release = sim_release,
	.run = sim_run,
};

static int sim_open_dir(const char *path)
{
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int backend_sim_new(struct backend **ret, const struct sim_settings *settings, const char *dir)
{
	struct sim *sim;
	int r;

	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->backend.ops = &sim_ops;
	pthread_mutex_init(&sim->lock, NULL);
	sim->random = 1;
	sim_configure(&sim->backend, settings);
	sim->notify = sim->dir = -1;
	sim->path = strdup(dir);
	r = sim->path ? sim_reaper_new(&sim->reaper, on_process_ended, sim) : -ENOMEM;
	if (r < 0) {
		sim_free(&sim->backend);
		return r;
	}
	/* Where that is not possible, whoever registers a VM is told. */
	sim->dir = sim_open_dir(dir);
	*ret = &sim->backend;
	return 0;
}
