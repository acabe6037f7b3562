/* Tells what configure has found. */
#include "config.h"
#include <stdio.h>

int main(void) {
    return puts(BUILT) < 0;
}
