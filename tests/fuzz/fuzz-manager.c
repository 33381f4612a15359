// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Manager and control, and all below them: a program of bytes plays what clients call, what
 * happens on the host, how jobs and calls end, and how time goes by. In the end all that went
 * wrong is over, and then: each call has been answered, once; each VM is known; held is what is
 * to be held, and nothing else; who watches has been told the last of it. The budget's promise
 * holds all the time, and what was answered before a crash afterwards. With FUZZ_TRACE in the
 * environment it says what it plays.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/control-names.h"
#include "base/util.h"
#include "conf/conf.h"
#include "control/control.h"
#include "fake-connection.h"
#include "fake-host.h"
#include "fake-keeper.h"
#include "fake-loop.h"
#include "fake-machined.h"
#include "fake-pool.h"
#include "fuzz.h"
#include "manager/manager.h"
#include "manager/manager-index.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-reload.h"
#include "manager/manager-table.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "store/vm-store.h"
#include "splitting/work.h"

#define MANAGER(method) CONTROL_INTERFACE "." method

/* What the daemon is to come to rest within, in turns, and in time. */
#define SETTLE_TURNS 200000
#define SETTLE_NSEC  (2 * 3600 * NSEC_PER_SEC)

/*
 * A VM whose migration was in @state when the daemon ended, and has not been seen since; @unsaved:
 * that could not be written, so nothing is known of it, or what was written last: @kept.
 */
struct promise {
	uint64_t id;
	enum vm_state state;
	enum vm_state kept;
	bool unwanted;
	bool unsaved;
};

/**
 * struct player - what plays, and what is played with
 * @data: the program, of @size bytes, at byte @at
 * @promises: that the daemon before has made
 */
struct player {
	const uint8_t *data;
	size_t size;
	size_t at;
	sd_event *event;
	struct manager *manager;
	struct control *control;
	bool stopped;
	unsigned int n_turns;
	size_t n_promises;
	struct promise promises[HOST_VMS_MAX];
};

/* The configurations that there are; "" is one with an error. */
static const char *const configs[] = {
	"[Budget]\nTlbiLoad=0\nTlbiRate=1000\nTlbiBurst=16\n[Split]\nScheduledTimeoutSec=60\n",
	"[Budget]\nTlbiLoad=1%\nTlbiRate=0\n",
	"[Budget]\nTlbiLoad=5%\nTlbiRate=50\nTlbiBurst=1\nVmTlbiRate=20\n[Split]\nOnDirtyLog=ignore\n",
	"[Budget]\nTlbiLoad=0\nTlbiRate=0\n[Split]\nBbm=off\n",
	"[Budget]\nTlbiLoad=0\nTlbiRate=200\nTlbiBurst=100\n[Split]\nScheduledTimeoutSec=0\n",
	"",
};
static struct config *read_configs[ARRAY_SIZE(configs)];
/* The one that there is now. */
static size_t config_at_hand;

static uint8_t next_byte(struct player *p)
{
	return p->at < p->size ? p->data[p->at++] : 0;
}

/*
 * What has been promised
 */

static void note_promise(struct player *p, const struct vm *vm)
{
	const struct vm_record *record = keeper_find_record(vm->host_vm->id);
	size_t i = 0;

	while (i < p->n_promises && p->promises[i].id != vm->host_vm->id)
		i++;
	check(i < HOST_VMS_MAX);
	p->n_promises = max_u64(p->n_promises, i + 1);
	p->promises[i] = (struct promise){
		.id = vm->host_vm->id,
		.state = vm->migration.state,
		.kept = record ? record->state : VM_STATE_NONE,
		.unwanted = vm->table.unwanted,
		.unsaved = vm->store.unsaved || keeper_get_error(),
	};
}

/* Also of those that it has not come to since it was started itself. */
static void note_promises(struct player *p)
{
	const struct vm *vm;

	/* It cannot be helped. */
	if (keeper_get_error() == -EROFS) {
		p->n_promises = 0;
		return;
	}
	TAILQ_FOREACH(vm, &p->manager->vms, link)
		note_promise(p, vm);
	TAILQ_FOREACH(vm, &p->manager->unwanted, link)
		note_promise(p, vm);
}

/* Whether it is kept, or yet to be seen whether. */
static bool promise_is_open(struct player *p, const struct promise *promise)
{
	const struct vm *vm = manager_find_host_vm(p->manager, promise->id);
	const struct host_vm *host_vm;

	if (vm) {
		check(!promise->unwanted || promise->unsaved || vm->table.registered);
		check(promise->unwanted || vm->migration.state == promise->state ||
		      (promise->unsaved && (vm->migration.state == VM_STATE_NONE ||
					    vm->migration.state == promise->kept)));
		return false;
	}
	if (manager_knows(p->manager, promise->id))
		return false;
	TAILQ_FOREACH(host_vm, &host.vms, link)
		if (host_vm->id == promise->id)
			return host_vm->alive;
	return false;
}

static void check_promises(struct player *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_promises; i++)
		if (promise_is_open(p, &p->promises[i]))
			p->promises[n++] = p->promises[i];
	p->n_promises = n;
}

/*
 * The daemon's life
 */

/* What they say: read once, and not each time anew. */
static void read_all_configs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		size_t size = strlen(configs[i]);
		FILE *file = size ? fmemopen((void *)configs[i], size, "r") : NULL;

		if (!size)
			continue;
		read_configs[i] = config_new("", true);
		check(file && read_configs[i]);
		check(config_read_stream(read_configs[i], file, "", NULL, NULL) == 0);
		fclose(file);
	}
}

int __wrap_config_read(struct config **ret, const char *path, bool required, config_problem problem,
		       void *userdata);

int __wrap_config_read(struct config **ret, const char *path, bool required, config_problem problem,
		       void *userdata)
{
	if (!configs[config_at_hand][0]) {
		problem(userdata, false, "that is odd");
		problem(userdata, true, "that is wrong");
		return -EINVAL;
	}
	*ret = malloc(sizeof(**ret));
	check(*ret);
	**ret = *read_configs[config_at_hand];
	(*ret)->path = strdup(path);
	check((*ret)->path);
	return 0;
}

/* The limits are those of the configuration; from now on the meter goes by them. */
static void sync_meter(struct player *p)
{
	const struct work_limits *limits = &p->manager->splitter->group.limits;
	const struct config *config = manager_get_config(p->manager);
	struct splitter_load load;

	check(limits->host.rate == config->tlbi_rate &&
	      limits->host.burst == config_get_burst(config) &&
	      limits->host.load == config->tlbi_load);
	splitter_get_load(p->manager->splitter, &load);
	if (!load.budget.granted)
		meter_rest(&host.meter);
	if (memcmp(&limits->host, &host.meter.limits, sizeof(limits->host)) != 0)
		meter_set(&host.meter, &limits->host, loop_now(), load.budget.granted);
}

static void begin_daemon(struct player *p)
{
	int *splitters = calloc(HOST_VMS_MAX * 4, sizeof(int)), fd;
	struct config *config;
	struct vm_store *store;
	size_t n;

	p->stopped = false;
	keeper_set_deaf(false);
	check(splitters);
	n = keeper_give_splitters(splitters, HOST_VMS_MAX * 4);
	check(sd_event_new(&p->event) == 0);
	config_at_hand = 0;
	check(config_read(&config, "", true, NULL, NULL) == 0);
	check(manager_new(&p->manager, p->event, config, host_new_backend()) == 0);
	check(vm_store_new(&store, "") == 0);
	manager_begin(p->manager, store, splitters, n);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	check(control_new(&p->control, p->event, p->manager, fd) == 0);
	meter_begin(&host.meter, &p->manager->splitter->group.limits.host, loop_now());
	check_promises(p);
}

static void end_daemon(struct player *p)
{
	(void)clients_turn();
	control_free(p->control);
	manager_free(p->manager);
	sd_event_unref(p->event);
}

static void on_stopped(void *userdata)
{
	struct player *p = userdata;

	check(!p->stopped);
	p->stopped = true;
}

static void check_table(const struct manager *m)
{
	const struct vm *vm, *other;
	size_t n = 0;

	TAILQ_FOREACH(vm, &m->vms, link) {
		n++;
		for (other = TAILQ_NEXT(vm, link); other; other = TAILQ_NEXT(other, link)) {
			check(vm->host_vm->id != other->host_vm->id);
			check(strcmp(vm->table.name, other->table.name) != 0);
		}
	}
	check(n == m->n_vms && n <= MANAGER_VMS_MAX);
}

/*
 * Turns
 */

/* Dispatches what is due first. False: nothing is. */
static bool turn(struct player *p)
{
	bool any;

	/* By turns, as of two that have something to tell. */
	if (p->n_turns++ % 2)
		any = loop_turn(p->event) || pool_end_job();
	else
		any = pool_end_job() || loop_turn(p->event);
	any |= clients_turn();
	sync_meter(p);
	check_promises(p);
	return any;
}

static bool run_job(struct player *p, size_t which)
{
	sync_meter(p);
	return pool_run_job(which);
}

static bool do_something(struct player *p)
{
	bool any = pool_begin_job();

	any |= run_job(p, 0);
	return turn(p) || any;
}

/*
 * At rest
 */

/* What is wrong with what @vm has come to, NULL: nothing. */
static const char *check_vm(const struct host_vm *host_vm, const struct vm *vm)
{
	enum vm_goal goal = vm_state_get_goal(vm->migration.state);

	if (host_vm->failed)
		return NULL;
	if (vm->progress.stage == VM_STAGE_FAILED)
		return host_vm->stubborn ? NULL : "it has failed, and need not have";
	if (goal == VM_GOAL_SPLIT && !host_is_held(host_vm))
		return "it is to be held";
	if (goal != VM_GOAL_SPLIT && host_is_held(host_vm))
		return "it is held";
	if (goal == VM_GOAL_SPLIT && vm->progress.stage != VM_STAGE_SPLIT)
		return "it is to be split";
	if (goal == VM_GOAL_RECOVER && vm->progress.stage != VM_STAGE_WHOLE)
		return "it is to be recovered";
	return NULL;
}

static const char *check_host_vm(struct player *p, const struct host_vm *host_vm)
{
	const struct vm *vm = manager_find_host_vm(p->manager, host_vm->id);

	if (vm && !host_vm->alive)
		return "it is gone";
	if (vm)
		return check_vm(host_vm, vm);
	if (host_vm->alive && host_is_held(host_vm))
		return host_vm->failed ? NULL : "it is held by nobody";
	if (host_vm->alive && !manager_knows(p->manager, host_vm->id) && !host.refused)
		return "it has not been found";
	return NULL;
}

/* What the client was told last is what is so. */
static const char *check_view(size_t client, const struct vm *vm)
{
	const struct view *view = client_get_view(client, vm->table.name);
	struct vm_info info;

	if (!view)
		return NULL;
	vm_get_info(vm, 0, &info);
	if (strcmp(view->migration, vm_migration_to_string(info.migration)) != 0 ||
	    strcmp(view->stage, vm_stage_to_string(info.stage)) != 0)
		return "who watches has not been told";
	return NULL;
}

static const char *check_client(struct player *p, size_t client)
{
	const struct vm *vm;

	if (client_is_waiting(client))
		return "a call has not been answered";
	TAILQ_FOREACH(vm, &p->manager->vms, link)
		if (client_is_watching(client) && check_view(client, vm))
			return check_view(client, vm);
	return NULL;
}

/* What is still to come about, NULL: nothing. */
static const char *check_rest(struct player *p)
{
	const struct host_vm *vm;
	const char *why = NULL;

	TAILQ_FOREACH(vm, &host.vms, link)
		why = why ?: check_host_vm(p, vm);
	for (size_t i = 0; i < CLIENTS; i++)
		why = why ?: check_client(p, i);
	return why;
}

/* Nothing goes wrong any more, and what the host has not told of it tells now. */
static void end_trouble(struct player *p)
{
	struct host_vm *vm;

	host.supported = true;
	host.n_fails = 0;
	host.excess = 0;
	keeper_set_error(0);
	TAILQ_FOREACH(vm, &host.vms, link) {
		vm->held_by_other = false;
		vm->shown = true;
	}
	for (size_t i = 0; i < CLIENTS; i++)
		client_set_busy(i, false);
	manager_reload(p->manager);
	host_tell(HOST_EVENTS_LOST, 0);
}

static void settle(struct player *p)
{
	uint64_t until = loop_now() + SETTLE_NSEC;
	const char *why = "";

	for (size_t i = 0; i < SETTLE_TURNS && loop_now() < until; i++) {
		uint64_t next;

		if (do_something(p))
			continue;
		why = check_rest(p);
		next = loop_next(p->event);
		if (!why || next == UINT64_MAX)
			break;
		loop_advance(next);
	}
	if (why)
		fprintf(stderr, "Not at rest: %s\n", why);
	check(!why);
}

static void stop(struct player *p)
{
	manager_stop(p->manager, on_stopped, p);
	for (size_t i = 0; i < SETTLE_TURNS && !p->stopped; i++) {
		if (!do_something(p) && loop_next(p->event) != UINT64_MAX)
			loop_advance(loop_next(p->event));
	}
	check(p->stopped);
}

/*
 * What is played
 */

static struct host_vm *choose_vm(struct player *p)
{
	size_t i = next_byte(p);
	struct host_vm *vm;

	TAILQ_FOREACH(vm, &host.vms, link)
		if (vm->alive && i-- == 0)
			break;
	return vm;
}

static void change_slot(struct host_vm *vm, uint8_t how, uint8_t blocks)
{
	size_t i = how % HOST_SLOTS_MAX;
	struct host_slot *slot = &vm->slots[i];

	if (i > vm->n_slots)
		return;
	/* The last one goes. */
	if (how & 0x80 && i + 1 == vm->n_slots) {
		vm->n_slots--;
		return;
	}
	*slot = (struct host_slot){
		.gpa = (1 + i) << 30,
		.n_blocks = 1 + blocks % HOST_BLOCKS_MAX,
		.stubborn = how & 0x40,
		.logged = slot->logged && i < vm->n_slots,
	};
	vm->stubborn |= slot->stubborn;
	vm->n_slots = i == vm->n_slots ? i + 1 : vm->n_slots;
	if (how & 0x20)
		host_fault(vm, UINT32_MAX);
}

static void tell_created(struct host_vm *vm)
{
	vm->told = true;
	host_tell(HOST_VM_CREATED, vm->pid);
}

static void play_create(struct player *p)
{
	uint8_t how = next_byte(p);
	struct host_vm *vm = host_create_vm(HOST_PID(how));

	if (!vm)
		return;
	if (how & 0x80)
		change_slot(vm, 0x20, next_byte(p));
	vm->shown = how & 0x40;
	if (how & 0x20)
		tell_created(vm);
}

static void play_show(struct player *p)
{
	struct host_vm *vm;

	TAILQ_FOREACH(vm, &host.vms, link) {
		vm->shown = true;
		if (!vm->told)
			tell_created(vm);
	}
}

static void play_destroy(struct player *p)
{
	struct host_vm *vm = choose_vm(p);

	if (!vm)
		return;
	host_destroy_vm(p->event, vm);
	if (next_byte(p) & 1)
		host_tell(HOST_VM_DESTROYED, vm->pid);
}

static void play_exit(struct player *p)
{
	pid_t pid = HOST_PID(next_byte(p));
	struct host_vm *vm;

	TAILQ_FOREACH(vm, &host.vms, link)
		if (vm->alive && vm->pid == pid)
			host_destroy_vm(p->event, vm);
	host_tell(HOST_VM_DESTROYED, pid);
}

static void play_memory(struct player *p)
{
	struct host_vm *vm = choose_vm(p);
	uint8_t how = next_byte(p);

	if (vm)
		change_slot(vm, how, next_byte(p));
}

static void play_log(struct player *p)
{
	struct host_vm *vm = choose_vm(p);
	uint8_t how = next_byte(p);

	if (vm)
		host_log(p->event, vm, how % HOST_SLOTS_MAX, how & 0x80);
}

static void play_fault(struct player *p)
{
	struct host_vm *vm = choose_vm(p);

	if (vm)
		host_fault(vm, next_byte(p) * UINT32_C(0x01010101));
}

static void play_other(struct player *p)
{
	struct host_vm *vm = choose_vm(p);

	if (vm)
		vm->held_by_other = !vm->held_by_other;
}

static void play_lost(struct player *p)
{
	host_tell(HOST_EVENTS_LOST, 0);
}

static void play_host(struct player *p)
{
	uint8_t how = next_byte(p);

	host.bbm_level = how & 1 ? 2 : 0;
	host.supported = !(how & 2);
	host.vcpus_wait = how & 4;
	host.excess = how & 8 ? 3 : 0;
	host.batch = 1 + (how >> 4);
	host.tlbi_nsec = next_byte(p) * NSEC_PER_USEC;
}

static void play_fail(struct player *p)
{
	static const int errors[] = { -ENOMEM, -EMFILE, -ENFILE, -EAGAIN, -EINTR,
				      -EBUSY,  -ENOSPC, -EIO,	 -EPERM };
	uint8_t which = next_byte(p);

	host.error = errors[next_byte(p) % ARRAY_SIZE(errors)];
	host.fails = which & 0x80 ? UINT32_MAX : 1U << (which % 9);
	host.n_fails = next_byte(p);
}

static void play_names(struct player *p)
{
	static const char *const names[] = { NULL, "a", "b", "101.0", "", "a/b" };
	uint8_t which = next_byte(p);

	host.names[which % HOST_PROCESSES] = names[which / HOST_PROCESSES % ARRAY_SIZE(names)];
}

static void play_machined(struct player *p)
{
	machined_answer(next_byte(p) & 1 ? "a" : "c");
}

static void play_keeper(struct player *p)
{
	static const int errors[] = { 0, -ENOSPC, -EROFS, -EMFILE };

	uint8_t how = next_byte(p);

	keeper_set_error(errors[how % ARRAY_SIZE(errors)]);
	if (!(how & 0x80))
		return;
	keeper_remove_folder();
	/* Who has not been found is not written there anew. */
	for (size_t i = 0; i < p->n_promises; i++)
		p->promises[i].unsaved = true;
}

/*
 * Time and jobs
 */

static void play_turn(struct player *p)
{
	(void)turn(p);
}

static void play_turns(struct player *p)
{
	for (unsigned int n = next_byte(p); n && do_something(p); n--)
		;
}

static void play_begin_job(struct player *p)
{
	(void)pool_begin_job();
}

static void play_run_job(struct player *p)
{
	(void)run_job(p, next_byte(p));
}

static void play_time(struct player *p)
{
	uint8_t how = next_byte(p);

	loop_advance(((how & 15) + 1) * (NSEC_PER_USEC << (how >> 4) * 2));
}

static void play_timer(struct player *p)
{
	uint64_t next = loop_next(p->event);

	if (next < 2 * 3600 * NSEC_PER_SEC)
		loop_advance(next);
}

static void play_clocks(struct player *p)
{
	uint8_t how = next_byte(p);

	if (how & 1)
		loop_suspend(how * NSEC_PER_SEC);
	else
		loop_set_wall_clock(((int64_t)how - 128) * 60 * (int64_t)NSEC_PER_SEC);
}

/*
 * Calls
 */

/* A client that may call; false: it may not. */
static bool choose_client(struct player *p, size_t *ret)
{
	uint8_t how = next_byte(p);

	*ret = how % CLIENTS;
	if (how & 0x80)
		client_hang_up(*ret);
	if (!client_may_call(*ret) && !client_is_calling(*ret)) {
		client_hang_up(*ret);
		client_connect(*ret, how & 0x40 ? 1000 : 0);
	}
	return client_may_call(*ret);
}

/* What a VM may be called, or nothing is. */
static const char *choose_name(struct player *p, char buf[static 32])
{
	static const char *const names[] = { "a", "b", "c", "", "nobody", "x/y", HOST_UUID };
	uint8_t which = next_byte(p);

	if (which & 0x80)
		return names[which % ARRAY_SIZE(names)];
	snprintf(buf, 32, which & 0x40 ? "%d" : "%d.%d", (int)HOST_PID(which),
		 which / HOST_PROCESSES % 4);
	return buf;
}

static void set_string(json_object *parameters, const char *key, const char *value)
{
	check(varlink_json_set_string(parameters, key, value) == 0);
}

static void set_int(json_object *parameters, const char *key, uint64_t value)
{
	check(varlink_json_set_u64(parameters, key, value) == 0);
}

/* A call of @method with the name of a VM, and maybe more in @parameters, which are taken. */
static void call(struct player *p, const char *method, json_object *parameters, bool with_vm)
{
	struct client_call what = { .method = method, .descriptor = -1 };
	char buf[32];
	size_t client;

	what.parameters = parameters ?: json_object_new_object();
	if (with_vm)
		set_string(what.parameters, "vm", choose_name(p, buf));
	if (!choose_client(p, &client)) {
		json_object_put(what.parameters);
		return;
	}
	what.more = strcmp(method, MANAGER("Watch")) == 0;
	what.oneway = !what.more && next_byte(p) & 0x80;
	client_call(client, &what);
}

static void play_look(struct player *p)
{
	static const char *const methods[] = {
		MANAGER("GetHost"),
		MANAGER("ListVms"),
		MANAGER("GetHistory"),
		"org.eagersplit.Metrics.GetMetrics",
		"org.varlink.service.GetInfo",
		MANAGER("Nothing"),
	};

	call(p, methods[next_byte(p) % ARRAY_SIZE(methods)], NULL, false);
}

static void play_get_vm(struct player *p)
{
	call(p, MANAGER("GetVm"), NULL, true);
}

static void play_watch(struct player *p)
{
	call(p, MANAGER("Watch"), NULL, next_byte(p) & 1);
}

static void play_unregister(struct player *p)
{
	call(p, MANAGER("Unregister"), NULL, true);
}

static void play_history(struct player *p)
{
	json_object *parameters = json_object_new_object();

	set_int(parameters, "limit", next_byte(p));
	call(p, MANAGER("GetHistory"), parameters, true);
}

static void play_migration(struct player *p)
{
	static const char *const states[] = { "none",	   "scheduled", "active", "completed",
					      "cancelled", "failed",	"gone" };
	json_object *parameters = json_object_new_object();
	uint8_t how = next_byte(p);

	set_string(parameters, "migration", states[how % ARRAY_SIZE(states)]);
	if (how & 0x80)
		set_int(parameters, "deadlineUSec",
			clock_usec(CLOCK_REALTIME) + next_byte(p) * USEC_PER_SEC / 4);
	if (how & 0x40)
		set_int(parameters, "tlbiRate", next_byte(p));
	call(p, MANAGER("SetMigrationState"), parameters, true);
}

static void play_register(struct player *p)
{
	struct client_call what = { .method = MANAGER("Register"), .descriptor = -1 };
	uint8_t how = next_byte(p);
	struct host_vm *vm;
	char buf[32];
	size_t client;

	if (!choose_client(p, &client))
		return;
	what.parameters = json_object_new_object();
	set_int(what.parameters, "pid", (uint64_t)HOST_PID(how) + (how & 0x10 ? 100 : 0));
	if (how & 0x80)
		set_string(what.parameters, "name", choose_name(p, buf));
	vm = how & 0x40 ? choose_vm(p) : NULL;
	if (how & 0x40)
		set_int(what.parameters, "splitter", 0);
	/* Nobody hands over what its VMM has not made. */
	if (vm)
		vm->shown = true;
	if (vm)
		what.descriptor = how & 0x20 ? VARLINK_UNWANTED : host_make_file(vm, how & 8);
	client_call(client, &what);
}

static void play_reload(struct player *p)
{
	uint8_t which = next_byte(p);

	config_at_hand = which % ARRAY_SIZE(configs);
	if (which & 0x80)
		manager_reload(p->manager);
	else
		call(p, MANAGER("Reload"), NULL, false);
}

static void play_hang_up(struct player *p)
{
	client_hang_up(next_byte(p) % CLIENTS);
}

static void play_busy(struct player *p)
{
	uint8_t how = next_byte(p);

	client_set_busy(how % CLIENTS, how & 0x80);
}

/*
 * Restarts
 */

static void play_kill(struct player *p)
{
	note_promises(p);
	keeper_set_deaf(true);
	end_daemon(p);
	begin_daemon(p);
}

static void play_restart(struct player *p)
{
	note_promises(p);
	stop(p);
	end_daemon(p);
	begin_daemon(p);
}

#define PLAY(what)                 \
	{                          \
#what, play_##what \
	}

static const struct {
	const char *name;
	void (*play)(struct player *p);
} plays[] = {
	PLAY(create),	 PLAY(show),	 PLAY(destroy),	   PLAY(exit),	    PLAY(memory),
	PLAY(log),	 PLAY(fault),	 PLAY(other),	   PLAY(lost),	    PLAY(host),
	PLAY(fail),	 PLAY(names),	 PLAY(machined),   PLAY(keeper),    PLAY(turn),
	PLAY(turns),	 PLAY(turns),	 PLAY(turns),	   PLAY(begin_job), PLAY(run_job),
	PLAY(time),	 PLAY(timer),	 PLAY(clocks),	   PLAY(look),	    PLAY(get_vm),
	PLAY(watch),	 PLAY(history),	 PLAY(unregister), PLAY(migration), PLAY(migration),
	PLAY(migration), PLAY(register), PLAY(register),   PLAY(reload),    PLAY(hang_up),
	PLAY(busy),	 PLAY(kill),	 PLAY(restart),
};

static void play(struct player *p)
{
	static int trace = -1;
	size_t at = p->at, which = next_byte(p) % ARRAY_SIZE(plays);

	plays[which].play(p);
	if (trace < 0)
		trace = getenv("FUZZ_TRACE") != NULL;
	if (!trace)
		return;
	fprintf(stderr, "%12.6f %s", (double)loop_now() / (double)NSEC_PER_SEC, plays[which].name);
	while (++at < p->at)
		fprintf(stderr, " %#x", p->data[at]);
	fprintf(stderr, "\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct player player = { .data = data, .size = size }, *p = &player;

	if (!read_configs[0])
		read_all_configs();
	loop_begin();
	host_begin();
	begin_daemon(p);
	while (p->at < p->size) {
		play(p);
		check_table(p->manager);
		/* A call may have had what was kept taken up: before the next one changes it. */
		check_promises(p);
	}
	end_trouble(p);
	settle(p);
	stop(p);
	end_daemon(p);
	keeper_clear();
	host_end();
	loop_end();
	return 0;
}
