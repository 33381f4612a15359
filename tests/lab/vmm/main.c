// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The lab's VMM. It reads a command a line from standard input and answers each
 * with one line, "ok key=value ..." or "error what: why". README.md lists them.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../workload.h"
#include "cleanup.h"
#include "hand-over.h"
#include "harvest.h"
#include "stress.h"
#include "vm.h"

#define MAX_WORDS 16

/* A command line cut into words: @word[0] is the command, @word[1] often a slot's number. */
struct request {
	char *word[MAX_WORDS];
	unsigned int n;
};

/* SAYS_NOTHING: the answer is how long it was on a CPU. */
enum command_flags {
	NEEDS_VM = 1,
	SAYS_NOTHING = 2
};

struct command {
	const char *name;
	int (*handle)(struct vm **vm, const struct request *request);
	unsigned int flags;
};

static const char *option(const struct request *request, const char *key, const char *otherwise)
{
	size_t length = strlen(key);
	unsigned int i;

	for (i = 1; i < request->n; i++) {
		if (!strncmp(request->word[i], key, length) && request->word[i][length] == '=')
			return request->word[i] + length + 1;
	}
	return otherwise;
}

static uint64_t number(const struct request *request, const char *key, uint64_t otherwise)
{
	const char *text = option(request, key, NULL);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static unsigned int slot_of(const struct request *request)
{
	return request->n > 1 ? strtoul(request->word[1], NULL, 0) : 0;
}

static int handle_create(struct vm **vm, const struct request *request)
{
	int err;

	if (*vm)
		return -EEXIST;
	err = vm_new(vm, number(request, "vcpus", 2), number(request, "chunk", 0),
		     number(request, "manual", 0), number(request, "faults", 0),
		     number(request, "vgic", 0));
	if (!err)
		printf("ok pid=%d fd=%d\n", getpid(), vm_fd(*vm));
	return err;
}

static int parse_backing(const char *text, enum vm_backing *backing)
{
	static const char *const names[] = {
		[VM_BACKING_4K] = "4k",		[VM_BACKING_THP] = "thp",
		[VM_BACKING_HUGE] = "huge",	[VM_BACKING_HUGE_1G] = "huge1g",
		[VM_BACKING_SHARED] = "shared",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*backing = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int handle_add(struct vm **vm, const struct request *request)
{
	enum vm_backing backing;
	int err;

	err = parse_backing(option(request, "backing", "huge"), &backing);
	if (!err)
		err = vm_slot_add(*vm, slot_of(request), number(request, "gpa", VM_MEMORY),
				  number(request, "bytes", 0), backing, number(request, "log", 0));
	return err;
}

static int handle_delete(struct vm **vm, const struct request *request)
{
	return vm_slot_delete(*vm, slot_of(request));
}

static int handle_move(struct vm **vm, const struct request *request)
{
	return vm_slot_move(*vm, slot_of(request), number(request, "gpa", VM_MEMORY));
}

static int handle_log(struct vm **vm, const struct request *request)
{
	return vm_slot_log(*vm, slot_of(request), number(request, "on", 1));
}

static int advise(struct vm **vm, const struct request *request, int advice)
{
	return vm_slot_advise(*vm, slot_of(request), number(request, "first", 0),
			      number(request, "pages", 0), advice);
}

static int handle_discard(struct vm **vm, const struct request *request)
{
	return advise(vm, request, MADV_DONTNEED);
}

/* Also of memory that was to be in small pages. */
static int handle_collapse(struct vm **vm, const struct request *request)
{
	int err = advise(vm, request, MADV_HUGEPAGE);

	return err ? err : advise(vm, request, MADV_COLLAPSE);
}

/* For KSM to merge its pages with others that are equal. */
static int handle_merge(struct vm **vm, const struct request *request)
{
	return advise(vm, request, MADV_MERGEABLE);
}

static int handle_protect(struct vm **vm, const struct request *request)
{
	return vm_slot_protect(*vm, slot_of(request), number(request, "first", 0),
			       number(request, "pages", 0), number(request, "exec", 0));
}

static int handle_unmap(struct vm **vm, const struct request *request)
{
	return vm_slot_remap(*vm, slot_of(request), number(request, "first", 0),
			     number(request, "pages", 0));
}

/* What must never happen by itself, so that it is seen to be noticed. */
static int handle_spoil(struct vm **vm, const struct request *request)
{
	uint64_t page = number(request, "page", 0);
	struct vm_slot_view view;
	int err = vm_slot_view(*vm, slot_of(request), &view);

	if (err)
		return err;
	if (page >= view.pages)
		return -EINVAL;
	view.memory[page * WORKLOAD_WORDS + number(request, "word", 1)] ^= 1;
	return 0;
}

static void print_work(const struct vm *vm)
{
	uint64_t bad_page, errors = vm_errors(vm, &bad_page);
	unsigned int i;

	printf("ok errors=%" PRIu64, errors);
	if (errors)
		printf(" bad_page=%" PRIu64, bad_page);
	for (i = 0; i < vm_n_vcpus(vm); i++)
		printf(" done%u=%" PRIu64, i, vm_done(vm, i));
	putchar('\n');
}

static struct vm_work parse_work(const struct request *request, enum guest_command command)
{
	return (struct vm_work){
		.command = command,
		.pages = number(request, "pages", 0),
		.step = number(request, "step", 1),
		.write_every = number(request, "write", 0),
		.exec_every = number(request, "exec", 0),
	};
}

static int work(struct vm **vm, const struct request *request, enum guest_command command)
{
	const struct vm_work work = parse_work(request, command);
	int err;

	err = command == GUEST_RUN || command == GUEST_REMAP
		      ? vm_start(*vm, slot_of(request), &work)
		      : vm_work(*vm, slot_of(request), &work);
	if (!err)
		print_work(*vm);
	return err;
}

static int handle_populate(struct vm **vm, const struct request *request)
{
	return work(vm, request, GUEST_POPULATE);
}

static int handle_pass(struct vm **vm, const struct request *request)
{
	return work(vm, request, GUEST_PASS);
}

static int handle_start(struct vm **vm, const struct request *request)
{
	return work(vm, request, GUEST_RUN);
}

static int handle_remap(struct vm **vm, const struct request *request)
{
	return vm_n_vcpus(*vm) == 2 ? work(vm, request, GUEST_REMAP) : -EINVAL;
}

static int handle_stop(struct vm **vm, const struct request *request)
{
	int err = vm_stop(*vm);

	(void)request;
	if (!err)
		print_work(*vm);
	return err;
}

static int handle_progress(struct vm **vm, const struct request *request)
{
	(void)request;
	print_work(*vm);
	return 0;
}

static int handle_checksum(struct vm **vm, const struct request *request)
{
	const struct vm_work work = parse_work(request, GUEST_CHECKSUM);
	struct vm_checksum sum;
	int err = vm_checksum(*vm, slot_of(request), &work, &sum);

	if (!err)
		printf("ok guest=%016" PRIx64 " host=%016" PRIx64 " expected=%016" PRIx64 "\n",
		       sum.guest, sum.host, sum.expected);
	return err;
}

static int handle_dirty(struct vm **vm, const struct request *request)
{
	struct vm_dirty dirty;
	int err = vm_get_dirty(*vm, slot_of(request), &dirty);

	if (!err)
		printf("ok pages=%" PRIu64 " missing=%" PRIu64 "\n", dirty.pages, dirty.missing);
	return err;
}

static int handle_clear(struct vm **vm, const struct request *request)
{
	return vm_clear_dirty(*vm, slot_of(request), number(request, "first", 0),
			      number(request, "pages", 0));
}

static int handle_harvest(struct vm **vm, const struct request *request)
{
	uint64_t logged = 0;
	int err;

	if (number(request, "begin", 0))
		err = harvest_begin(*vm, slot_of(request));
	else
		err = harvest_collect(*vm, slot_of(request), number(request, "manual", 0),
				      number(request, "first", 0), number(request, "pages", 0),
				      &logged);
	if (!err)
		printf("ok pages=%" PRIu64 "\n", logged);
	return err;
}

static int handle_verify(struct vm **vm, const struct request *request)
{
	struct harvest_check found;
	int err = harvest_check(*vm, slot_of(request), number(request, "manual", 0), &found);

	if (!err)
		printf("ok missing=%" PRIu64 " missing_page=%" PRIu64 " pages=%" PRIu64 "\n",
		       found.missing, found.missing_page, found.logged);
	return err;
}

static int handle_faults(struct vm **vm, const struct request *request)
{
	uint64_t counts[FAULT_KINDS];
	int err = vm_faults(*vm, counts);

	(void)request;
	if (!err)
		printf("ok all=%" PRIu64 " translation=%" PRIu64 " permission=%" PRIu64
		       " access_flag=%" PRIu64 " write=%" PRIu64 " stray=%" PRIu64 "\n",
		       counts[FAULT_TRANSLATION] + counts[FAULT_PERMISSION] +
			       counts[FAULT_ACCESS_FLAG],
		       counts[FAULT_TRANSLATION], counts[FAULT_PERMISSION],
		       counts[FAULT_ACCESS_FLAG], counts[FAULT_WRITE], vm_stray_exits(*vm));
	return err;
}

static int handle_stress(struct vm **vm, const struct request *request)
{
	const struct stress stress = {
		.rounds = number(request, "rounds", 1),
		.cycle = number(request, "cycle", 4),
		.progress = number(request, "progress", 64),
		.step = number(request, "step", 1),
		.write_every = number(request, "write", 3),
		.manual = number(request, "manual", 0),
		.split = number(request, "split", 0),
		.recover = number(request, "recover", 0),
		.max_tlbis = number(request, "max", 0),
		.max_blocks = number(request, "blocks", 0),
		.disturb = number(request, "disturb", 0),
		.beside = number(request, "beside", 0),
	};
	struct stress_result r;
	int err = stress_run(*vm, slot_of(request), &stress, &r);

	if (!err)
		printf("ok rounds=%" PRIu64 " missing=%" PRIu64 " missing_page=%" PRIu64
		       " missing_round=%" PRIu64 " logged=%" PRIu64 " errors=%" PRIu64
		       " blocks=%" PRIu64 " tlbis=%" PRIu64 " calls=%" PRIu64 " disturbed=%" PRIu64
		       " collapsed=%" PRIu64 "\n",
		       r.rounds, r.missing, r.missing_page, r.missing_round, r.logged, r.errors,
		       r.blocks, r.tlbis, r.calls, r.disturbed, r.collapsed);
	return err;
}

static void print_stat(void *data, bool vcpu, const char *name, uint64_t value)
{
	bool *first = data;

	printf("%s %s%s=%" PRIu64, *first ? "ok" : "", vcpu ? "vcpu_" : "", name, value);
	*first = false;
}

static int handle_stats(struct vm **vm, const struct request *request)
{
	bool first = true;
	int err = vm_stats(*vm, print_stat, &first);

	(void)request;
	if (!err)
		putchar('\n');
	return err;
}

static int handle_hand_over(struct vm **vm, const struct request *request)
{
	return hand_over(vm_fd(*vm), option(request, "socket", ""), option(request, "name", ""));
}

static const struct command commands[] = {
	{ "create", handle_create, 0 },
	{ "add", handle_add, NEEDS_VM | SAYS_NOTHING },
	{ "delete", handle_delete, NEEDS_VM | SAYS_NOTHING },
	{ "move", handle_move, NEEDS_VM | SAYS_NOTHING },
	{ "log", handle_log, NEEDS_VM | SAYS_NOTHING },
	{ "clear", handle_clear, NEEDS_VM | SAYS_NOTHING },
	{ "discard", handle_discard, NEEDS_VM | SAYS_NOTHING },
	{ "collapse", handle_collapse, NEEDS_VM | SAYS_NOTHING },
	{ "merge", handle_merge, NEEDS_VM | SAYS_NOTHING },
	{ "protect", handle_protect, NEEDS_VM | SAYS_NOTHING },
	{ "unmap", handle_unmap, NEEDS_VM | SAYS_NOTHING },
	{ "spoil", handle_spoil, NEEDS_VM | SAYS_NOTHING },
	{ "populate", handle_populate, NEEDS_VM },
	{ "pass", handle_pass, NEEDS_VM },
	{ "start", handle_start, NEEDS_VM },
	{ "remap", handle_remap, NEEDS_VM },
	{ "stop", handle_stop, NEEDS_VM },
	{ "progress", handle_progress, NEEDS_VM },
	{ "checksum", handle_checksum, NEEDS_VM },
	{ "dirty", handle_dirty, NEEDS_VM },
	{ "harvest", handle_harvest, NEEDS_VM },
	{ "verify", handle_verify, NEEDS_VM },
	{ "faults", handle_faults, NEEDS_VM },
	{ "stats", handle_stats, NEEDS_VM },
	{ "stress", handle_stress, NEEDS_VM },
	{ "hand-over", handle_hand_over, NEEDS_VM | SAYS_NOTHING },
};

/* How long this thread was on a CPU, without what it waited for. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int dispatch(struct vm **vm, const struct request *request)
{
	uint64_t start;
	size_t i;
	int err;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, request->word[0]))
			continue;
		if (commands[i].flags & NEEDS_VM && !*vm)
			return -ENODEV;
		start = cpu_ns();
		err = commands[i].handle(vm, request);
		if (!err && commands[i].flags & SAYS_NOTHING)
			printf("ok ns=%" PRIu64 "\n", cpu_ns() - start);
		return err;
	}
	return -EOPNOTSUPP;
}

static void parse(char *line, struct request *request)
{
	char *save, *word;

	request->n = 0;
	for (word = strtok_r(line, " \n", &save); word && request->n < MAX_WORDS;
	     word = strtok_r(NULL, " \n", &save))
		request->word[request->n++] = word;
}

static void ignore(int signal)
{
	(void)signal;
}

int main(void)
{
	/* Without SA_RESTART: it is there to take a vCPU out of KVM_RUN. */
	const struct sigaction action = { .sa_handler = ignore };
	auto_free char *line = NULL;
	struct request request;
	struct vm *vm = NULL;
	size_t room = 0;
	int err;

	sigaction(SIGUSR1, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &room, stdin) > 0) {
		parse(line, &request);
		if (!request.n)
			continue;
		err = dispatch(&vm, &request);
		if (err)
			printf("error %s: %s\n", request.word[0], strerror(-err));
	}
	vm_free(vm);
	return 0;
}
