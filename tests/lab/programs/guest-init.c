// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The whole userland of the QEMU guests, as /init of their initramfs: fills most
 * of the guest's memory, then reads, writes and checks it for ever, a process's
 * thread a vCPU. Half of the pages are never written again, and their checksum
 * is reported each round; the other half are rewritten each round, and every word
 * of them is checked in the course of some rounds. A line on the console tells
 * each round:
 *
 *   lab: populated mib=N
 *   lab: round=N reads=N writes=N errors=N static=CHECKSUM
 *
 * lab.mib=N on the kernel's command line says how much.
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
#include <unistd.h>

#include "../workload.h"

#define N_THREADS 2
/* One in so many of the written pages is checked in full each round. */
#define FULL_SHARE 8

/*
 * @words, @n_pages, @first_page: a thread's pages; the odd ones are written
 * @generations: of each of them
 * @checksum: of the pages that are never written, as of the last round
 */
struct worker {
	pthread_t thread;
	volatile uint64_t *words;
	uint64_t n_pages;
	uint64_t first_page;
	uint32_t *generations;
	atomic_uint_fast64_t rounds;
	atomic_uint_fast64_t reads;
	atomic_uint_fast64_t writes;
	atomic_uint_fast64_t errors;
	atomic_uint_fast64_t checksum;
};

static volatile uint64_t *page_of(const struct worker *worker, uint64_t index)
{
	return worker->words + index * WORKLOAD_WORDS;
}

static void visit(struct worker *worker, uint64_t index, uint32_t round)
{
	volatile uint64_t *words = page_of(worker, index);
	uint64_t page = worker->first_page + index;

	if (!workload_check(words, page, worker->generations[index],
			    (index + round) % WORKLOAD_WORDS))
		atomic_fetch_add(&worker->errors, 1);
	if (index % 2) {
		workload_write(words, page, ++worker->generations[index]);
		atomic_fetch_add(&worker->writes, 1);
	}
	atomic_fetch_add(&worker->reads, 1);
}

/* Of the pages that are never written: the same in each round. */
static uint64_t static_checksum(const struct worker *worker)
{
	uint64_t index, sum = 0;

	for (index = 0; index < worker->n_pages; index += 2)
		sum += workload_checksum(page_of(worker, index));
	return sum;
}

/* The written ones, every word of them. */
static void check_written(struct worker *worker, uint32_t round)
{
	uint64_t index, page;

	for (index = 1 + 2 * (round % FULL_SHARE); index < worker->n_pages;
	     index += 2 * FULL_SHARE) {
		page = worker->first_page + index;
		if (workload_checksum(page_of(worker, index)) !=
		    workload_expected_checksum(page, worker->generations[index]))
			atomic_fetch_add(&worker->errors, 1);
	}
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
		atomic_store(&worker->rounds, round);
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

static uint64_t wanted_mib(void)
{
	char line[1024] = "";
	const char *option;
	int fd;

	mkdir("/proc", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL))
		die("mount");
	fd = open("/proc/cmdline", O_RDONLY);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		die("cmdline");
	close(fd);
	option = strstr(line, "lab.mib=");
	return option ? strtoull(option + strlen("lab.mib="), NULL, 10) : 64;
}

static void run_all(struct worker *workers, void *(*function)(void *))
{
	int i;

	for (i = 0; i < N_THREADS; i++) {
		if (pthread_create(&workers[i].thread, NULL, function, &workers[i]))
			die("thread");
	}
}

static void report(struct worker *workers, uint64_t round)
{
	uint64_t reads = 0, writes = 0, errors = 0, sum = 0;
	int i;

	for (i = 0; i < N_THREADS; i++) {
		while (atomic_load(&workers[i].rounds) < round)
			usleep(10000);
		reads += atomic_load(&workers[i].reads);
		writes += atomic_load(&workers[i].writes);
		errors += atomic_load(&workers[i].errors);
		sum += atomic_load(&workers[i].checksum);
	}
	printf("lab: round=%" PRIu64 " reads=%" PRIu64 " writes=%" PRIu64 " errors=%" PRIu64
	       " static=%016" PRIx64 "\n",
	       round, reads, writes, errors, sum);
}

int main(void)
{
	static struct worker workers[N_THREADS];
	uint64_t mib = wanted_mib(), pages = mib * 256 / N_THREADS, round;
	uint64_t *memory;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	memory = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (i = 0; i < N_THREADS; i++) {
		workers[i].words = memory + i * pages * WORKLOAD_WORDS;
		workers[i].n_pages = pages;
		workers[i].first_page = i * pages;
		workers[i].generations = calloc(pages, sizeof(*workers[i].generations));
		if (!workers[i].generations)
			die("calloc");
	}
	run_all(workers, populate);
	for (i = 0; i < N_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	printf("lab: populated mib=%" PRIu64 "\n", mib);
	run_all(workers, work);
	for (round = 1;; round++)
		report(workers, round);
}
