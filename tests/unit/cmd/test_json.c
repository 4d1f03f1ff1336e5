#include "cmd/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void nests_escapes_and_separates(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    struct json j = json_start(f);
    json_open(&j, NULL, '{');
    json_text(&j, "a", "q\"\\\n\x7f");
    json_text(&j, "n", NULL);
    json_open(&j, "l", '[');
    json_u64(&j, NULL, UINT64_MAX);
    json_real(&j, NULL, 0.5);
    json_real(&j, NULL, (double)NAN);
    json_open(&j, NULL, '{');
    json_close(&j);
    json_close(&j);
    json_bool(&j, "b", true);
    json_close(&j);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, "{\"a\":\"q\\\"\\\\\\u000a\\u007f\",\"n\":null,"
                              "\"l\":[18446744073709551615,0.5,null,{}],\"b\":true}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nests_escapes_and_separates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
