/* record.c - what a run tells: counters, trace records, warnings, and why it failed.
 *
 * The rule to keep: nothing here can stop a run.  A reader of the trace that went away is only not written to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../calls/table.h"
#include "../calls/tasks/task.h"
#include "record.h"

int record_failure(struct run *run, int stage, int error, const char *what, const char *why) {
    struct pto_result *result = run->result;
    result->stage = stage;
    result->error = error;
    int length = snprintf(result->message, sizeof result->message, "%s: %s", what, why ? why : strerror(error));
    if (length >= (int)sizeof result->message)
        strcpy(result->message + sizeof result->message - sizeof "...", "...");
    return -error;
}

void record_warning(const struct run *run, const char *format, ...) {
    if (run->command->message_fd < 0)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0)
        return;
    /* A terminal that is gone or full loses the line; the run goes on. */
    (void)!dprintf(run->command->message_fd, "ptoverlay: %s\n", line);
}

/* Name of the process, as comm in proc(5); size of name: 32. */
static void read_comm(pid_t tid, char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)tid);
    strcpy(name, "?");
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fgets(name, 32, file))
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
}

/* what: and with what remedy. */
static void tell_foreign(struct run *run, pid_t tid, const char *what) {
    if (__atomic_exchange_n(&run->foreign_noted, true, __ATOMIC_RELAXED))
        return;
    char name[32];
    read_comm(tid, name);
    record_warning(run, "%s (process %d): %s", name, (int)tid, what);
}

void record_foreign(struct run *run, pid_t tid) {
    tell_foreign(run, tid, "32-bit system calls are refused with ENOSYS: run a 64-bit build of it");
}

void record_killed(const struct run *run, const struct call *call) {
    const struct call_row *row = table_row(call->nr);
    char name[32];
    read_comm(call->task->tid, name);
    record_warning(run, "%s (process %d) killed: %s: %s (--strict)", name, (int)call->task->tid, row ? row->name : "?",
                   call->reason ? call->reason : "cannot be carried out faithfully");
}

static void write_trace(struct run *run, const struct call *call, uint64_t start) {
    HELD(&run->trace_lock);
    struct pto_trace record = {
        .nanoseconds = start,
        .value = call->value,
        .pid = call->task->tid,
        .nr = call->nr,
        .verdict = call->verdict,
        .path_length = call->trace_path ? (uint32_t)strlen(call->trace_path) : 0,
    };
    memcpy(record.args, call->arg, sizeof record.args);
    struct iovec iov[2] = {
        {.iov_base = &record, .iov_len = sizeof record},
        {.iov_base = (void *)call->trace_path, .iov_len = record.path_length},
    };
    ssize_t size = (ssize_t)(sizeof record + record.path_length);
    while (size > 0) {
        ssize_t n = writev(run->trace_fd, iov, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            __atomic_store_n(&run->trace_fd, -1, __ATOMIC_RELAXED);
            return;
        }
        size -= n;
        for (int i = 0; i < 2; i++) {
            size_t step = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;
            iov[i].iov_base = (char *)iov[i].iov_base + step;
            iov[i].iov_len -= step;
            n -= (ssize_t)step;
        }
    }
}

static void count(struct run *run, int nr, enum verdict_kind verdict) {
    if ((unsigned)nr < PTO_CALLS && (unsigned)verdict < PTO_VERDICTS)
        __atomic_fetch_add(&run->result->stats.calls[nr][verdict], 1, __ATOMIC_RELAXED);
}

void record_call(struct run *run, const struct call *call, uint64_t start) {
    count(run, call->nr, call->verdict);
    if (call->foreign)
        tell_foreign(run, call->task->tid, call->reason);
    if (__atomic_load_n(&run->trace_fd, __ATOMIC_RELAXED) < 0)
        return;
    lock_take(&run->trace_lock);
    if (run->trace_fd >= 0)
        write_trace(run, call, start);
    lock_leave(&run->trace_lock);
}

void record_passed(struct run *run, int nr, uint64_t nanoseconds) {
    count(run, nr, VERDICT_PASS);
    record_spent(run, nr, nanoseconds);
}

void record_spent(struct run *run, int nr, uint64_t nanoseconds) {
    if ((unsigned)nr < PTO_CALLS)
        __atomic_fetch_add(&run->result->stats.nanoseconds[nr], nanoseconds, __ATOMIC_RELAXED);
}
