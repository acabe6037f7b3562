/* thread.h - a thread of ours that answers calls.
 *
 * Its stack is as large as that takes whatever the C library gives a thread by default: glibc what RLIMIT_STACK says,
 * musl 128 KiB.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_THREAD_H
#define PTOVERLAY_THREAD_H

#include <pthread.h>

/* 0, or an error number. */
int thread_begin(pthread_t *thread, void *(*work)(void *), void *arg);

#endif
