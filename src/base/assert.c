/* assert: one line to standard error, then abort. */
#include "base/assert.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void (*assert_hook)(void);

void assert_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "kitten: assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    if (assert_hook)
        assert_hook();
    abort();
}
