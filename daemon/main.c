// SPDX-License-Identifier: GPL-2.0-or-later
/* eagersplitd: options, the event loop, and the conversation with systemd. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/outbox.h"
#include "base/util.h"
#include "conf/conf.h"
#include "control/control.h"
#include "control/control-socket.h"
#include "store/fd-store.h"
#include "host/backend.h"
#include "manager/manager.h"
#include "manager/manager-history.h"
#include "manager/manager-reload.h"
#include "service/notify.h"
#include "service/runtime-lock.h"
#include "store/vm-store.h"

/* Messages that may wait for the journal. */
#define LOG_MAX 1024

/* Memory that is asked for in pieces of this size, or larger, the system takes back at once. */
#define LARGE_BYTES (128 << 10)

/**
 * struct options - the command line
 * @config: NULL: the default, which may be missing
 * @backend: enum config_backend, -1: what the configuration says
 * @socket: where to listen unless systemd gave us a socket
 * @helper: see backend_kvm_new()
 * @check_config: only read the configuration
 */
struct options {
	const char *config;
	int backend;
	const char *socket;
	const char *helper;
	bool check_config;
};

/**
 * struct daemon - all of it
 * @lock: keeps others away, -1: nothing does
 */
struct daemon {
	int lock;
	sd_event *event;
	struct manager *manager;
	struct control *control;
	bool stopping;
};

static void print_help(void)
{
	printf("eagersplitd [OPTION...]\n\n"
	       "Splits the stage-2 blocks of KVM guests ahead of live migration.\n\n"
	       "  --config=FILE      configuration, with drop-ins in FILE.d/*.conf\n"
	       "                     [" EAGERSPLITD_CONFIG "]\n"
	       "  --backend=kvm|sim  overrides Backend= of the configuration\n"
	       "  --socket=PATH      where to listen, unless started by a systemd socket\n"
	       "                     [" EAGERSPLITD_SOCKET "]\n"
	       "  --helper=PATH      what looks into other processes: a program, or a socket, *.sock,\n"
	       "                     where systemd starts it [" EAGERSPLITD_HELPER "]\n"
	       "  --check-config     prints all that is wrong with the configuration; fails on\n"
	       "                     errors, not on warnings\n"
	       "  --version          prints the version\n"
	       "  --help             prints this\n");
}

/* 1: go on; 0: all is done; -EINVAL: not understood, and said so. */
static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "backend", required_argument, NULL, 'b' },
		{ "socket", required_argument, NULL, 's' },
		{ "helper", required_argument, NULL, 'e' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", known, NULL)) >= 0) {
		switch (c) {
		case 'c':
			options->config = optarg;
			break;
		case 'b':
			options->backend = config_backend_from_string(optarg);
			if (options->backend >= 0)
				break;
			fprintf(stderr, "eagersplitd: --backend=%s: not one of kvm, sim\n", optarg);
			return -EINVAL;
		case 's':
			options->socket = optarg;
			break;
		case 'e':
			options->helper = optarg;
			break;
		case 'k':
			options->check_config = true;
			break;
		case 'v':
			printf("eagersplitd %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			print_help();
			return 0;
		default:
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "eagersplitd: %s: takes no arguments\n", argv[optind]);
		return -EINVAL;
	}
	return 1;
}

static void on_stopped(void *userdata)
{
	struct daemon *d = userdata;

	sd_event_exit(d->event, 0);
}

/* Waits for calls in flight; whoever cannot wait asks twice. */
static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct daemon *d = userdata;

	if (d->stopping) {
		log_warning("Stopping at once");
		return sd_event_exit(d->event, 1);
	}
	d->stopping = true;
	log_full(LOG_INFO, MESSAGE_STARTED, "Stopping");
	notify_say(manager_get_notify(d->manager), NOTIFY_STOPPING,
		   "STOPPING=1\nSTATUS=Waiting for what is under way");
	d->control = control_free(d->control);
	manager_set_observer(d->manager, NULL, NULL);
	manager_stop(d->manager, on_stopped, d);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct daemon *d = userdata;

	/* What went wrong has been logged, and all is as it was. */
	if (!d->stopping)
		manager_reload(d->manager);
	return 0;
}

/* The loop's signals are blocked here, so also in all threads that come. */
static int daemon_add_signals(struct daemon *d)
{
	static const struct {
		int signo;
		sd_event_signal_handler_t handler;
	} signals[] = {
		{ SIGTERM, on_terminate },
		{ SIGINT, on_terminate },
		{ SIGHUP, on_hangup },
	};
	sigset_t mask;
	int r;

	signal(SIGPIPE, SIG_IGN);
	/* A file that may not grow is an error as others are. */
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&mask, signals[i].signo);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		r = sd_event_add_signal(d->event, NULL, signals[i].signo, signals[i].handler, d);
		if (r < 0)
			return r;
	}
	return 0;
}

/**
 * struct passed - what systemd gave us
 * @socket: to listen on, -1: none
 * @splitters: that a daemon before us had
 */
struct passed {
	int socket;
	int *splitters;
	size_t n_splitters;
};

static void passed_done(struct passed *passed)
{
	for (size_t i = 0; i < passed->n_splitters; i++)
		closep(&passed->splitters[i]);
	closep(&passed->socket);
	free(passed->splitters);
}

static int passed_add(struct passed *passed, int fd, const char *name)
{
	if (fd_store_is_ours(name)) {
		passed->splitters[passed->n_splitters++] = fd;
		return 0;
	}
	if (passed->socket >= 0) {
		close(fd);
		log_error("One socket is what is needed, systemd gave more");
		return -EINVAL;
	}
	passed->socket = fd;
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
		return 0;
	log_error("What systemd gave is no listening Unix stream socket");
	return -EINVAL;
}

/* All of it is taken, also on error. */
static int passed_get(struct passed *passed)
{
	char **names = NULL;
	int n, r = 0;

	n = sd_listen_fds_with_names(true, &names);
	if (n < 0) {
		log_error("Cannot take the socket from systemd: %s", strerror(-n));
		return n;
	}
	passed->splitters = calloc((size_t)n + 1, sizeof(*passed->splitters));
	if (!passed->splitters)
		r = -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = passed_add(passed, SD_LISTEN_FDS_START + i, names[i]);
		free(names[i]);
	}
	free(names);
	return r;
}

/* The socket that systemd gave us, or one of our own. */
static int open_socket(struct passed *passed, const char *path)
{
	int fd;

	if (passed->socket >= 0)
		return take_fd(&passed->socket);
	fd = control_listen(path);
	if (fd < 0)
		log_error("Cannot listen on %s: %s", path, strerror(-fd));
	return fd;
}

/*
 * The folder for what is to outlive the daemon: that which systemd made
 * (systemd.exec(5), RuntimeDirectory=), or the socket's. NULL: no memory.
 */
static char *get_runtime_folder(const struct options *options)
{
	const char *made = getenv("RUNTIME_DIRECTORY"), *slash;

	if (made && *made)
		return strndup(made, strcspn(made, ":"));
	slash = strrchr(options->socket, '/');
	if (!slash)
		return strdup(".");
	return strndup(options->socket,
		       slash > options->socket ? (size_t)(slash - options->socket) : 1);
}

static int open_sim(struct backend **ret, const struct config *config,
		    const struct options *options)
{
	_cleanup_free_ char *folder = get_runtime_folder(options);
	_cleanup_free_ char *dir = NULL;

	if (!folder || asprintf(&dir, "%s/sim", folder) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	return backend_sim_new(ret, &config->sim, dir);
}

static int open_backend(struct backend **ret, const struct config *config,
			const struct options *options)
{
	int r;

	if (config->backend == CONFIG_BACKEND_SIM)
		r = open_sim(ret, config, options);
	else
		r = backend_kvm_new(ret, options->helper);
	if (r < 0)
		log_error("Cannot start the backend: %s", strerror(-r));
	return r;
}

static const char *config_path(const struct options *options)
{
	return options->config ?: EAGERSPLITD_CONFIG;
}

static void print_problem(void *userdata, bool is_error, const char *message)
{
	printf("%s%s\n", is_error ? "" : "warning: ", message);
}

static int check_config(const struct options *options)
{
	_cleanup_(config_freep) struct config *config = NULL;
	int r;

	r = config_read(&config, config_path(options), options->config != NULL, print_problem,
			NULL);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A descriptor; -1, also where there is no folder; -EBUSY: another daemon is there. */
static int lock_runtime_folder(const struct options *options)
{
	_cleanup_free_ char *folder = get_runtime_folder(options);
	int r = folder ? runtime_lock_take(folder) : -ENOMEM;

	if (r == -EBUSY)
		log_error("Another eagersplitd is at work in %s", folder);
	return r < 0 && r != -EBUSY ? -1 : r;
}

/* Without it nothing outlives the daemon. */
static struct vm_store *new_store(const struct options *options)
{
	_cleanup_free_ char *folder = get_runtime_folder(options);
	struct vm_store *store = NULL;

	if (!folder || vm_store_new(&store, folder) < 0)
		log_warning("Nothing is kept for a restart: out of memory");
	return store;
}

/* Where systemd made a folder for what is to outlive the host (StateDirectory=), or the other one. */
static void keep_history(struct manager *m, const struct options *options)
{
	const char *made = getenv("STATE_DIRECTORY");
	_cleanup_free_ char *folder = NULL;

	folder = made && *made ? strndup(made, strcspn(made, ":")) : get_runtime_folder(options);
	if (!folder || manager_keep_history(m, folder) < 0)
		log_warning("The history of migrations is not kept: out of memory");
}

static int load_config(struct config **ret, const struct options *options)
{
	_cleanup_free_ char *error = NULL;
	int r;

	r = config_load(ret, config_path(options), options->config != NULL, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return r;
	}
	(*ret)->backend_override = options->backend;
	if (options->backend >= 0)
		(*ret)->backend = (enum config_backend)options->backend;
	return 0;
}

/* Takes @config, also on error. */
static int open_manager(struct daemon *d, const struct options *options, struct config *config)
{
	struct backend *backend;
	int r;

	r = open_backend(&backend, config, options);
	if (r < 0) {
		config_free(config);
		return r;
	}
	r = manager_new(&d->manager, d->event, config, backend);
	if (r < 0)
		log_error("Cannot start: %s", strerror(-r));
	return r;
}

static int daemon_start(struct daemon *d, const struct options *options)
{
	_cleanup_(passed_done) struct passed passed = { .socket = -1 };
	_cleanup_(config_freep) struct config *config = NULL;
	int fd, r;

	r = passed_get(&passed);
	if (r < 0)
		return r;
	/* The disk may be slow: until it has been read, a signal ends us as it would anybody. */
	r = load_config(&config, options);
	if (r < 0)
		return r;
	r = sd_event_default(&d->event);
	if (r < 0)
		return r;
	r = daemon_add_signals(d);
	if (r < 0) {
		log_error("Cannot watch for signals: %s", strerror(-r));
		return r;
	}
	r = open_manager(d, options, TAKE_PTR(config));
	if (r < 0)
		return r;
	/* What is wrong with the configuration is said first: it is no use to wait for the other. */
	d->lock = lock_runtime_folder(options);
	if (d->lock == -EBUSY)
		return d->lock;
	fd = open_socket(&passed, options->socket);
	if (fd < 0)
		return fd;
	keep_history(d->manager, options);
	manager_begin(d->manager, new_store(options), passed.splitters, passed.n_splitters);
	passed.splitters = NULL;
	passed.n_splitters = 0;
	r = control_new(&d->control, d->event, d->manager, fd);
	if (r < 0) {
		log_error("Cannot serve the control socket: %s", strerror(-r));
		return r;
	}
	r = notify_set_watchdog(manager_get_notify(d->manager));
	if (r < 0)
		log_warning("No watchdog: %s", strerror(-r));
	return 0;
}

static void log_ready(const struct manager *m)
{
	char limits[CONFIG_LIMITS_SIZE];
	struct host_info host;

	manager_get_host(m, &host);
	log_full(LOG_INFO, MESSAGE_STARTED, "Ready: version %s, backend %s, %s, %s", host.version,
		 host.backend, work_method_describe(host.method),
		 config_format_limits(limits, host.tlbi_load, host.tlbi_rate));
}

int main(int argc, char **argv)
{
	struct options options = { .backend = -1,
				   .socket = EAGERSPLITD_SOCKET,
				   .helper = EAGERSPLITD_HELPER };
	struct outbox *outbox = NULL;
	struct daemon d = { .lock = -1 };
	int r;

	r = parse_options(&options, argc, argv);
	if (r < 0)
		fprintf(stderr, "Try: eagersplitd --help\n");
	if (r <= 0)
		return r < 0 ? 2 : EXIT_SUCCESS;
	if (options.check_config)
		return check_config(&options);

	/*
	 * What is as large as a survey of all memslots that there may be goes back to the system with its
	 * end: it would stay with each worker, in pieces, between what is kept of one VM and the next.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	/* Without it the loop waits for the journal, which is better than to stay away. */
	if (outbox_new(&outbox, LOG_MAX, log_gap) == 0)
		log_set_outbox(outbox);
	r = daemon_start(&d, &options);
	if (r >= 0) {
		notify_say(manager_get_notify(d.manager), NOTIFY_READY, "READY=1");
		log_ready(d.manager);
		r = sd_event_loop(d.event);
		if (r < 0)
			log_error("The event loop failed: %s", strerror(-r));
	}
	control_free(d.control);
	manager_free(d.manager);
	sd_event_unref(d.event);
	closep(&d.lock);
	outbox_free(outbox);
	log_set_outbox(NULL);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
