/* h1_chunked: the chunked transfer coding (RFC 9112 section 7.1), one state per byte of framing and
 * one run per call of data, so that no verdict can depend on how the bytes were cut.
 *
 *   SIZE -> [EXT] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   SIZE(0) -> SIZE_LF -> TRAILER -> NAME -> VALUE -> VALUE_LF -> TRAILER ... -> END_LF -> DONE
 *
 * Blanks around the size, bare CR or LF, and a trailer line that is no field are errors.
 */
#include "codec/h1.h"

#define EXT_MAX 256u
#define TRAILER_MAX 4096u
#define SIZE_DIGITS_MAX 16

enum state {
    SIZE,     /* hex digits of a chunk size */
    EXT,      /* after ';' up to CR */
    SIZE_LF,  /* the line feed of a size line */
    DATA,     /* chunk data */
    DATA_CR,  /* the CR after chunk data */
    DATA_LF,  /* the LF after chunk data */
    TRAILER,  /* first byte of a trailer line */
    NAME,     /* a trailer's name */
    VALUE,    /* a trailer's value */
    VALUE_LF, /* the line feed of a trailer line */
    END_LF,   /* the line feed of the last, empty line */
    DONE
};

void h1_chunked_init(struct h1_chunked *c)
{
    *c = (struct h1_chunked){.state = SIZE};
}

uint64_t h1_chunked_data_left(const struct h1_chunked *c)
{
    return c->state == DATA ? c->left : 0;
}

static int bad(const char *what)
{
    return err_set(KT_ERR_PROTO, "malformed chunked body: %s", what);
}

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9')
        return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static int feed_size(struct h1_chunked *c, uint8_t b)
{
    int v = hex_value(b);
    if (v >= 0) {
        if (++c->digits > SIZE_DIGITS_MAX)
            return bad("size of more than 16 digits");
        c->left = c->left << 4 | (uint64_t)v;
        return 0;
    }
    if (c->digits == 0 || (b != '\r' && b != ';'))
        return bad("chunk size");
    if (c->left > INT64_MAX)
        return bad("chunk size past 2^63");
    c->state = b == '\r' ? SIZE_LF : EXT;
    return 0;
}

static int feed_ext(struct h1_chunked *c, uint8_t b)
{
    if (++c->ext > EXT_MAX)
        return bad("more than 256 bytes of extensions");
    if (b == '\r')
        c->state = SIZE_LF;
    else if (!h1_is_value(slice_of(&b, 1)))
        return bad("control character in an extension");
    return 0;
}

static int feed_trailer(struct h1_chunked *c, uint8_t b)
{
    if (++c->trailer > TRAILER_MAX)
        return bad("more than 4096 bytes of trailers");
    switch (c->state) {
    case TRAILER:
        if (b == '\r') {
            c->state = END_LF;
            return 0;
        }
        c->state = NAME;
        return h1_is_token(slice_of(&b, 1)) ? 0 : bad("trailer name");
    case NAME:
        if (b == ':')
            c->state = VALUE;
        else if (!h1_is_token(slice_of(&b, 1)))
            return bad("trailer name");
        return 0;
    default:
        if (b == '\r')
            c->state = VALUE_LF;
        else if (!h1_is_value(slice_of(&b, 1)))
            return bad("control character in a trailer");
        return 0;
    }
}

/* The byte of framing that must be exactly one value; returns the state that follows. */
static int feed_fixed(struct h1_chunked *c, uint8_t b)
{
    if (b != (c->state == DATA_CR ? '\r' : '\n'))
        return bad("line end");
    switch (c->state) {
    case SIZE_LF:
        c->state = c->left ? DATA : TRAILER;
        break;
    case DATA_CR:
        c->state = DATA_LF;
        break;
    case DATA_LF:
        c->state = SIZE;
        c->digits = 0;
        break;
    case VALUE_LF:
        c->state = TRAILER;
        break;
    default:
        c->state = DONE;
        break;
    }
    return 0;
}

static int feed_byte(struct h1_chunked *c, uint8_t b)
{
    switch (c->state) {
    case SIZE:
        return feed_size(c, b);
    case EXT:
        return feed_ext(c, b);
    case TRAILER:
    case NAME:
    case VALUE:
        return feed_trailer(c, b);
    default:
        return feed_fixed(c, b);
    }
}

int h1_chunked_feed(struct h1_chunked *c, struct slice in, size_t *ret_used, struct slice *ret_data)
{
    size_t at = 0;
    *ret_data = slice_of(NULL, 0);
    while (at < in.len && c->state != DONE) {
        if (c->state == DATA) {
            size_t run = (size_t)KT_MIN(c->left, (uint64_t)(in.len - at));
            *ret_data = slice_sub(in, at, run);
            c->left -= run;
            if (c->left == 0)
                c->state = DATA_CR;
            *ret_used = at + run;
            return 0;
        }
        int rc = feed_byte(c, in.p[at++]);
        if (rc < 0)
            return rc;
    }
    *ret_used = at;
    return c->state == DONE ? 1 : 0;
}
