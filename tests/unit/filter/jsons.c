#include "jsons.h"

static struct jdoc *doc;

struct jval jsons_value(const char *text)
{
    struct jval v;
    struct err err;

    if (doc == NULL)
        assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    if (jdoc_parse(doc, slice_text(text), &v, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    return v;
}

void jsons_blob(struct buf *out, const char *text)
{
    buf_reset(out);
    jbin_put(out, jsons_value(text));
    assert_false(out->failed);
    assert_int_equal(jbin_check(buf_slice(out), NULL), ST_OK);
}

void jsons_free(void)
{
    jdoc_destroy(doc);
    doc = NULL;
}
