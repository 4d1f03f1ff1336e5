#include "cmd/progress.h"

#include "base/macros.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void plain_lines_off_a_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    struct progress p;
    progress_init(&p, f, "store", "files", 200, NS_PER_SEC);
    progress_show(&p, 10, 2 * NS_PER_SEC); /* too early for a line */
    progress_show(&p, 100, 11 * NS_PER_SEC);
    progress_end(&p, 200, 21 * NS_PER_SEC);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text,
                        "store [###############---------------]  50% 100 files 10/s 0:10 left\n"
                        "store [##############################] 100% 200 files 10/s\n");
    free(text);
}

static void more_than_total_stays_full(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    struct progress p;
    progress_init(&p, f, "x", "ops", 2, 0);
    progress_end(&p, 5, 0);
    progress_init(&p, f, "y", "ops", 0, 0);
    progress_end(&p, 5, NS_PER_SEC);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, "x [##############################] 100% 5 ops 0/s\ny 5 ops 5/s\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_off_a_terminal),
        cmocka_unit_test(more_than_total_stays_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
