/* thread.c - see thread.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "thread.h"

#define STACK_SIZE (1u << 20)

int thread_begin(pthread_t *thread, void *(*work)(void *), void *arg) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error)
        return error;
    error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (!error)
        error = pthread_create(thread, &attributes, work, arg);
    pthread_attr_destroy(&attributes);
    return error;
}
