/* proc.c - what proc(5) tells of a thread.
 *
 * Rule: async-signal-safe, since the guard and the handlers that kill read it too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

#define PATH_SIZE 64    /* of "/proc/TID/name": two numbers and the longest name */

char *proc_number(char *at, unsigned number) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

int proc_open(pid_t tid, const char *name) {
    char path[PATH_SIZE] = "/proc/";
    char *at = proc_number(path + strlen(path), (unsigned)tid);
    if (strlen(name) + 2 > (size_t)(path + sizeof path - at))
        return -1;
    *at++ = '/';
    strcpy(at, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool proc_read(pid_t tid, const char *name, char *text, size_t size) {
    int fd = proc_open(tid, name);
    text[0] = '\0';
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static unsigned digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

uint64_t proc_field(const char *text, const char *name, unsigned base) {
    const char *at = strstr(text, name);
    uint64_t number = 0;
    for (at = at ? at + strlen(name) : ""; digit(*at) < base; at++)
        number = number * base + digit(*at);
    return number;
}
