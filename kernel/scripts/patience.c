// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Linked into the selftests with --wrap: their watchdogs allow the guest a few
 * seconds, which is ample on hardware. In an emulator on a busy machine it is
 * not, and a test that fails for that says nothing about the kernel.
 */
#include <semaphore.h>
#include <time.h>

#define PATIENCE 60

unsigned int __real_alarm(unsigned int seconds);
int __real_sem_timedwait(sem_t *sem, const struct timespec *deadline);

unsigned int __wrap_alarm(unsigned int seconds)
{
	return __real_alarm(seconds * PATIENCE);
}

int __wrap_sem_timedwait(sem_t *sem, const struct timespec *deadline)
{
	struct timespec later = *deadline;

	later.tv_sec += PATIENCE;
	return __real_sem_timedwait(sem, &later);
}
