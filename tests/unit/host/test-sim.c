// SPDX-License-Identifier: GPL-2.0-or-later
/* The simulated host behaves as the kernel interface says. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "host/backend.h"
#include "host/sim-image.h"
#include "host/sim-splitter.h"
#include "host/sim-settings.h"
#include "unit/child.h"
#include "unit/scratch.h"

#define GIB   (UINT64_C(1) << 30)
#define BLOCK (UINT64_C(2) << 20)

static char dir[] = SCRATCH_TEMPLATE;

struct fixture {
	struct backend *backend;
	struct backend_vm *vm;
};

static struct sim_settings settings_of(uint64_t memory, uint64_t tlbi_usec, int bbm_level)
{
	return (struct sim_settings){
		.memory = memory,
		.block_size = BLOCK,
		.tlbi_usec = tlbi_usec,
		.batch = 1,
		.bbm_level = bbm_level,
	};
}

static struct fixture start(uint64_t memory, uint64_t tlbi_usec, int bbm_level)
{
	struct sim_settings settings = settings_of(memory, tlbi_usec, bbm_level);
	struct fixture f;
	int numbers[BACKEND_VMS_MAX];

	assert_int_equal(backend_sim_new(&f.backend, &settings, dir), 0);
	assert_int_equal(f.backend->ops->list_vms(f.backend, -1, getpid(), numbers), -ENOTTY);
	assert_int_equal(f.backend->ops->adopt(f.backend, getpid()), 0);
	assert_int_equal(f.backend->ops->list_vms(f.backend, -1, getpid(), numbers), 1);
	assert_int_equal(numbers[0], 0);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, getpid(), 0, &f.vm), 0);
	return f;
}

/* A VM of its process, which that closes. */
static void forget_vm(pid_t pid)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	sim_image_remove(fd, pid, 0);
	sim_splitter_tell_all(fd, pid, 0);
	close(fd);
}

static void stop(struct fixture *f)
{
	f->backend->ops->close_vm(f->vm);
	forget_vm(getpid());
	backend_free(f->backend);
}

static uint64_t count_blocks(struct fixture *f, bool *ret_held)
{
	struct survey survey = {};
	uint64_t n;

	assert_int_equal(f->backend->ops->survey(f->vm, &survey), 0);
	assert_int_equal(survey.n_slots, 1);
	assert_int_equal(survey.slots[0].gpa, GIB);
	assert_int_equal(survey.slots[0].block_bytes, survey.slots[0].blocks * BLOCK);
	n = survey.slots[0].blocks;
	if (ret_held)
		*ret_held = survey.held;
	survey_done(&survey);
	return n;
}

static struct split_call split(struct fixture *f, struct split_call call, int r)
{
	assert_int_equal(f->backend->ops->run(f->vm, &call), r);
	return call;
}

static void test_hold_and_release_touch_nothing(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	bool held;

	assert_int_equal(count_blocks(&f, &held), 512);
	assert_false(held);
	for (int i = 0; i < 2; i++)
		assert_int_equal(f.backend->ops->hold(f.vm), 0);
	assert_int_equal(count_blocks(&f, &held), 512);
	assert_true(held);
	for (int i = 0; i < 2; i++)
		assert_int_equal(f.backend->ops->release(f.vm), 0);
	count_blocks(&f, &held);
	assert_false(held);
	stop(&f);
}

/* Each splitter has a hold of its own, which ends when its last descriptor is closed. */
static void test_holds_of_several(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct backend_vm *other, *taken;
	struct survey survey = {};
	int kept;

	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, getpid(), 0, &other), 0);
	assert_true(other->id == f.vm->id);
	assert_int_equal(f.backend->ops->hold(other), 0);
	assert_int_equal(f.backend->ops->survey(f.vm, &survey), 0);
	assert_false(survey.held);
	assert_int_equal(survey.holders, 1);
	survey_done(&survey);
	split(&f, (struct split_call){ .flags = RUN_RECOVER }, -EBUSY);
	assert_int_equal(f.backend->ops->hold(f.vm), 0);
	assert_int_equal(f.backend->ops->survey(f.vm, &survey), 0);
	assert_true(survey.held);
	assert_int_equal(survey.holders, 2);
	survey_done(&survey);
	assert_int_equal(f.backend->ops->release(f.vm), 0);

	kept = dup(other->fd);
	f.backend->ops->close_vm(other);
	split(&f, (struct split_call){ .flags = RUN_RECOVER }, -EBUSY);
	/* By whoever has it by then. */
	assert_true(f.backend->ops->looks_like_vm(f.backend, kept));
	assert_int_equal(f.backend->ops->take_vm(f.backend, kept, &taken), 0);
	assert_true(taken->id == f.vm->id);
	assert_int_equal(f.backend->ops->survey(taken, &survey), 0);
	assert_true(survey.held);
	survey_done(&survey);
	f.backend->ops->close_vm(taken);
	split(&f, (struct split_call){ .flags = RUN_RECOVER }, 0);
	stop(&f);
}

static unsigned int events_of(struct backend_vm *vm)
{
	struct pollfd p = { .fd = vm->fd, .events = POLLIN };

	if (poll(&p, 1, 0) == 0)
		return 0;
	return vm->backend->ops->read_events(vm, (uint32_t)p.revents);
}

/* What a splitter tells, and what is left of it when the VM is gone. */
static void test_what_it_tells(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct split_call call = { .flags = RUN_SPLIT };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct survey survey = {};
	struct backend_vm *other;
	uint64_t id = f.vm->id;

	assert_int_equal(events_of(f.vm), 0);
	sim_splitter_tell_all(fd, getpid(), 0);
	close(fd);
	assert_int_equal(events_of(f.vm), VM_TELLS_LOG);
	assert_int_equal(events_of(f.vm), 0);
	forget_vm(getpid());
	assert_int_equal(events_of(f.vm), VM_TELLS_GONE);
	assert_int_equal(f.backend->ops->survey(f.vm, &survey), -ENODEV);
	assert_int_equal(f.backend->ops->hold(f.vm), -ENODEV);
	assert_int_equal(f.backend->ops->release(f.vm), -ENODEV);
	split(&f, call, -ENODEV);
	/* One that is made in its place is another. */
	assert_int_equal(f.backend->ops->adopt(f.backend, getpid()), 0);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, getpid(), 0, &other), 0);
	assert_true(other->id != id);
	assert_int_equal(f.backend->ops->survey(f.vm, &survey), -ENODEV);
	f.backend->ops->close_vm(other);
	stop(&f);
}

/* The VM goes with its process, whoever has splitters of it. */
static void test_process_that_ends(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct backend_vm *other;
	struct pollfd p;
	pid_t pid;

	pid = child_fork();
	if (pid == 0)
		for (;;)
			pause();
	assert_int_equal(f.backend->ops->adopt(f.backend, pid), 0);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, pid, 0, &other), 0);
	kill(pid, SIGKILL);
	p = (struct pollfd){ .fd = other->fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(events_of(other), VM_TELLS_GONE);
	f.backend->ops->close_vm(other);
	waitpid(pid, NULL, 0);
	stop(&f);
}

static bool has_image(pid_t pid)
{
	char image[128];

	snprintf(image, sizeof(image), "%s/%d.0", dir, (int)pid);
	return access(image, F_OK) == 0;
}

/* Without a descriptor it is not known what is there; that is not the same as that it is gone. */
static void test_no_descriptors(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	const struct backend_ops *ops = f.backend->ops;
	struct split_call call = { .gpa = GIB, .size = GIB, .flags = RUN_SPLIT };
	int numbers[BACKEND_VMS_MAX], next;
	struct backend_vm *other;
	struct survey survey = {};
	struct rlimit before, none;

	assert_int_equal(ops->hold(f.vm), 0);
	next = dup(0);
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)next, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(ops->survey(f.vm, &survey), -EMFILE);
	assert_int_equal(ops->run(f.vm, &call), -EMFILE);
	call.flags = RUN_RECOVER | RUN_BREAK;
	assert_int_equal(ops->run(f.vm, &call), -EMFILE);
	assert_int_equal(ops->release(f.vm), -EMFILE);
	assert_int_equal(ops->list_vms(f.backend, -1, getpid(), numbers), -EMFILE);
	assert_int_equal(ops->open_vm(f.backend, -1, getpid(), 0, &other), -EMFILE);
	assert_int_equal(ops->adopt(f.backend, getpid()), -EMFILE);
	assert_int_equal(ops->read_events(f.vm, POLLIN), VM_TELLS_LOG);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

	assert_int_equal(ops->survey(f.vm, &survey), 0);
	assert_true(survey.held);
	survey_done(&survey);
	stop(&f);
}

/* Nor does whoever has a splitter of it wait for ever to be told that it is. */
static void test_process_that_ends_without_descriptors(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct rlimit before, none;
	struct backend_vm *other;
	struct pollfd p;
	pid_t pid;
	int next;

	pid = child_fork();
	if (pid == 0)
		for (;;)
			pause();
	assert_int_equal(f.backend->ops->adopt(f.backend, pid), 0);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, pid, 0, &other), 0);
	next = dup(0);
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)next, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Its image is removed first. */
	while (has_image(pid))
		usleep(1000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	p = (struct pollfd){ .fd = other->fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(events_of(other), VM_TELLS_GONE);
	f.backend->ops->close_vm(other);
	stop(&f);
}

static atomic_bool all_made;

static void *clean_up(void *userdata)
{
	struct dirent *entry;
	DIR *folder;

	while (!all_made) {
		folder = opendir(dir);
		while ((entry = readdir(folder)))
			sim_splitter_clean(dirfd(folder), entry->d_name);
		closedir(folder);
	}
	return NULL;
}

/* One that is being made is none that is left over. */
static void test_made_while_all_are_looked_at(void **state)
{
	struct sim_splitter_name name = { .pid = getpid(), .number = 1, .id = 1 }, parsed;
	int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_t thread;

	all_made = false;
	assert_int_equal(pthread_create(&thread, NULL, clean_up, NULL), 0);
	for (int i = 0; i < 500; i++) {
		int fd = sim_splitter_make(folder, &name);

		assert_true(fd >= 0);
		assert_int_equal(sim_splitter_parse(folder, fd, &parsed), 0);
		sim_splitter_close(folder, fd);
	}
	all_made = true;
	pthread_join(thread, NULL);
	close(folder);
}

/* What is called as a splitter is, and is none, and what is not even that. */
static void test_what_is_no_splitter(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	char path[128];
	struct backend_vm *vm;
	int fd;

	snprintf(path, sizeof(path), "%s.other", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s.other/splitter-%d.0-%llu-1", dir, (int)getpid(),
		 (unsigned long long)f.vm->id);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(f.backend->ops->looks_like_vm(f.backend, fd));
	assert_int_equal(f.backend->ops->take_vm(f.backend, fd, &vm), -ENOTTY);
	unlink(path);
	snprintf(path, sizeof(path), "%s.other", dir);
	rmdir(path);

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_false(f.backend->ops->looks_like_vm(f.backend, fd));
	assert_int_equal(f.backend->ops->take_vm(f.backend, fd, &vm), -ENOTTY);
	stop(&f);
}

static void test_splitting_in_steps(void **state)
{
	struct split_call call = { .flags = RUN_SPLIT, .max_tlbis = 5 };
	struct fixture f = start(GIB, 0, 0);
	uint64_t total = 0;
	int n = 0;

	do {
		call = split(&f, call, 0);
		assert_true(call.blocks <= 5);
		assert_int_equal(call.blocks, call.tlbis);
		total += call.blocks;
		n++;
		assert_int_equal(count_blocks(&f, NULL), 512 - total);
	} while (call.size);
	assert_int_equal(total, 512);
	assert_int_equal(n, 103);
	assert_int_equal(call.gpa, 2 * GIB);

	/* Again: nothing to do, nothing to pay. */
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT, .max_tlbis = 5 }, 0);
	assert_int_equal(call.tlbis, 0);
	assert_int_equal(call.size, 0);
	stop(&f);
}

/* A block that overlaps the range is split whole; what lies outside is not. */
static void test_ranges(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct split_call call = {
		.flags = RUN_SPLIT,
		.gpa = GIB + BLOCK / 2,
		.size = BLOCK,
	};

	call = split(&f, call, 0);
	assert_int_equal(call.blocks, 2);
	assert_int_equal(call.size, 0);
	assert_int_equal(call.gpa, GIB + BLOCK / 2 + BLOCK);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT, .size = GIB }, 0);
	assert_int_equal(call.blocks, 0);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT, .gpa = 2 * GIB, .size = GIB }, 0);
	assert_int_equal(call.blocks, 0);
	assert_int_equal(count_blocks(&f, NULL), 510);
	stop(&f);
}

static void test_recovering(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct split_call call = { .flags = RUN_SPLIT };

	split(&f, call, 0);
	assert_int_equal(f.backend->ops->hold(f.vm), 0);
	split(&f, (struct split_call){ .flags = RUN_RECOVER }, -EBUSY);
	assert_int_equal(f.backend->ops->release(f.vm), 0);
	call = split(&f, (struct split_call){ .flags = RUN_RECOVER, .max_tlbis = 100 }, 0);
	assert_int_equal(call.blocks, 100);
	assert_int_equal(call.tlbis, 100);
	assert_int_equal(count_blocks(&f, NULL), 100);
	call.max_tlbis = 0;
	call = split(&f, call, 0);
	assert_int_equal(call.blocks, 412);
	assert_int_equal(count_blocks(&f, NULL), 512);
	stop(&f);
}

static void test_bbm_level_2(void **state)
{
	struct fixture f = start(GIB, 0, 2);
	struct split_call call = { .flags = RUN_SPLIT, .gpa = GIB, .size = GIB / 2 };
	struct backend_host host;

	f.backend->ops->probe(f.backend, &host);
	assert_true(host.supported);
	assert_int_equal(host.bbm_level, 2);
	call = split(&f, call, 0);
	assert_int_equal(call.blocks, 256);
	assert_int_equal(call.tlbis, 1);
	/* As if the CPU could not. */
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT | RUN_BREAK }, 0);
	assert_int_equal(call.blocks, 256);
	assert_int_equal(call.tlbis, 256);
	stop(&f);
}

/* Batches that nobody ends, and of which none is larger than the last. */
static void test_batches(void **state)
{
	struct sim_settings settings = settings_of(GIB, 0, 0);
	struct fixture f = start(GIB, 0, 0);
	struct split_call call;

	settings.batch = 100;
	f.backend->ops->configure(f.backend, &settings);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT, .max_tlbis = 2 }, 0);
	assert_int_equal(call.blocks, 200);
	assert_int_equal(call.tlbis, 2);
	assert_int_equal(call.yields, 0);
	assert_int_equal(call.gpa, GIB + 200 * BLOCK);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT }, 0);
	assert_int_equal(call.blocks, 312);
	assert_int_equal(call.tlbis, 4);
	call = split(&f, (struct split_call){ .flags = RUN_RECOVER }, 0);
	assert_int_equal(call.blocks, 512);
	assert_int_equal(call.tlbis, 6);
	stop(&f);
}

/* Batches that vCPUs end: all of them, and some. */
static void test_batches_cut_short(void **state)
{
	struct sim_settings settings = settings_of(GIB, 0, 0);
	struct fixture f = start(GIB, 0, 0);
	struct split_call call;

	settings.batch = 64;
	settings.vcpu_waits = 1000000;
	f.backend->ops->configure(f.backend, &settings);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT }, 0);
	assert_int_equal(call.blocks, 512);
	assert_true(call.tlbis > 8);
	assert_int_equal(call.yields, call.tlbis);
	settings.vcpu_waits = 500000;
	f.backend->ops->configure(f.backend, &settings);
	call = split(&f, (struct split_call){ .flags = RUN_RECOVER }, 0);
	assert_int_equal(call.blocks, 512);
	assert_true(call.tlbis >= 8);
	assert_true(call.yields > 0 && call.yields < call.tlbis);
	stop(&f);
}

/* What a TLBI takes is said, and is not less than what it is configured to take. */
static void test_time_of_tlbis(void **state)
{
	struct fixture f = start(GIB, 100, 0);
	struct split_call call = { .flags = RUN_SPLIT, .max_tlbis = 10 };

	call = split(&f, call, 0);
	assert_int_equal(call.tlbis, 10);
	assert_int_equal(call.tlbi_nsec, 10 * 100 * NSEC_PER_USEC);
	stop(&f);
}

/* Tables take their time to be filled, which is none of the TLBIs', and recovering fills none. */
static void test_time_of_tables(void **state)
{
	struct sim_settings settings = settings_of(GIB, 0, 0);
	struct fixture f = start(GIB, 0, 0);
	uint64_t begin = now_nsec(CLOCK_MONOTONIC);
	struct split_call call;

	settings.block_usec = 100;
	f.backend->ops->configure(f.backend, &settings);
	call = split(&f, (struct split_call){ .flags = RUN_SPLIT, .max_tlbis = 16 }, 0);
	assert_int_equal(call.tlbis, 16);
	assert_int_equal(call.tlbi_nsec, 0);
	assert_true(now_nsec(CLOCK_MONOTONIC) - begin >= 16 * 100 * NSEC_PER_USEC);
	/* An hour and more for each. */
	settings.block_usec = 4 * 3600 * USEC_PER_SEC;
	f.backend->ops->configure(f.backend, &settings);
	call = split(&f, (struct split_call){ .flags = RUN_RECOVER }, 0);
	assert_int_equal(call.blocks, 16);
	stop(&f);
}

static void on_signal(int signo)
{
}

struct call_in_thread {
	struct fixture *f;
	struct split_call call;
	int r;
	_Atomic(bool) done;
};

static void *call_main(void *userdata)
{
	struct call_in_thread *t = userdata;

	t->r = t->f->backend->ops->run(t->f->vm, &t->call);
	t->done = true;
	return NULL;
}

/* A call that would take an hour, less once a signal comes; the books are right. */
static void test_signal(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct fixture f = start(GIB, 1000000, 0);
	struct call_in_thread t = { .f = &f, .call = { .flags = RUN_SPLIT } };
	struct timespec ts = { .tv_nsec = 1000000 };
	pthread_t thread;

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, call_main, &t), 0);
	/* One that comes too early is lost, so until one was not. */
	while (!t.done) {
		pthread_kill(thread, SIGUSR1);
		nanosleep(&ts, NULL);
	}
	pthread_join(thread, NULL);
	assert_int_equal(t.r, -EINTR);
	assert_true(t.call.blocks < 512);
	assert_int_equal(t.call.blocks, t.call.tlbis);
	assert_int_equal(count_blocks(&f, NULL), 512 - t.call.blocks);
	assert_int_equal(t.call.gpa, GIB + t.call.blocks * BLOCK);
	assert_int_equal(t.call.size, GIB - t.call.blocks * BLOCK);
	stop(&f);
}

/* Two calls at once: while both make TLBIs, each of those takes twice as long. */
static void test_tlbis_under_way(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct fixture f = start(GIB, 20000, 0), other = f;
	struct call_in_thread a = { .f = &f, .call = { .flags = RUN_SPLIT } };
	struct timespec ts = { .tv_nsec = 1000000 };
	struct split_call call;
	pid_t pid = getppid();
	pthread_t thread;

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(f.backend->ops->adopt(f.backend, pid), 0);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, pid, 0, &other.vm), 0);
	assert_int_equal(pthread_create(&thread, NULL, call_main, &a), 0);
	/* It would take ten seconds: in the middle of it, sooner or later. */
	do {
		call = split(&other, (struct split_call){ .flags = RUN_SPLIT, .max_tlbis = 1 }, 0);
		assert_int_equal(call.tlbis, 1);
		assert_true(call.tlbi_nsec >= 20 * NSEC_PER_MSEC);
	} while (call.tlbi_nsec < 40 * NSEC_PER_MSEC);
	while (!a.done) {
		pthread_kill(thread, SIGUSR1);
		nanosleep(&ts, NULL);
	}
	pthread_join(thread, NULL);
	f.backend->ops->close_vm(other.vm);
	forget_vm(pid);
	stop(&f);
}

static void test_reconfiguring(void **state)
{
	struct fixture f = start(GIB, 0, 0);
	struct sim_settings settings = settings_of(2 * GIB, 0, 2);
	struct backend_host host;
	struct backend_vm *vm;
	struct fixture other;
	int numbers[BACKEND_VMS_MAX];
	pid_t pid = getppid();

	f.backend->ops->configure(f.backend, &settings);
	f.backend->ops->probe(f.backend, &host);
	assert_int_equal(host.bbm_level, 2);
	/* VMs that run keep their memory. */
	assert_int_equal(count_blocks(&f, NULL), 512);
	assert_int_equal(f.backend->ops->adopt(f.backend, pid), 0);
	assert_int_equal(f.backend->ops->list_vms(f.backend, -1, pid, numbers), 1);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, pid, 0, &vm), 0);
	other = (struct fixture){ .backend = f.backend, .vm = vm };
	assert_int_equal(count_blocks(&other, NULL), 1024);
	f.backend->ops->close_vm(vm);
	forget_vm(pid);
	assert_int_equal(f.backend->ops->open_vm(f.backend, -1, pid, 0, &vm), -ENXIO);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hold_and_release_touch_nothing),
		cmocka_unit_test(test_holds_of_several),
		cmocka_unit_test(test_what_it_tells),
		cmocka_unit_test(test_process_that_ends),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_process_that_ends_without_descriptors),
		cmocka_unit_test(test_made_while_all_are_looked_at),
		cmocka_unit_test(test_what_is_no_splitter),
		cmocka_unit_test(test_splitting_in_steps),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_recovering),
		cmocka_unit_test(test_bbm_level_2),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_batches_cut_short),
		cmocka_unit_test(test_time_of_tlbis),
		cmocka_unit_test(test_time_of_tables),
		cmocka_unit_test(test_tlbis_under_way),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_reconfiguring),
	};

	int failed;

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	failed = cmocka_run_group_tests_name("sim", tests, NULL, NULL);
	scratch_remove(dir);
	return failed;
}
