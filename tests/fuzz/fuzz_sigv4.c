/* sigv4: a claim from any bytes. Input: Authorization value, LF, path, LF, query, LF, then
 * "name:value" lines. What parses has a well-formed signature over at least the Host, and its
 * canonical request can be built in bounds. */
#include "tests/fuzz/fuzz.h"

#include "codec/sigv4.h"

static struct slice line(struct slice *rest)
{
    ptrdiff_t nl = slice_find(*rest, '\n');
    struct slice l = nl < 0 ? *rest : slice_sub(*rest, 0, (size_t)nl);
    *rest = slice_sub(*rest, l.len + 1, rest->len);
    return l;
}

static void check(const struct sigv4_request *rq, struct slice authorization)
{
    struct sigv4_claim c;
    uint8_t key[SIGV4_KEY_LEN];
    char hex[SIGV4_HEX_LEN];
    struct buf scratch = BUF_INIT(SIGV4_CANONICAL_MAX);
    if (sigv4_parse(rq, authorization, &c) < 0)
        return;
    kt_assert(c.signature.len == SIGV4_HEX_LEN && c.key_id.len > 0 && c.date.len == 8);
    kt_assert(sigv4_check_time(&c, c.time_s) == 0);
    sigv4_signing_key(SLICE_LIT("secret"), c.date, c.region, key);
    for (int form = SIGV4_FORM_CANONICAL; form <= SIGV4_FORM_AS_SENT; form++) {
        int rc = sigv4_signature(rq, &c, (enum sigv4_form)form, key, &scratch, hex);
        kt_assert(rc == 0 || rc == -KT_ERR_INVALID || rc == -KT_ERR_TOO_LARGE);
    }
    buf_done(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(slice_of(data, size));
    struct slice rest = slice_of(copy, size);
    struct h1_field fields[H1_FIELDS_MAX];
    struct sigv4_request rq = {.method = "PUT", .fields = fields};
    struct slice authorization = line(&rest);
    rq.path = line(&rest);
    rq.query = line(&rest);
    while (rest.len && rq.nfields < H1_FIELDS_MAX) {
        struct slice l = line(&rest);
        ptrdiff_t colon = slice_find(l, ':');
        if (colon < 1)
            continue;
        fields[rq.nfields++] = (struct h1_field){slice_sub(l, 0, (size_t)colon),
                                                 slice_sub(l, (size_t)colon + 1, l.len)};
    }
    check(&rq, authorization);
    free(copy);
    return 0;
}
