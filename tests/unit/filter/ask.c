#include "ask.h"

#include <stdio.h>

static struct arena arena = {.bytes_max = 64 << 20};
static struct buf blob;

status ask_parse_into(const char *filter, struct arena *into, struct filter **out, struct err *err)
{
    if (filter[0] == '$')
        return filter_parse_native(jsons_value(filter + 1), false, into, out, err);
    return filter_parse_qdrant(jsons_value(filter), false, into, out, err);
}

struct filter *ask_parse(const char *filter)
{
    struct filter *f = NULL;
    struct err err;

    if (ask_parse_into(filter, &arena, &f, &err) != ST_OK)
        fail_msg("%s\n%s", filter, err.text);
    return f;
}

const char *ask_refused(const char *filter)
{
    static char said[ERR_TEXT_BYTES + 32];
    struct filter *f = NULL;
    struct err err = {0};
    status st = ask_parse_into(filter, &arena, &f, &err);

    if (st == ST_OK)
        fail_msg("accepted: %s", filter);
    assert_null(f);
    assert_int_equal(st, err.code);
    (void)snprintf(said, sizeof said, "%s: %s", status_name(st), err.text);
    return said;
}

bool ask_row(const struct filter *f, const char *payload, const struct docid *id, uint64_t vectors)
{
    struct filter_row row = {.id = id, .vectors = vectors};

    if (payload != NULL) {
        if (blob.bytes_max == 0)
            buf_init(&blob, 16 << 20);
        jsons_blob(&blob, payload);
        row.payload = buf_slice(&blob);
    }
    return filter_match(f, &row);
}

bool ask(const char *filter, const char *payload)
{
    const struct docid id = docid_u64(1);

    return ask_row(ask_parse(filter), payload, &id, 0);
}

void ask_free(void)
{
    arena_free(&arena);
    buf_free(&blob);
    jsons_free();
}
