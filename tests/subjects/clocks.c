/* clocks.c - subject: asks for the time in the one way that is named.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    struct timeval day;
    struct tms spent;
    const char *way = argc > 1 ? argv[1] : "";
    if (strcmp(way, "clock_gettime") == 0)
        return clock_gettime(CLOCK_MONOTONIC, &now);
    if (strcmp(way, "system call") == 0)
        return (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    if (strcmp(way, "processor") == 0)
        return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    if (strcmp(way, "gettimeofday") == 0)
        return gettimeofday(&day, NULL);
    if (strcmp(way, "time") == 0)
        return time(NULL) == (time_t)-1;
    if (strcmp(way, "times") == 0)
        return times(&spent) == (clock_t)-1;
    return strcmp(way, "none") != 0;
}
