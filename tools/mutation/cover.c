/* cover.c - notes which places of the core were run: compiled with -fsanitize-coverage=trace-pc, it calls this at each.
 *
 * Rules: one byte a place in a file that all processes share, so that nothing is lost however they end, and nothing is
 * opened once the view is in place.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (8u << 20)

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* of the library */

static unsigned char *places;

__attribute__((constructor)) static void open_places(void) {
    int fd = open(COVER_FILE, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        places = map;
    if (fd >= 0)
        close(fd);
}

__attribute__((visibility("default"))) void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) {
    size_t at = (size_t)((const char *)__builtin_return_address(0) - __ehdr_start);
    if (places && at < SIZE)
        places[at] = 1;
}
