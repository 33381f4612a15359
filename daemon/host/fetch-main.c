// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * eagersplitd-fetch: the daemon's helper, which looks into other processes for it. systemd starts
 * one for each connection to its socket, the daemon itself one with a socket as standard input.
 * It ends with the connection; where a stranger makes it hang, it is left behind, and another one
 * goes on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "host/fetch-server.h"

int main(int argc, char **argv)
{
	int n = sd_listen_fds(true), socket = STDIN_FILENO, r;

	if (n > 0)
		socket = SD_LISTEN_FDS_START;
	if (sd_is_socket_unix(socket, SOCK_SEQPACKET, 0, NULL, 0) <= 0) {
		fprintf(stderr, "eagersplitd-fetch: eagersplitd and systemd start this\n");
		return 2;
	}
	r = fetch_serve(socket);
	/* The daemon has left it behind, or is gone. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_warning("The helper ends: %s", strerror(-r));
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
