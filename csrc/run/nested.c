/* nested.c - a run inside a run: the supervisor of the one around serves CMD, as calls/tasks/nest_request.h says.
 *
 * Two supervisors cannot trap the calls of one process: it has one tracer and one listener, and the outer filter's
 * verdict would come first.  So nothing is trapped here; CMD is started, entered in a view within the outer one, and
 * waited for.
 *
 * Rules: as for every run, all that CMD has started has ended when it ends; when we die the supervisor kills them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../calls/tasks/nest_request.h"
#include "../command/record.h"
#include "../command/slot.h"
#include "../command/start.h"
#include "../command/stop.h"
#include "nested.h"

struct pto_nested {
    uint32_t id;
};

static long ask_outer(enum nest_op op, const struct nest_request *request) {
    long result = prctl(NEST_PRCTL, op, request, 0, 0);
    return result < 0 ? -errno : result;
}

static long ask_about(enum nest_op op, uint32_t id) {
    const struct nest_request request = {.id = id};
    return ask_outer(op, &request);
}

/* ---- the view ---- */

int pto_is_nested(void) {
    return ask_outer(NEST_PROBE, NULL) == 0;
}

pto_nested *pto_nested_new(char *message, size_t size) {
    const struct nest_request request = {.message = (uintptr_t)message, .room = size};
    pto_nested *nested = malloc(sizeof *nested);
    message[0] = '\0';
    long id = nested ? ask_outer(NEST_NEW, &request) : -ENOMEM;
    if (id > 0) {
        nested->id = (uint32_t)id;
        return nested;
    }
    if (!message[0])
        snprintf(message, size, "run inside a run: %s", strerror(-(int)id));
    free(nested);
    return NULL;
}

void pto_nested_free(pto_nested *nested) {
    if (nested)
        (void)ask_about(NEST_END, nested->id);
    free(nested);
}

/* What a request takes along. */
struct parcel {
    FILE *stream;
    char *cwd, *data;
    size_t length;
};

static void parcel_clear(struct parcel *parcel) {
    if (parcel->stream)
        (void)fclose(parcel->stream);
    free(parcel->cwd);
    free(parcel->data);
}
#define PARCEL __attribute__((cleanup(parcel_clear))) struct parcel

static bool parcel_open(struct parcel *parcel) {
    *parcel = (struct parcel){.cwd = getcwd(NULL, 0)};
    if (parcel->cwd)
        parcel->stream = open_memstream(&parcel->data, &parcel->length);
    return parcel->stream;
}

/* A path as the supervisor is to find it. */
static void put_path(const struct parcel *parcel, const char *path) {
    if (path && path[0] != '/')
        fprintf(parcel->stream, "%s/", parcel->cwd);
    if (path)
        fwrite(path, 1, strlen(path) + 1, parcel->stream);
}

static int ask_with(enum nest_op op, uint32_t id, uint32_t kind, const char *data, size_t length, char *message,
                    size_t size) {
    const struct nest_request request = {
        .id = id,
        .kind = kind,
        .data = (uintptr_t)data,
        .size = length,
        .message = (uintptr_t)message,
        .room = size,
    };
    const struct timespec a_while = {.tv_nsec = 5000000};
    message[0] = '\0';
    long result = ask_outer(op, &request);
    for (; result == -EAGAIN; result = ask_outer(op, &request))
        (void)nanosleep(&a_while, NULL);
    if (result < 0 && !message[0])
        snprintf(message, size, "run inside a run: %s", strerror(-(int)result));
    return (int)result;
}

static int fail_to_say(char *message, size_t size) {
    int error = errno;
    snprintf(message, size, "run inside a run: %s", strerror(error));
    return -error;
}

static int send_parcel(struct parcel *parcel, enum nest_op op, uint32_t id, uint32_t kind, char *message, size_t size) {
    if (fflush(parcel->stream) || ferror(parcel->stream))
        return fail_to_say(message, size);
    return ask_with(op, id, kind, parcel->data, parcel->length, message, size);
}

int pto_nested_add_overlay(pto_nested *nested, const struct pto_overlay *overlay, char *message, size_t size) {
    const struct nest_overlay header = {
        .flags = overlay->flags,
        .n_lowers = (uint32_t)overlay->n_lowers,
        .n_data = (uint32_t)overlay->n_data,
        .has_upper = overlay->upper != NULL,
        .has_work = overlay->work != NULL,
    };
    PARCEL parcel;
    if (!parcel_open(&parcel))
        return fail_to_say(message, size);
    fwrite(&header, sizeof header, 1, parcel.stream);
    for (size_t i = 0; i < overlay->n_lowers; i++)
        put_path(&parcel, overlay->lowers[i]);
    put_path(&parcel, overlay->mount);
    put_path(&parcel, overlay->upper);
    put_path(&parcel, overlay->work);
    return send_parcel(&parcel, NEST_OVERLAY, nested->id, 0, message, size);
}

int pto_nested_add_place(pto_nested *nested, int kind, const char *path, char *message, size_t size) {
    PARCEL parcel;
    if (!parcel_open(&parcel))
        return fail_to_say(message, size);
    put_path(&parcel, path);
    return send_parcel(&parcel, NEST_PLACE, nested->id, (uint32_t)kind, message, size);
}

/* ---- the run ---- */

/* In CMD before its execve: from here on it is in the nest's view. */
static int be_nested(const struct run *run, const void *arg) {
    (void)arg;
    const struct nest_request request = {.id = run->nested, .kind = run->command->flags & PTO_STRICT};
    return (int)ask_outer(NEST_ENTER, &request);
}

/* Its status; while it is stopped so are we. */
static int wait_for_cmd(pid_t cmd, int *status) {
    for (;;) {
        pid_t pid = waitpid(cmd, status, WUNTRACED | __WALL);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return -errno;
        if (!WIFSTOPPED(*status))
            return 0;
        if (WSTOPSIG(*status) != SIGSTOP)
            stop_with_cmd(cmd, WSTOPSIG(*status), WEXITED | WCONTINUED);
    }
}

static void wait_for_end(pid_t pid) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return;
    struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
    while (poll(&pollfd, 1, -1) < 0 && errno == EINTR)
        continue;
    close(pidfd);
}

long nested_member(uint32_t nested) {
    return ask_about(NEST_MEMBER, nested);
}

void nested_kill(uint32_t nested) {
    (void)ask_about(NEST_KILL, nested);
}

static void wait_for_members(const struct run *run, bool killing) {
    for (;;) {
        if (killing)
            (void)ask_about(NEST_KILL, run->nested);
        long pid = ask_about(NEST_MEMBER, run->nested);
        if (pid <= 0)
            return;
        wait_for_end((pid_t)pid);
    }
}

int nested_run(struct run *run) {
    struct start start = {.go = -1, .report = -1, .report_in = -1};
    int error = start_fork(run, be_nested, NULL, &start);
    if (error)
        return error;
    run->result->stats.processes = 1;
    error = slot_announce(run->slot, &start);
    if (!error)
        error = start_go(&start);
    if (error) {
        error = record_failure(run, PTO_STAGE_SETUP, -error, "start", NULL);
        (void)kill(start.pid, SIGKILL);
    }
    int waited = wait_for_cmd(start.pid, &run->result->status);
    if (!error && waited)
        error = record_failure(run, PTO_STAGE_LOST, -waited, "wait", NULL);
    slot_cmd_ended(run->slot, run->nested, NULL, 0);
    wait_for_members(run, error || (run->command->flags & PTO_KILL_ON_EXIT));
    if (!error)
        error = start_outcome(run, &start);
    start_close(&start);
    return error;
}

uint32_t nested_id(const pto_nested *nested) {
    return nested->id;
}
