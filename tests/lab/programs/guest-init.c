// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The whole userland of the QEMU guests, as /init of their initramfs: fills most
 * of the guest's memory, then reads, writes and checks it for ever, a process's
 * thread a vCPU. They begin each round together. Some of the pages are rewritten each round, and every word of
 * them is checked in the course of some rounds; the others are never written
 * again, and their checksum is reported each round. A line on the console tells
 * each round:
 *
 *   lab: waits for mib=N
 *   lab: populated mib=N
 *   lab: round=N reads=N writes=N errors=N static=CHECKSUM
 *
 * On the kernel's command line lab.mib=N says how much, and lab.write=N that one
 * page in N is written (2). With lab.memory=N it begins once the guest has so much memory, which is plugged
 * then: that is what it takes, as whatever can be moved comes from there.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../workload.h"

#define N_THREADS_MAX 8
/* One in so many of the written pages is checked in full each round. */
#define FULL_SHARE 8

/*
 * @words, @n_pages, @first_page: a thread's pages
 * @share: the last of so many is written
 * @generations: of each of them
 * @checksum: of the pages that are never written, as of the last round
 */
struct worker {
	pthread_t thread;
	volatile uint64_t *words;
	uint64_t n_pages;
	uint64_t first_page;
	uint64_t share;
	uint32_t *generations;
	atomic_uint_fast64_t reads;
	atomic_uint_fast64_t writes;
	atomic_uint_fast64_t errors;
	atomic_uint_fast64_t checksum;
};

static struct worker workers[N_THREADS_MAX];
static int n_threads;
static pthread_barrier_t round_done;

static volatile uint64_t *page_of(const struct worker *worker, uint64_t index)
{
	return worker->words + index * WORKLOAD_WORDS;
}

static bool is_written(const struct worker *worker, uint64_t index)
{
	return index % worker->share == worker->share - 1;
}

static void visit(struct worker *worker, uint64_t index, uint32_t round)
{
	volatile uint64_t *words = page_of(worker, index);
	uint64_t page = worker->first_page + index;

	if (!workload_check(words, page, worker->generations[index],
			    (index + round) % WORKLOAD_WORDS))
		atomic_fetch_add(&worker->errors, 1);
	if (is_written(worker, index)) {
		workload_write(words, page, ++worker->generations[index]);
		atomic_fetch_add(&worker->writes, 1);
	}
	atomic_fetch_add(&worker->reads, 1);
}

/* Of the pages that are never written: the same in each round. */
static uint64_t static_checksum(const struct worker *worker)
{
	uint64_t index, sum = 0;

	for (index = 0; index < worker->n_pages; index++) {
		if (!is_written(worker, index))
			sum += workload_checksum(page_of(worker, index));
	}
	return sum;
}

/* The written ones, every word of them. */
static void check_written(struct worker *worker, uint32_t round)
{
	uint64_t share = worker->share, index, page;

	for (index = share - 1 + share * (round % FULL_SHARE); index < worker->n_pages;
	     index += share * FULL_SHARE) {
		page = worker->first_page + index;
		if (workload_checksum(page_of(worker, index)) !=
		    workload_expected_checksum(page, worker->generations[index]))
			atomic_fetch_add(&worker->errors, 1);
	}
}

static void report(uint32_t round)
{
	uint64_t reads = 0, writes = 0, errors = 0, sum = 0;
	int i;

	for (i = 0; i < n_threads; i++) {
		reads += atomic_load(&workers[i].reads);
		writes += atomic_load(&workers[i].writes);
		errors += atomic_load(&workers[i].errors);
		sum += atomic_load(&workers[i].checksum);
	}
	printf("lab: round=%" PRIu32 " reads=%" PRIu64 " writes=%" PRIu64 " errors=%" PRIu64
	       " static=%016" PRIx64 "\n",
	       round, reads, writes, errors, sum);
}

static void *work(void *data)
{
	struct worker *worker = data;
	uint64_t index;
	uint32_t round;

	for (round = 1;; round++) {
		for (index = 0; index < worker->n_pages; index++)
			visit(worker, index, round);
		check_written(worker, round);
		atomic_store(&worker->checksum, static_checksum(worker));
		if (pthread_barrier_wait(&round_done) == PTHREAD_BARRIER_SERIAL_THREAD)
			report(round);
	}
	return NULL;
}

static void *populate(void *data)
{
	struct worker *worker = data;
	uint64_t index;

	for (index = 0; index < worker->n_pages; index++)
		workload_populate(page_of(worker, index), worker->first_page + index);
	return NULL;
}

static void die(const char *what)
{
	printf("lab: failed %s\n", what);
	fflush(stdout);
	reboot(RB_POWER_OFF);
	exit(1);
}

static void read_command_line(char *line, size_t size)
{
	ssize_t length;
	int fd;

	mkdir("/proc", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL))
		die("mount");
	fd = open("/proc/cmdline", O_RDONLY);
	length = fd < 0 ? -1 : read(fd, line, size - 1);
	if (length < 0)
		die("cmdline");
	line[length] = '\0';
	close(fd);
}

static uint64_t option(const char *line, const char *key, uint64_t otherwise)
{
	const char *found = strstr(line, key);
	uint64_t value = found ? strtoull(found + strlen(key), NULL, 10) : otherwise;

	if (!value)
		die(key);
	return value;
}

static void wait_for_memory(uint64_t mib)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t pages = (mib << 20) / sysconf(_SC_PAGESIZE);

	printf("lab: waits for mib=%" PRIu64 "\n", mib);
	while ((uint64_t)sysconf(_SC_PHYS_PAGES) < pages)
		nanosleep(&pause, NULL);
}

static void run_all(void *(*function)(void *))
{
	int i;

	for (i = 0; i < n_threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, function, &workers[i]))
			die("thread");
	}
	for (i = 0; i < n_threads; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(void)
{
	uint64_t mib, share, pages;
	uint64_t *memory;
	char line[1024];
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	read_command_line(line, sizeof(line));
	mib = option(line, "lab.mib=", 64);
	share = option(line, "lab.write=", 2);
	if (strstr(line, "lab.memory="))
		wait_for_memory(option(line, "lab.memory=", 0));
	n_threads = sysconf(_SC_NPROCESSORS_ONLN);
	if (n_threads < 1 || n_threads > N_THREADS_MAX)
		die("vCPUs");
	pages = mib * 256 / n_threads;
	memory = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (i = 0; i < n_threads; i++) {
		workers[i].words = memory + i * pages * WORKLOAD_WORDS;
		workers[i].n_pages = pages;
		workers[i].first_page = i * pages;
		workers[i].share = share;
		workers[i].generations = calloc(pages, sizeof(*workers[i].generations));
		if (!workers[i].generations)
			die("calloc");
	}
	if (pthread_barrier_init(&round_done, NULL, n_threads))
		die("barrier");
	run_all(populate);
	printf("lab: populated mib=%" PRIu64 "\n", mib);
	run_all(work);
	die("threads");
}
