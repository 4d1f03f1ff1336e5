/* bench_data: objects from numbers. */
#include "cmd/bench_data.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include <math.h>
#include <string.h>

#define PHOTO_MEDIAN KIB(24)
#define PHOTO_SIGMA 0.9
#define PHOTO_MIN 512u
#define PHOTO_MAX MIB(8)

static uint8_t pattern[DATA_PATTERN_LEN];

uint64_t data_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

/* ---- sizes ---- */

int data_sizes_parse(const char *text, struct data_sizes *ret)
{
    struct data_sizes s = {DATA_SIZE_FIXED, 0, 0};
    const char *dash = strchr(text, '-');
    char low[32];
    bool ok;
    if (strncmp(text, "photo", 5) == 0) {
        s = (struct data_sizes){DATA_SIZE_PHOTO, PHOTO_MEDIAN, PHOTO_MAX};
        ok = !text[5] || (text[5] == ':' && cmd_read_size(text + 6, &s.low) && s.low > 0);
    } else if (dash && (size_t)(dash - text) < sizeof(low)) {
        memcpy(low, text, (size_t)(dash - text));
        low[dash - text] = 0;
        s.kind = DATA_SIZE_RANGE;
        ok = cmd_read_size(low, &s.low) && cmd_read_size(dash + 1, &s.high) && s.low <= s.high &&
             s.low > 0;
    } else {
        ok = cmd_read_size(text, &s.low);
        s.high = s.low;
    }
    if (!ok)
        return err_set(KT_ERR_INVALID,
                       "size '%s' is none of: 1KiB (fixed), 4KiB-64KiB (range), photo, photo:64KiB",
                       text);
    if (s.low > DATA_SIZE_MAX || s.high > DATA_SIZE_MAX)
        return err_set(KT_ERR_INVALID, "size '%s' is above the limit of 32MiB", text);
    *ret = s;
    return 0;
}

static double photo_size(uint64_t median, uint64_t bits)
{
    /* Box and Muller 1958: a normal variate of two uniform ones. */
    double u = 1.0 - unit(data_mix(bits + 1)), v = unit(data_mix(bits + 2));
    double normal = sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
    return (double)median * exp(PHOTO_SIGMA * normal);
}

uint32_t data_size(const struct data_sizes *s, uint64_t seed, uint64_t index)
{
    uint64_t bits = data_mix(seed ^ data_mix(index + 1));
    double size = (double)s->low;
    if (s->kind == DATA_SIZE_RANGE)
        size *= pow((double)(s->high + 1) / (double)s->low, unit(bits));
    else if (s->kind == DATA_SIZE_PHOTO)
        size = photo_size(s->low, bits);
    else
        return (uint32_t)s->low;
    double low = s->kind == DATA_SIZE_PHOTO ? PHOTO_MIN : (double)s->low;
    return (uint32_t)fmin(fmax(size, low), (double)s->high);
}

/* ---- keys ---- */

int data_keys_parse(const char *text, struct data_keys *ret)
{
    struct data_keys k = {0};
    bool zipf = strncmp(text, "zipf", 4) == 0;
    bool ok = strcmp(text, "uniform") == 0;
    if (zipf) {
        k.theta = 0.99;
        ok = !text[4] ||
             (text[4] == ':' && cmd_read_real(text + 5, &k.theta) && k.theta > 0 && k.theta < 1);
    }
    if (!ok)
        return err_set(KT_ERR_INVALID,
                       "keys '%s' is none of: uniform, zipf, zipf:THETA (0 < THETA < 1)", text);
    *ret = k;
    return 0;
}

void data_keys_size(struct data_keys *k, uint64_t n)
{
    k->n = n;
    if (k->theta <= 0 || n == 0)
        return;
    k->zeta_n = 0;
    for (uint64_t i = 1; i <= n; i++)
        k->zeta_n += 1.0 / pow((double)i, k->theta);
    double zeta_2 = 1.0 + pow(0.5, k->theta);
    k->alpha = 1.0 / (1.0 - k->theta);
    k->eta = (1.0 - pow(2.0 / (double)n, 1.0 - k->theta)) / (1.0 - zeta_2 / k->zeta_n);
}

static uint64_t zipf_rank(const struct data_keys *k, double u)
{
    double uz = u * k->zeta_n;
    if (uz < 1.0)
        return 0;
    if (uz < 1.0 + pow(0.5, k->theta))
        return 1;
    return (uint64_t)((double)k->n * pow(k->eta * u - k->eta + 1.0, k->alpha));
}

uint64_t data_keys_pick(const struct data_keys *k, struct rand_state *r)
{
    kt_assert(k->n > 0);
    if (k->theta <= 0)
        return rand_below(r, k->n);
    uint64_t rank = zipf_rank(k, rand_unit(r));
    return data_mix(KT_MIN(rank, k->n - 1)) % k->n;
}

/* ---- bytes ---- */

void data_pattern_make(void)
{
    struct rand_state r;
    rand_init(&r, UINT64_C(0x6b697474656e));
    rand_fill(&r, pattern, DATA_PATTERN_LEN);
}

static void make_label(uint64_t seed, uint64_t index, uint8_t label[DATA_LABEL_LEN])
{
    uint64_t words[2] = {data_mix(seed + 1) ^ index, data_mix(seed ^ data_mix(~index))};
    memcpy(label, words, DATA_LABEL_LEN);
}

static size_t pattern_start(uint64_t seed, uint64_t index)
{
    return (size_t)(data_mix(seed + data_mix(index ^ UINT64_C(0x5bd1e995))) % DATA_PATTERN_LEN);
}

int data_pieces(uint64_t seed, uint64_t index, uint32_t size, uint8_t label[DATA_LABEL_LEN],
                struct iovec *iov)
{
    size_t left = size, at = pattern_start(seed, index);
    int n = 0;
    make_label(seed, index, label);
    iov[n++] = (struct iovec){label, KT_MIN(left, DATA_LABEL_LEN)};
    left -= iov[0].iov_len;
    while (left > 0) {
        kt_assert(n < DATA_PIECES_MAX);
        size_t run = KT_MIN(left, DATA_PATTERN_LEN - at);
        iov[n++] = (struct iovec){pattern + at, run};
        left -= run;
        at = 0;
    }
    return n;
}

bool data_matches(uint64_t seed, uint64_t index, uint64_t at, struct slice bytes)
{
    uint8_t label[DATA_LABEL_LEN];
    if (at < DATA_LABEL_LEN) {
        struct slice head = slice_sub(bytes, 0, DATA_LABEL_LEN - at);
        make_label(seed, index, label);
        if (head.len > 0 && memcmp(head.p, label + at, head.len) != 0)
            return false;
        bytes = slice_sub(bytes, head.len, SIZE_MAX);
        at = DATA_LABEL_LEN;
    }
    size_t from = (size_t)((pattern_start(seed, index) + at - DATA_LABEL_LEN) % DATA_PATTERN_LEN);
    while (bytes.len > 0) {
        size_t run = KT_MIN(bytes.len, DATA_PATTERN_LEN - from);
        if (memcmp(bytes.p, pattern + from, run) != 0)
            return false;
        bytes = slice_sub(bytes, run, SIZE_MAX);
        from = 0;
    }
    return true;
}

uint32_t data_crc(uint64_t seed, uint64_t index, uint32_t size)
{
    uint8_t label[DATA_LABEL_LEN];
    struct iovec iov[DATA_PIECES_MAX];
    int n = data_pieces(seed, index, size, label, iov);
    uint32_t crc = 0;
    for (int i = 0; i < n; i++)
        crc = crc32c(crc, iov[i].iov_base, iov[i].iov_len);
    return crc;
}
