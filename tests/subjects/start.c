/* start.c - executes its arguments, for tests of programs that 32-bit programs start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2)
        return 1;
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
