/* Any text as kitten.conf, as one value of each parameter, and as an environment entry: an error or
 * a configuration whose numbers lie within their limits, and the same text always gives the same.
 */
#include "base/assert.h"
#include "base/err.h"
#include "conf/conf.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load_twice(struct slice text)
{
    struct conf a, b;
    conf_init(&a);
    conf_init(&b);
    int rc = conf_load_text(&a, text, "fuzz");
    kt_assert(rc == conf_load_text(&b, text, "fuzz"));
    kt_assert(rc == 0 || err_text(rc)[0]);
    kt_assert(a.listen.n >= 1 && a.listen.n <= 16 && a.listen.n == b.listen.n);
    kt_assert(a.http_fields >= 10 && a.http_fields <= 1000 && a.http_fields == b.http_fields);
    kt_assert(a.log_level >= 0 && a.log_level <= 3);
    conf_done(&a);
    conf_done(&b);
}

static void as_value(struct conf *c, const char *value)
{
    for (size_t i = 0; i < CONF_PARAM_COUNT; i++) {
        int rc = conf_set(c, CONF_FLAG, conf_param(i)->name, value);
        kt_assert(rc == 0 || rc == -KT_ERR_INVALID || rc == -KT_ERR_LIMIT);
    }
    int rc = conf_set(c, CONF_FLAG, value, "1");
    kt_assert(rc <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[4096];
    struct conf c;
    load_twice(slice_of(data, size));
    size = size < sizeof(text) - 8 ? size : sizeof(text) - 8;
    memcpy(text, "KITTEN_", 7);
    if (size)
        memcpy(text + 7, data, size);
    text[7 + size] = 0;
    char *env[] = {text, NULL};
    conf_init(&c);
    as_value(&c, text + 7);
    int rc = conf_load_env(&c, env);
    kt_assert(rc <= 0);
    rc = conf_finish(&c, 1 << 30);
    kt_assert(rc <= 0);
    conf_done(&c);
    return 0;
}
