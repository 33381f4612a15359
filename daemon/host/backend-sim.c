// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A simulated host. Any live process stands for a VMM with one VM, which has
 * one memslot, all of it mapped by blocks to begin with, and maybe another for
 * a framebuffer. Blocks have a broadcast TLBI in common (sim-walk.h), which takes
 * its time (sim-machine.h).
 *
 * The VMs are files of a folder (sim-image.h), and so are their splitters
 * (sim-splitter.h). A VM that is moved there is found as one that was created. One
 * whose file is deleted, or whose process ends, is destroyed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "host/backend.h"
#include "host/process.h"
#include "host/qemu-name.h"
#include "host/sim-image.h"
#include "host/sim-reaper.h"
#include "host/sim-settings.h"
#include "host/sim-splitter.h"
#include "host/sim-machine.h"
#include "host/sim-walk.h"

/**
 * struct sim - the host
 * @machine: what its TLBIs cost, and VMs have that are made from now on
 * @dir: the folder of the VMs, or a negative errno
 * @adopting: a process is given its VM by one thread at a time
 * @reaper: destroys VMs whose process has ended
 * @notify: inotify on it, -1: not watched
 */
struct sim {
	struct backend backend;
	struct sim_machine *machine;
	int dir;
	char *path;
	pthread_mutex_t adopting;
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

	sim_machine_configure(sim->machine, settings);
}

static void sim_free(struct backend *backend)
{
	struct sim *sim = (struct sim *)backend;

	sim_reaper_free(sim->reaper);
	sim_machine_free(sim->machine);
	sd_event_source_disable_unref(sim->notify_source);
	closep(&sim->notify);
	closep(&sim->dir);
	pthread_mutex_destroy(&sim->adopting);
	free(sim->path);
	free(sim);
}

static void sim_probe(struct backend *backend, struct backend_host *ret)
{
	struct sim *sim = (struct sim *)backend;
	struct sim_settings settings = sim_machine_settings(sim->machine);

	*ret = (struct backend_host){
		.supported = true,
		.bbm_level = settings.bbm_level,
		.pauses = settings.pauses,
		.batch = settings.batch,
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
	struct sim_settings settings = sim_machine_settings(sim->machine);
	int numbers[BACKEND_VMS_MAX], r;

	if (sim->dir < 0)
		return sim->dir;
	pthread_mutex_lock(&sim->adopting);
	r = sim_list_vms(backend, -1, pid, numbers);
	if (r == -ENOTTY)
		r = sim_image_create(sim->dir, pid, 0, settings.memory, settings.block_size);
	pthread_mutex_unlock(&sim->adopting);
	return r < 0 ? r : 0;
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
	return survey_set_memslots(ret, slots, n);
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
	const struct sim *sim = (const struct sim *)backend_vm->backend;
	int r;

	call->blocks = call->tlbis = call->tlbi_nsec = call->yields = 0;
	r = sim_check_vm(vm);
	if (r == 0 && !(call->flags & RUN_SPLIT))
		r = sim_check_holders(vm);
	return r < 0 ? r : sim_walk(sim->machine, vm->image, call);
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
	pthread_mutex_init(&sim->adopting, NULL);
	sim->backend.ops = &sim_ops;
	sim->notify = sim->dir = -1;
	sim->path = strdup(dir);
	r = sim->path ? sim_machine_new(&sim->machine, settings) : -ENOMEM;
	if (r == 0)
		r = sim_reaper_new(&sim->reaper, on_process_ended, sim);
	if (r < 0) {
		sim_free(&sim->backend);
		return r;
	}
	/* Where that is not possible, whoever registers a VM is told. */
	sim->dir = sim_open_dir(dir);
	*ret = &sim->backend;
	return 0;
}
